"""What moves handles and camera, followed to its ends; whether the scene must be played for it.

Parents, constraints, drivers, modifiers and the data they read are followed from object to object.
What is not known to depend on nothing but the frame counts as depending on more: a shot that takes
longer is better than a handle that stands still.
"""

from __future__ import annotations

import ast
import builtins
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import bpy
from bpy.types import ID, Constraint, Driver, DriverVariable, Modifier, Object

from . import point_display

_SHAPES = ("MESH", "CURVE", "SURFACE", "FONT", "LATTICE", "ARMATURE", "CAMERA")
"""Objects whose data is followed too; those of :data:`_PLACES` have none that moves anything."""
_PLACES = ("EMPTY", "LIGHT", "LIGHT_PROBE", "SPEAKER")
_DATA = (
    bpy.types.Armature,
    bpy.types.Camera,
    bpy.types.Curve,
    bpy.types.Key,
    bpy.types.Lattice,
    bpy.types.Mesh,
)
# fmt: off
_CONSTRAINTS = frozenset({
    "ACTION", "ARMATURE", "CHILD_OF", "CLAMP_TO", "COPY_LOCATION", "COPY_ROTATION",
    "COPY_SCALE", "COPY_TRANSFORMS", "DAMPED_TRACK", "FLOOR", "FOLLOW_PATH", "IK",
    "LIMIT_DISTANCE", "LIMIT_LOCATION", "LIMIT_ROTATION", "LIMIT_SCALE", "LOCKED_TRACK",
    "MAINTAIN_VOLUME", "PIVOT", "SHRINKWRAP", "SPLINE_IK", "STRETCH_TO", "TRACK_TO",
    "TRANSFORM",
})
_MODIFIERS = frozenset({
    "ARMATURE", "ARRAY", "BEVEL", "BOOLEAN", "BUILD", "CAST", "COLLISION", "CORRECTIVE_SMOOTH",
    "CURVE", "DATA_TRANSFER", "DECIMATE", "DISPLACE", "EDGE_SPLIT", "HOOK", "LAPLACIANDEFORM",
    "LAPLACIANSMOOTH", "LATTICE", "MASK", "MESH_DEFORM", "MIRROR", "MULTIRES", "NORMAL_EDIT",
    "REMESH", "SCREW", "SHRINKWRAP", "SIMPLE_DEFORM", "SKIN", "SMOOTH", "SOLIDIFY", "SUBSURF",
    "SURFACE_DEFORM", "TRIANGULATE", "UV_PROJECT", "UV_WARP", "VERTEX_WEIGHT_EDIT",
    "VERTEX_WEIGHT_MIX", "VERTEX_WEIGHT_PROXIMITY", "WARP", "WAVE", "WEIGHTED_NORMAL", "WELD",
    "WIREFRAME",
})
# fmt: on
_BUILTINS = ("abs", "bool", "float", "int", "max", "min", "pow", "round", "sum")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Something whose effect only the artist's own scene shows.

    Attributes:
        what: in words that follow "the shot depends on".
        played: whether a frame follows from those before it, so that none may be left out.
    """

    what: str
    played: bool = False


def reasons(objects: Sequence[Object]) -> list[Reason]:
    """Why ``objects`` must be looked at in the artist's own scene; empty where they need not."""
    walk = _Walk()
    for ob in objects:
        walk.visit(ob)
    return [*_handlers(), *walk.found]


def _handlers() -> Iterator[Reason]:
    """Handlers of other extensions and scripts: they may do anything to the scene they get."""
    events = bpy.app.handlers
    own = __package__.rpartition(".")[0] if __package__ else ""
    for handler in (*events.frame_change_pre, *events.frame_change_post):
        place = getattr(handler, "__module__", None) or "a script"
        if place != own and not place.startswith(f"{own}."):
            name = getattr(handler, "__name__", type(handler).__name__)
            yield Reason(what=f"the frame-change handler '{name}' of {place}", played=True)


@dataclass(slots=True)
class _Walk:
    found: list[Reason] = field(default_factory=list[Reason])
    seen: set[ID] = field(default_factory=set[ID])

    def visit(self, item: ID, reader: str = "") -> None:
        """Follow ``item``; ``reader`` is what reads it, in words."""
        if item in self.seen:
            return
        self.seen.add(item)
        if isinstance(item, Object):
            self._object(item)
        elif isinstance(item, _DATA):
            self._pointers(item, f"the data '{item.name}'")
        elif not isinstance(item, bpy.types.Action):
            kind = item.bl_rna.name.lower()
            self._add(f"{reader or 'something'} that reads the {kind} '{item.name}'")
            return
        self._drivers(item)

    def _add(self, what: str, played: bool = False) -> None:
        self.found.append(Reason(what=what, played=played))

    def _object(self, ob: Object) -> None:
        if ob.parent is not None:
            self.visit(ob.parent)
        if ob.type in _SHAPES:
            self.visit(ob.data)
        elif ob.type not in _PLACES:
            self._add(f"the shape of '{ob.name}'", played=True)
        if ob.rigid_body is not None:
            self._add(f"the rigid body '{ob.name}'", played=True)
        for constraint in ob.constraints:
            self._constraint(ob, constraint)
        for modifier in ob.modifiers:
            self._modifier(ob, modifier)
        if ob.pose is not None:
            if ob.pose.ik_solver == "ITASC":
                self._add(f"the iTaSC solver of '{ob.name}'", played=True)
            for bone in ob.pose.bones:
                for constraint in bone.constraints:
                    self._constraint(ob, constraint)

    def _constraint(self, ob: Object, constraint: Constraint) -> None:
        name = f"the constraint '{constraint.name}' of '{ob.name}'"
        if constraint.type not in _CONSTRAINTS:
            self._add(name)
        self._pointers(constraint, name)
        for target in getattr(constraint, "targets", ()):
            self._pointers(target, name)

    def _modifier(self, ob: Object, modifier: Modifier) -> None:
        name = f"the modifier '{modifier.name}' of '{ob.name}'"
        if point_display.is_own(modifier):
            return
        if modifier.type not in _MODIFIERS:
            self._add(name, played=True)
        self._pointers(modifier, name)

    def _pointers(self, owner: Any, name: str) -> None:
        for prop in _pointers_of(owner):
            if isinstance(item := getattr(owner, prop), ID):
                self.visit(item, name)

    def _drivers(self, owner: ID) -> None:
        data = getattr(owner, "animation_data", None)
        for curve in data.drivers if data is not None else ():
            driver = curve.driver
            name = f"a driver of '{owner.name}'"
            if driver.type == "SCRIPTED" and not _is_plain(driver):
                self._add(f"{name} that runs '{driver.expression}'")
            for variable in driver.variables:
                self._variable(name, variable)

    def _variable(self, name: str, variable: DriverVariable) -> None:
        if variable.type == "CONTEXT_PROP":
            self._add(f"{name} that reads the active scene or view layer")
            return
        for target in variable.targets:
            if target.id is None:
                continue
            self.visit(target.id, name)
            if variable.type == "SINGLE_PROP" and _leads_away(target.id, target.data_path):
                self._add(f"{name} that reads '{target.data_path}' of '{target.id.name}'")


_pointer_names: dict[str, tuple[str, ...]] = {}


def _pointers_of(owner: Any) -> tuple[str, ...]:
    """The properties of ``owner`` that point to data-blocks, by its type."""
    rna = owner.bl_rna
    if rna.identifier not in _pointer_names:
        _pointer_names[rna.identifier] = tuple(
            prop.identifier
            for prop in rna.properties
            if prop.type == "POINTER"
            and prop.identifier != "id_data"
            and isinstance(getattr(bpy.types, prop.fixed_type.identifier, None), type)
            and issubclass(getattr(bpy.types, prop.fixed_type.identifier), ID)
        )
    return _pointer_names[rna.identifier]


def _is_plain(driver: Driver) -> bool:
    """Whether an expression computes with its variables and the frame, and asks nothing else."""
    try:
        tree = ast.parse(driver.expression.strip(), mode="eval")
    except SyntaxError:
        return False
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    known = {variable.name for variable in driver.variables} | {"frame"}
    return all(name in known or _is_arithmetic(name) for name in names)


def _is_arithmetic(name: str) -> bool:
    own = getattr(math, name, None) or (getattr(builtins, name) if name in _BUILTINS else None)
    # A script may have put a function of its own under a known name.
    return own is not None and bpy.app.driver_namespace.get(name, own) is own


def _leads_away(item: ID, path: str) -> bool:
    """Whether a path goes through another data-block: ``data.shape_keys...``, ``parent...``."""
    for match in re.finditer(r'"(?:\\.|[^"\\])*"|\.', path):
        if match[0] != ".":
            continue
        try:
            passed = item.path_resolve(path[: match.start()])
        except ValueError:
            return False  # it leads nowhere, and moves nothing
        if isinstance(passed, ID):
            return True
    return False
