"""Reads source files and says which import or call breaks a rule of ``rules.py``.

Works on text, so a planted violation can be checked as easily as the tree itself.
"""

import ast
import sys
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from fnmatch import fnmatch

PACKAGES = ("protocol", "backend", "blender_addon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A part of the tree and what it may import besides the standard library.

    Attributes:
        files: patterns of paths; the first zone that matches a file is the file's.
        libraries: third-party packages.
        own: modules of this repository, each with all below it.
        never: those of them that are out of bounds.
        banned: modules of the standard library that do not belong here.
    """

    name: str
    files: tuple[str, ...]
    libraries: frozenset[str] = frozenset()
    own: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    banned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """Something no file may do, save those that match ``spare``."""

    name: str
    files: tuple[str, ...] = ("*",)
    spare: tuple[str, ...] = ()


def zone_of(path: str, zones: tuple[Zone, ...]) -> Zone | None:
    return next((z for z in zones if any(fnmatch(path, p) for p in z.files)), None)


def broken_imports(path: str, source: str, zones: tuple[Zone, ...], modules: Set[str]) -> list[str]:
    """Every import of ``source`` that its zone does not allow.

    Args:
        path: of the file, from the repository's root, with ``/``.
        source: its text.
        zones: the table.
        modules: dotted names of all modules of the repository.
    """
    zone = zone_of(path, zones)
    if zone is None:
        return [f"{path}: no zone of tests/layers/rules.py names this place"]
    found: list[str] = []
    for line, name in imports(path, source, modules):
        top = name.split(".")[0]
        if name == path.split("/")[0]:
            allowed = True  # the package a file is in, of which only a docstring runs
        elif top in PACKAGES:
            allowed = _is_in(name, zone.own) and not _is_in(name, zone.never)
        elif top in sys.stdlib_module_names:
            allowed = not _is_in(name, zone.banned)
        else:
            allowed = top in zone.libraries
        if not allowed:
            found.append(f"{path}:{line}: {zone.name} may not import {name}")
    return found


def _is_in(name: str, modules: Iterable[str]) -> bool:
    """Whether a module is one of ``modules`` or below one."""
    return any(name == module or name.startswith(module + ".") for module in modules)


def imports(path: str, source: str, modules: Set[str]) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of each import that runs; those for type checkers only do not."""
    package = path.removesuffix(".py").removesuffix("/__init__").split("/")
    if not path.endswith("__init__.py"):
        package = package[:-1]
    for node in _running(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            for alias in node.names:
                inner = ".".join([*base, alias.name])
                yield node.lineno, inner if inner in modules else ".".join(base)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from (other, *_running(other))
        else:
            yield child
            yield from _running(child)


def broken_bans(path: str, source: str, bans: tuple[Ban, ...]) -> list[str]:
    """Everything in ``source`` that a ban names."""
    tree = ast.parse(source)
    found: list[str] = []
    for ban in bans:
        applies = any(fnmatch(path, p) for p in ban.files)
        if applies and not any(fnmatch(path, p) for p in ban.spare):
            found += [f"{path}:{line}: {ban.name}" for line in FINDERS[ban.name](tree)]
    return found


# Finders: lines of a syntax tree on which something happens


def _calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def _imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.lineno, node.module or ""


def _call_of(*names: str):
    return lambda tree: [node.lineno for node, name in _calls(tree) if name in names]


def _import_of(*names: str):
    return lambda tree: [line for line, name in _imported(tree) if name.split(".")[0] in names]


def _star_import(tree: ast.AST) -> list[int]:
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return [node.lineno for node in found if node.names[0].name == "*"]


def _unsafe_load(tree: ast.AST) -> list[int]:
    def safe(call: ast.Call) -> bool:
        given = {word.arg: word.value for word in call.keywords}
        value = given.get("weights_only")
        return isinstance(value, ast.Constant) and value.value is True

    return [node.lineno for node, name in _calls(tree) if name == "torch.load" and not safe(node)]


def _path_edit(tree: ast.AST) -> list[int]:
    lines: list[int] = []
    edited = ("sys.path", "sys.modules")
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = list(node.targets)
        elif isinstance(node, ast.AugAssign):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            changing = node.func.attr in {"append", "insert", "extend", "remove", "pop", "update"}
            targets = [node.func.value] if changing else []
        for target in targets:
            inner = target.value if isinstance(target, ast.Subscript) else target
            if ast.unparse(inner) in edited:
                lines.append(node.lineno)
    return lines


DRAWS = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial"}
GENERATORS = {"default_rng", "Generator", "SeedSequence", "PCG64", "Random", "SystemRandom"}


def _global_randomness(tree: ast.AST) -> list[int]:
    """Draws from, and seeds of, a generator that nobody passed in."""
    lines: list[int] = []
    for node, name in _calls(tree):
        head, _, last = name.rpartition(".")
        if head in {"np.random", "numpy.random", "random"}:
            unseeded = last == "default_rng" and not node.args and not node.keywords
            hidden = last not in GENERATORS or unseeded
        elif head == "torch":
            passed = any(word.arg == "generator" for word in node.keywords)
            hidden = last in {"manual_seed", "seed"} or (last in DRAWS and not passed)
        else:
            hidden = False
        if hidden:
            lines.append(node.lineno)
    return lines


def _memory_judgement(tree: ast.AST) -> list[int]:
    """Uses of the errors' names, and looks for their words; raising one is no judgement."""
    errors = {"MemoryError", "OutOfMemoryError"}
    raised = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and node.exc is not None
        for inner in ast.walk(node.exc)
    }
    lines: list[int] = []
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in errors:
                found = node not in raised
            case ast.Compare():
                texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                words = " ".join(text.lower() for text in texts if isinstance(text, str))
                found = any(one in words for one in (" memory", "alloc_failed", "outofmemory"))
            case _:
                found = False
        if found:
            lines.append(node.lineno)
    return lines


def _absolute_own_import(tree: ast.AST) -> list[int]:
    return [line for line, name in _imported(tree) if name.split(".")[0] in PACKAGES]


FINDERS = {
    "print outside the command line": _call_of("print"),
    "pickle": _import_of("pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"),
    "torch.load without weights_only=True": _unsafe_load,
    "eval or exec": _call_of("eval", "exec"),
    "an edit of sys.path or sys.modules": _path_edit,
    "star import": _star_import,
    "randomness from a hidden generator": _global_randomness,
    "an inference mode, whose weights can never be trained": _call_of("torch.inference_mode"),
    "a judgement of its own on what is a lack of memory": _memory_judgement,
    "a Python thread or process in the extension": _import_of(
        "threading", "_thread", "concurrent", "multiprocessing", "asyncio"
    ),
    "an absolute import of own code in the extension": _absolute_own_import,
}
