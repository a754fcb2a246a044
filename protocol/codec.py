"""Message <-> frames: a JSON header, then one raw frame an array. The only place that knows JSON.

Decoding is strict about what it knows (types, dtypes, shapes, byte counts, numbers that are finite)
and tolerant of fields it does not know. Whatever the bytes, it returns a message or raises
:class:`ProtocolError`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import types
import typing
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from . import arrays
from .arrays import Array, ArraySpec
from .errors import ProtocolError, VersionError
from .messages import MESSAGES, NAMES
from .version import VERSION

MAX_HEADER_BYTES = 1 << 20
MAX_ARRAYS = 64
_IDENTIFIER = re.compile(r"[ -~]{0,80}")
INT_RANGE = 1 << 63
SAME_IN_EVERY_VERSION = frozenset({"hello", "refusal"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A message and what was around it.

    Attributes:
        id: set on requests; a reply names it in ``re``. Pushes have neither.
    """

    message: Any
    id: str = ""
    re: str = ""
    version: tuple[int, int] = VERSION


def encode(
    message: Any,
    *,
    id: str = "",
    re: str = "",
    version: tuple[int, int] = VERSION,
    defaults: Mapping[type[Any], Set[str]] | None = None,
) -> list[bytes | memoryview]:
    """The frames of ``message``, its texts as :func:`readable` makes them.

    Args:
        message: of one of the classes in ``MESSAGES``.
        id: see :class:`Envelope`.
        re: likewise.
        version: that the header names.
        defaults: fields that have their default are left out, but for these, by class; without
            it nothing is left out.

    Raises:
        ProtocolError: it breaks its own schema, or its header is longer than anyone would read.
    """
    if type(message) not in NAMES:
        raise ProtocolError("type", f"{type(message).__name__} is not a message.")
    writer = _Writer(defaults)
    body = writer.packed(message, type(message), {}, "")
    header = {
        "levitor": list(version),
        "type": NAMES[type(message)],
        "id": id,
        "re": re,
        "body": body,
        "arrays": writer.table,
    }
    raw = json.dumps(header, allow_nan=False, separators=(",", ":"), sort_keys=True).encode()
    _check_header_size(raw)
    return [raw, *writer.frames]


def readable(text: str) -> str:
    r"""``text`` with what UTF-8 cannot hold written out, since paths and environments may hold it.

    Bytes of a path that are no text become ``\xff``, halves of a character ``\ud800``.
    """
    if _encodable(text):
        return text
    try:  # Python keeps a path's odd bytes as halves of characters; together they may be UTF-8
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()


def decode(frames: Sequence[bytes | memoryview]) -> Envelope:
    """The message in ``frames``; its arrays are read-only views of them.

    Raises:
        VersionError: the peer speaks another major version.
        ProtocolError: anything else that is wrong.
    """
    header = _header(frames)
    for key in ("id", "re"):
        text = header.setdefault(key, "")
        if not isinstance(text, str) or _IDENTIFIER.fullmatch(text) is None:
            raise ProtocolError("header", f"{key} must be up to 80 printable ASCII characters.")
    try:
        # What is wrong from here on can be answered by the request's id
        version = _version(header.get("levitor"))
        name = header.get("type")
        if not isinstance(name, str):
            raise ProtocolError("header", "the header has no type.")
        if version[0] != VERSION[0] and name not in SAME_IN_EVERY_VERSION:
            raise VersionError(VERSION, version)
        if name not in MESSAGES:
            raise ProtocolError("type", f"message type {name[:40]!r} is not known here.")
        reader = _Reader(header.get("arrays", []), frames[1:])
        message = reader.value(header.get("body"), MESSAGES[name], name)
        reader.finish()
    except ProtocolError as error:
        error.request = header["id"]
        raise
    return Envelope(message=message, id=header["id"], re=header["re"], version=version)


def _header(frames: Sequence[bytes | memoryview]) -> dict[str, Any]:
    if not frames:
        raise ProtocolError("header", "a message needs at least one frame.")
    raw = bytes(frames[0])
    _check_header_size(raw)
    try:
        header = json.loads(raw.decode(), parse_constant=_refuse_constant)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ProtocolError("header", "the header is not JSON.") from error
    if not isinstance(header, dict):
        raise ProtocolError("header", "the header is not a JSON object.")
    return typing.cast("dict[str, Any]", header)


def _check_header_size(raw: bytes) -> None:
    if len(raw) > MAX_HEADER_BYTES:
        raise ProtocolError("header", f"the header has {len(raw)} bytes, limit {MAX_HEADER_BYTES}.")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} may not travel in a header")


def _version(value: Any) -> tuple[int, int]:
    match value:
        case [int(major), int(minor)] if major >= 0 and minor >= 0:
            return major, minor
        case _:
            raise ProtocolError("header", "the header does not begin with the protocol's version.")


@dataclass(frozen=True, slots=True)
class _Field:
    """A message's field: its name, its type, and what it is where nobody says."""

    name: str
    hint: Any
    required: bool
    default: Any


@functools.cache
def _fields(cls: type[Any]) -> tuple[_Field, ...]:
    """Every field of a message."""
    hints = get_type_hints(cls, include_extras=True)
    missing = dataclasses.MISSING
    found: list[_Field] = []
    for field in dataclasses.fields(cls):
        default = field.default
        if field.default_factory is not missing:
            default = field.default_factory()
        found.append(_Field(field.name, hints[field.name], default is missing, default))
    return tuple(found)


def _array_spec(hint: Any) -> ArraySpec | None:
    if get_origin(hint) is not Annotated:
        return None
    return next(extra for extra in get_args(hint)[1:] if isinstance(extra, ArraySpec))


class _Writer:
    """Walks a message along its dataclass; gathers the frames and the table of its arrays."""

    def __init__(self, defaults: Mapping[type[Any], Set[str]] | None) -> None:
        self.frames: list[bytes | memoryview] = []
        self.table: list[dict[str, Any]] = []
        self._defaults = defaults

    def packed(self, value: Any, hint: Any, sizes: dict[str, int], path: str) -> Any:
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            if not isinstance(value, hint):
                raise ProtocolError("field", f"{path or 'message'} must be a {hint.__name__}.")
            return self._dataclass(value, hint, path)
        if spec := _array_spec(hint):
            array = np.asarray(value)
            arrays.check(array, spec, path, sizes)
            self.frames.append(arrays.to_bytes(array))
            self.table.append({"dtype": spec.dtype, "shape": list(array.shape)})
            return len(self.table) - 1
        if get_origin(hint) is tuple:
            item = get_args(hint)[0]
            return [self.packed(v, item, sizes, f"{path}[{i}]") for i, v in enumerate(value)]
        if _is_union(hint) and value is not None and _inner(hint) is not None:
            return self.packed(value, _inner(hint), sizes, path)
        if get_origin(hint) is dict and isinstance(value, dict):
            items = typing.cast("dict[Any, Any]", value)
            value = {_as_text(key): _as_text(item) for key, item in items.items()}
        value = _as_text(value)
        _Reader([], []).value(value, hint, path)
        return value

    def _dataclass(self, message: Any, cls: type[Any], path: str) -> dict[str, Any]:
        sizes: dict[str, int] = {}
        body: dict[str, Any] = {}
        for field in _fields(cls):
            value = getattr(message, field.name)
            if self._travels(cls, field, value):
                body[field.name] = self.packed(value, field.hint, sizes, f"{path}.{field.name}")
        return body

    def _travels(self, cls: type[Any], field: _Field, value: Any) -> bool:
        if self._defaults is None or field.name in self._defaults.get(cls, ()):
            return True
        # No default is an array; where one is optional, the default is None
        return field.required or isinstance(value, np.ndarray) or value != field.default


def _as_text(value: Any) -> Any:
    return readable(value) if isinstance(value, str) else value


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _inner(hint: Any) -> Any:
    """T of ``T | None``; None for a union of several scalars."""
    rest = [arm for arm in get_args(hint) if arm is not types.NoneType]
    return rest[0] if len(rest) == 1 else None


class _Reader:
    """Walks a JSON body along the dataclass that it must be."""

    def __init__(self, table: Any, frames: Sequence[bytes | memoryview]) -> None:
        if not isinstance(table, list) or len(typing.cast("list[Any]", table)) > MAX_ARRAYS:
            raise ProtocolError("array", f"the array table is not a list of up to {MAX_ARRAYS}.")
        self.table = typing.cast("list[Any]", table)
        if len(self.table) != len(frames):
            raise ProtocolError(
                "array", f"the header lists {len(self.table)} arrays, {len(frames)} frames came."
            )
        self.frames = frames
        self.used: set[int] = set()

    def finish(self) -> None:
        # An array of a newer minor's field is nobody's here; its frame is checked all the same.
        for index in set(range(len(self.table))) - self.used:
            self._array(index, f"array {index}")

    def value(self, value: Any, hint: Any, path: str, sizes: dict[str, int] | None = None) -> Any:
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            return self._dataclass(value, hint, path)
        if spec := _array_spec(hint):
            return self._declared_array(value, spec, path, {} if sizes is None else sizes)
        origin = get_origin(hint)
        if origin is tuple:
            return self._tuple(value, get_args(hint)[0], path)
        if origin is dict:
            return self._dict(value, get_args(hint)[1], path)
        if origin is Literal:
            if value not in get_args(hint):
                raise ProtocolError("field", f"{path} must be one of {', '.join(get_args(hint))}.")
            return value
        if _is_union(hint):
            return self._union(value, hint, path, sizes)
        return _scalar(value, hint, path)

    def _dataclass(self, value: Any, cls: type[Any], path: str) -> Any:
        if not isinstance(value, dict):
            raise ProtocolError("field", f"{path} must be an object.")
        body = typing.cast("dict[str, Any]", value)
        sizes: dict[str, int] = {}
        given: dict[str, Any] = {}
        for field in _fields(cls):
            name = field.name
            if name in body:
                given[name] = self.value(body[name], field.hint, f"{path}.{name}", sizes)
            elif field.required:
                raise ProtocolError("field", f"{path}.{name} is missing.")
        try:
            return cls(**given)
        except ValueError as error:  # its own rule, where it has one
            raise ProtocolError("field", f"{path}: {error}.") from error

    def _tuple(self, value: Any, item: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise ProtocolError("field", f"{path} must be a list.")
        items = typing.cast("Sequence[Any]", value)
        return tuple(self.value(v, item, f"{path}[{i}]") for i, v in enumerate(items))

    def _dict(self, value: Any, item: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ProtocolError("field", f"{path} must be an object.")
        items = typing.cast("dict[Any, Any]", value)
        if not all(isinstance(key, str) and _encodable(key) for key in items):
            raise ProtocolError("field", f"{path} must have text as keys.")
        return {key: self.value(v, item, f"{path}.{key:.40}") for key, v in items.items()}

    def _union(self, value: Any, hint: Any, path: str, sizes: dict[str, int] | None) -> Any:
        arms = get_args(hint)
        if value is None and types.NoneType in arms:
            return None
        if (inner := _inner(hint)) is not None:
            return self.value(value, inner, path, sizes)
        for arm in (bool, int, float, str):  # bool first: it is an int to Python
            if arm in arms and type(value) is arm:
                return _scalar(value, arm, path)
        raise ProtocolError("field", f"{path} must be text, a number, true or false.")

    def _declared_array(
        self, index: Any, spec: ArraySpec, path: str, sizes: dict[str, int]
    ) -> Array:
        if type(index) is not int or not 0 <= index < len(self.table):
            raise ProtocolError("array", f"{path} names array {index!r:.40}, which is not there.")
        if index in self.used:
            raise ProtocolError("array", f"{path} names array {index}, which is taken.")
        self.used.add(index)
        array = self._array(index, path)
        arrays.check(array, spec, path, sizes)
        return array

    def _array(self, index: int, path: str) -> Array:
        match self.table[index]:
            case {"dtype": str(dtype), "shape": [*shape]} if all(type(n) is int for n in shape):
                return arrays.view(self.frames[index], dtype, shape, path)
            case _:
                raise ProtocolError("array", f"entry {index} of the array table is malformed.")


def _scalar(value: Any, hint: Any, path: str) -> Any:
    if hint is int or (hint is float and type(value) is int):
        fits = type(value) is int and -INT_RANGE <= value < INT_RANGE
    else:
        fits = type(value) is hint and not (hint is float and not math.isfinite(value))
    if fits and isinstance(value, str):
        fits = _encodable(value)
    if fits:
        return hint(value)
    name = {float: "a finite number", int: "a 64-bit integer", str: "text", bool: "true or false"}
    raise ProtocolError("field", f"{path} must be {name.get(hint, hint)}.")


def _encodable(text: str) -> bool:
    """Whether text can be written anywhere; JSON can smuggle in half of a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
