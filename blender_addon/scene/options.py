"""Fields for the options of engines, kept in the scene: they outlive the connection and the file.

Each is an item of ``scene.levitor.engine_options`` whose custom property ``value`` has its limits,
default and help as Blender's own fields have them, and holds a double where a property would not.
Instances are kept as their handles, and become the ids of a shot when it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy
from bpy.types import Object, Scene

from ..core import options as pure
from ..core import shot
from ..link.wire import ShotError, messages
from ..link.wire import options as option_rules

VALUE = "value"
PATH = f'["{VALUE}"]'
_signed: tuple[Any, str] = (None, "")
"""The list of engines that was last seen, and its signature."""


def sync(scene: Scene, engines: Sequence[messages.EngineInfo], signature: str) -> bool:
    """Make the fields those of ``engines``; engines that are not there keep theirs.

    Args:
        scene: whose fields.
        engines: as the backend lists them.
        signature: of ``engines``; nothing is done where the scene has that one already.

    Returns:
        Whether anything changed.
    """
    settings = scene.levitor
    if settings.options_known == signature or scene.library is not None:
        return False
    items = settings.engine_options
    old = {item.name: (pure.unpacked(item.option), _value(item)) for item in items}
    chosen = {item.name: [one.handle for one in item.chosen] for item in items}
    here = {engine.name for engine in engines}
    for index in reversed(range(len(items))):
        if items[index].engine in here:
            items.remove(index)
    for engine in engines:
        for option in filter(pure.fits, engine.options):
            item = items.add()
            item.engine, item.name = engine.name, f"{engine.name}.{option.name}"
            item.label, item.option = option.label or option.name, pure.packed(option)
            item.slider = option.low is not None and option.high is not None
            before, value = old.get(item.name, (option, option.default))
            _fill(item, option, pure.carried(option, value, before))
            _choose(item, chosen.get(item.name, []))
    settings.options_known = signature
    return True


def sync_all(engines: Sequence[messages.EngineInfo]) -> bool:
    """:func:`sync` in every scene of the file; the same list again costs next to nothing."""
    global _signed
    if _signed[0] is not engines:
        _signed = (engines, pure.signature(engines))
    synced = [sync(scene, engines, _signed[1]) for scene in bpy.data.scenes]
    return any(synced)


def of_engine(scene: Scene, engine: str) -> list[Any]:
    """The fields of ``engine``, in its order."""
    return [item for item in scene.levitor.engine_options if item.engine == engine]


def changed(scene: Scene, engine: str) -> dict[str, messages.Scalar]:
    """The options of ``engine`` that are drawn and not at their default: what it is told.

    One that is not drawn keeps its value in its field, for when it is drawn again.
    """
    known, values = _known(scene, engine)
    return {
        option.name: values[option.name]
        for option in option_rules.visible(known, values)
        if values[option.name] != option.default
    }


def reset(scene: Scene, engine: str) -> int:
    """Set every option of ``engine`` to its default, drawn or not; returns how many were not."""
    known, values = _known(scene, engine)
    lost = lost_choices(scene, engine)
    count = sum(values[one.name] != one.default or one.name in lost for one in known)
    for item in of_engine(scene, engine):
        option = pure.unpacked(item.option)
        _fill(item, option, option.default)
        _choose(item, [])
    return count


def groups(scene: Scene, engine: str) -> tuple[pure.Group, ...]:
    """The fields of ``engine`` that are of use, by heading."""
    return pure.groups(*_known(scene, engine))


def toggles(scene: Scene, engine: str) -> dict[str, tuple[tuple[str, bool], ...]]:
    """Of each ``instances`` option, the moving instances by name, and whether it names them."""
    found = {}
    for item in of_engine(scene, engine):
        option = pure.unpacked(item.option)
        if pure.kind_of(option) == "INSTANCES":
            chosen = _chosen(item)
            found[option.name] = tuple(
                (one.name, one.handle in chosen) for _, one in _moving(scene)
            )
    return found


def lost_choices(scene: Scene, engine: str) -> dict[str, ShotError]:
    """Of each ``instances`` option of use that names nothing of this lift, what to say of it.

    A shot would name no instance then, which means all of them: what nobody chose.
    """
    lift, found = scene.levitor.lift, {}
    if lift is None:
        return found
    here = {one.handle for _, one in _moving(scene)}
    for option in option_rules.visible(*_known(scene, engine)):
        item = scene.levitor.engine_options[f"{engine}.{option.name}"]
        if item.chosen and not here.intersection(_chosen(item)):
            found[option.name] = ShotError(
                "choice",
                f"Of the instances chosen for '{item.label}', none is in '{lift.name}' and moves.",
                "Choose one that moves, or use Clear Choice, which stands for all that move.",
            )
    return found


def toggle(scene: Scene, field: str, instance: str) -> bool:
    """Let an option name an instance, or no longer; whether it does now.

    Args:
        scene: whose option.
        field: engine and option, as in ``toy.which``.
        instance: its name, in the lift that is worked on.

    Raises:
        ShotError: there is no such option or instance, or it is set to stay.
    """
    item = _choice(scene, field)
    lift = scene.levitor.lift
    known = {} if lift is None else {one.name: one.handle for one in lift.levitor.instances}
    if known.get(instance) is None:
        names = ", ".join(known) or "none"
        raise ShotError("instance", f"There is no instance '{instance}'.", f"There are: {names}.")
    handle, chosen = known[instance], _chosen(item)
    on = handle not in chosen
    if on and all(one.handle != handle for _, one in _moving(scene)):
        raise ShotError("instance", f"'{instance}' is set to stay.", "Switch Moving on first.")
    _choose(item, [*chosen, handle] if on else [one for one in chosen if one != handle])
    return on


def clear(scene: Scene, field: str) -> None:
    """Let an option name no instance, which stands for all that move.

    Args:
        scene: whose option.
        field: engine and option, as in ``toy.which``.

    Raises:
        ShotError: there is no such option.
    """
    _choose(_choice(scene, field), [])


def _choice(scene: Scene, field: str) -> Any:
    """The ``instances`` option called ``field``; raises :class:`ShotError` where there is none."""
    item = scene.levitor.engine_options.get(field)
    if item is None or pure.kind_of(pure.unpacked(item.option)) != "INSTANCES":
        raise ShotError("option", f"There is no choice of instances '{field}'.", "Choose another.")
    return item


def _known(
    scene: Scene, engine: str
) -> tuple[list[messages.EngineOption], dict[str, messages.Scalar]]:
    """The options of ``engine`` that have a field, in its order, and their values by name."""
    items = of_engine(scene, engine)
    known = [pure.unpacked(item.option) for item in items]
    return known, {option.name: _value(item) for option, item in zip(known, items, strict=True)}


def _moving(scene: Scene) -> list[tuple[int, Any]]:
    """Id in a shot, and item, of each moving instance of the lift that is worked on."""
    lift = scene.levitor.lift
    instances = [] if lift is None else lift.levitor.instances
    order = shot.id_order([one.moving for one in instances])
    by_id = [(number, instances[index]) for number, index in enumerate(order, 1)]
    return [(number, one) for number, one in by_id if one.moving]


def _chosen(item: Any) -> list[Object]:
    """Handles of the instances that an option names; those that were deleted are gone."""
    return [one.handle for one in item.chosen if one.handle is not None]


def _choose(item: Any, handles: Sequence[Object | None]) -> None:
    """Let an option name these handles; None stands for one that was deleted."""
    item.chosen.clear()
    for handle in handles:
        item.chosen.add().handle = handle


def _ids_text(item: Any) -> str:
    """Which moving instances of the lift that is worked on an option names, as a shot has it."""
    chosen = _chosen(item)
    return option_rules.text_of(
        number for number, one in _moving(item.id_data) if one.handle in chosen
    )


def _value(item: Any) -> messages.Scalar:
    """What the engine is told; whether it is allowed is for the backend to say."""
    option, value = pure.unpacked(item.option), item[VALUE]
    match pure.kind_of(option):
        case "CHOICE" if isinstance(value, int):
            return option.choices[value] if value < len(option.choices) else option.default
        case "FLOAT" if isinstance(value, float):
            return pure.shortest(value)
        case "INSTANCES":
            return _ids_text(item)
        case "BOOL" if isinstance(value, int):
            return bool(value)
        case _:
            return value


def _fill(item: Any, option: messages.EngineOption, value: messages.Scalar) -> None:
    """Give the field its value, and what Blender shows and keeps to."""
    about: dict[str, Any] = {"description": option.help, "default": option.default}
    match pure.kind_of(option):
        case "CHOICE":
            value, about["default"] = (option.choices.index(v) for v in (value, option.default))
            about["items"] = [(text, text, "", 0, n) for n, text in enumerate(option.choices)]
        case "INT" | "FLOAT":
            low, high = pure.limits(option)
            about |= {"min": low, "max": high, "soft_min": low, "soft_max": high}
        case _:
            pass
    item[VALUE] = value
    item.id_properties_ui(VALUE).update(**about)
