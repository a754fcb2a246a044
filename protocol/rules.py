"""What a shot must be before anybody spends time on it; the same rules on both ends of the wire.

Every rule yields one :class:`ShotError` whose sentence names the numbers and whose fix names the
next step. The extension asks before it sends, the server before it queues, the command line before
it renders.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from .arrays import Array
from .errors import ShotError
from .frames import LEAST
from .messages import Instance, Limits, ShotMessage

MIN_SIDE = 2
MAX_ID = 255
STILL = 1e-4
"""Largest change of a matrix entry that counts as standing still (scene units, or none)."""


def problems(shot: ShotMessage, limits: Limits | None = None) -> list[ShotError]:
    """Everything that is wrong with ``shot``, the most basic first; empty when it can be rendered.

    Later rules are only asked once the earlier ones hold, since they build on them.
    """
    limits = limits or Limits()
    for rules in (_shape_rules, _number_rules, _motion_rules):
        if found := list(rules(shot, limits)):
            return found
    return []


def nothing_to_follow(shot: ShotMessage, requires: Collection[str]) -> ShotError | None:
    """What to say where an engine follows instances and the shot has nothing it could follow.

    Args:
        shot: one that keeps to the rules.
        requires: of the engine (see ``EngineInfo``).
    """
    followed = {"masks", "tracks", "boxes"} & set(requires)
    anchored = shot.anchors and followed != {"boxes"}  # what stays has no box
    if not followed or anchored or any(item.moving for item in shot.instances):
        return None
    return ShotError(
        "nothing_to_follow",
        f"The engine '{shot.engine}' follows instances that move, and the shot has 0 of them.",
        "Pick one and switch Moving on, or switch Static Anchors on."
        if followed != {"boxes"}
        else "Pick one and switch Moving on.",
    )


def _shape_rules(shot: ShotMessage, limits: Limits) -> Iterator[ShotError]:
    frames, moving = shot.moved_from_rest.shape[:2]
    if frames < LEAST:
        yield ShotError(
            "frames",
            f"The shot has {frames} frame; a video needs at least {LEAST}.",
            "Set the scene's end frame later than its start frame.",
        )
    if frames > limits.frames:
        yield ShotError(
            "frames",
            f"The shot has {frames} frames; the limit is {limits.frames}.",
            "Shorten the frame range, or render it in parts.",
        )
    if shot.frame_end - shot.frame_start < 1:
        yield ShotError(
            "frame_range",
            f"The shot runs from frame {shot.frame_start} to {shot.frame_end}.",
            "Set the end frame later than the start frame.",
        )
    elif shot.frame_end - shot.frame_start >= limits.frames:
        yield ShotError(
            "frame_range",
            f"The shot spans {shot.frame_end - shot.frame_start + 1} Blender frames; "
            f"the limit is {limits.frames}.",
            "Shorten the frame range.",
        )
    if not 1.0 <= shot.fps <= 1000.0:
        yield ShotError(
            "fps",
            f"{shot.fps:g} frames per second are not between 1 and 1000.",
            "Set the scene's frame rate.",
        )
    if len(shot.scene.depth.shape) != 2 or min(shot.scene.depth.shape) < 1:
        yield ShotError(
            "size",
            f"The depth has shape {shot.scene.depth.shape}, not (H, W).",
            "Lift the photo again.",
        )
    else:
        height, width = shot.scene.depth.shape
        yield from _size_rules(height, width, frames, limits)
        expected = {
            "image": (shot.scene.image, "uint8", (height, width, 3)),
            "depth": (shot.scene.depth, "float32", (height, width)),
            "instance map": (shot.instance_map, "int32", (height, width)),
        }
        for name, (blob, dtype, shape) in expected.items():
            if blob.dtype != dtype or blob.shape != shape:
                yield ShotError(
                    "size",
                    f"The {name} is {blob.dtype} {blob.shape}, expected {dtype} {shape}.",
                    "Lift the photo again.",
                )
    yield from _instance_rules(shot.instances, moving, limits)


def _size_rules(height: int, width: int, frames: int, limits: Limits) -> Iterator[ShotError]:
    if height % 2 or width % 2 or min(height, width) < MIN_SIDE:
        yield ShotError(
            "size",
            f"The shot has {width} x {height} pixels; video needs even sizes from {MIN_SIDE} on.",
            "Lift the photo again.",
        )
    if max(height, width) > limits.max_side:
        yield ShotError(
            "size",
            f"The shot has {width} x {height} pixels; the longest side may have {limits.max_side}.",
            "Lift the photo again with a smaller longest side.",
        )
    if frames * height * width > limits.samples:
        yield ShotError(
            "size",
            f"{frames} frames of {width} x {height} are {frames * height * width / 1e6:.0f} "
            f"million pixels; the limit is {limits.samples / 1e6:.0f} million.",
            "Render fewer frames, or lift the photo with a smaller longest side.",
        )


def _instance_rules(
    instances: tuple[Instance, ...], moving: int, limits: Limits
) -> Iterator[ShotError]:
    if len(instances) > limits.instances:
        yield ShotError(
            "instances",
            f"The shot has {len(instances)} instances; the limit is {limits.instances}.",
            "Remove some, or make them one instance.",
        )
    if [item.id for item in instances] != list(range(1, len(instances) + 1)):
        yield ShotError(
            "instances",
            f"Instance ids are {[item.id for item in instances]}, not 1, 2, 3 ... in order.",
            "Number them in the order of the list.",
        )
    expected = [i < moving for i in range(max(len(instances), moving))]
    if [item.moving for item in instances] != expected:
        yield ShotError(
            "instances",
            f"There are matrices for {moving} moving instances, which must be the first ones, "
            f"but {sum(item.moving for item in instances)} of {len(instances)} are moving.",
            "Give one matrix a frame to each moving instance, and put those first.",
        )
    for item in instances:
        if len(item.handle) != 3:
            yield ShotError(
                "instances",
                f"The handle of '{item.name}' has {len(item.handle)} coordinates, not 3.",
                "Give its position at rest as x, y, z.",
            )


def _number_rules(shot: ShotMessage, limits: Limits) -> Iterator[ShotError]:
    del limits
    for index in range(shot.moved_from_rest.shape[1]):
        name, matrices = shot.instances[index].name, shot.moved_from_rest[:, index]
        if (frame := _first(_not_finite(matrices))) is not None:
            yield ShotError(
                "not_a_number",
                f"'{name}' has no position at {_when(shot, frame)} (its matrix is not a number).",
                "Look for a driver or constraint that divides by zero.",
            )
        elif (frame := _first(~_similar(matrices))) is not None:
            yield ShotError(
                "not_rigid",
                f"'{name}' is stretched, sheared or mirrored at {_when(shot, frame)}.",
                "Its three scale values must be equal and positive.",
            )
        if not np.isfinite(shot.instances[index].handle).all():
            yield ShotError(
                "not_a_number",
                f"The handle of '{name}' has no position at rest (it is not a number).",
                "Pick the instance again.",
            )
    yield from _form_rules(shot)
    frame = _first(_not_finite(shot.camera_from_world))
    if frame is not None:
        yield ShotError(
            "not_a_number",
            f"The camera has no position at {_when(shot, frame)} (its matrix is not a number).",
            "Look for a driver or constraint that divides by zero.",
        )
    elif (frame := _first(~_similar(shot.camera_from_world))) is not None:
        yield ShotError(
            "camera",
            f"The camera is scaled or sheared at {_when(shot, frame)}.",
            "Apply its scale and that of its parents (Object > Apply > Scale).",
        )
    if not _is_pinhole(shot.scene.intrinsics):
        yield ShotError(
            "camera", "The photo's intrinsics are no pinhole camera's.", "Lift the photo again."
        )
    elif (frame := _first(np.array([not _is_pinhole(k) for k in shot.intrinsics]))) is not None:
        yield ShotError(
            "camera",
            f"The lens at {_when(shot, frame)} is no pinhole camera's (focal length "
            f"{shot.intrinsics[frame, 0, 0]:g} pixels).",
            "Use a perspective camera with a focal length above 0.",
        )
    if not 0 < shot.scene.near < shot.scene.far < float("inf"):
        yield ShotError(
            "depth_range",
            f"Near {shot.scene.near:g} and far {shot.scene.far:g} are not 0 < near < far.",
            "Lift the photo again with a near distance below the far distance.",
        )


def _form_rules(shot: ShotMessage) -> Iterator[ShotError]:
    far = shot.scene.far
    for item in shot.instances:
        if not 0.0 <= item.flatten <= 1.0:
            yield ShotError(
                "shape",
                f"'{item.name}' is flattened by {item.flatten:g}, which is not between 0 and 1.",
                "Set Flatten to 0 for its own relief, to 1 for a flat one, or between.",
            )
        # Where far is nonsense, that is what has to be mended
        if not 0.0 <= item.thickness <= (far if far > 0 else np.inf):
            yield ShotError(
                "shape",
                f"'{item.name}' is {item.thickness:g} units thick, "
                f"which is not between 0 and the far distance, {far:g}.",
                "Set Thickness to 0 for none, or to a part of its distance.",
            )


def _motion_rules(shot: ShotMessage, limits: Limits) -> Iterator[ShotError]:
    del limits
    moved = np.abs(shot.moved_from_rest - np.eye(4)).max((2, 3))
    camera = np.abs(shot.camera_from_world - np.eye(4)).max((1, 2))
    lens = np.abs(shot.intrinsics / shot.scene.intrinsics[0, 0] - _unit(shot)).max((1, 2))
    for index in np.flatnonzero(moved[0] > STILL):
        name = shot.instances[index].name
        offset = np.linalg.norm(_carried(shot, int(index))[0] - shot.instances[index].handle)
        yield ShotError(
            "first_frame",
            f"'{name}' is not at rest at the first frame {shot.frame_start} "
            f"(moved by {offset:.3g} units, turned or scaled), but that frame is the photo itself.",
            "Go to that frame, use Reset Handle and key it there.",
        )
    if lens[0] > STILL:
        zoom = shot.intrinsics[0, 0, 0] / shot.scene.intrinsics[0, 0]
        what = f"zoomed by {zoom:.3g}" if abs(zoom - 1) > STILL else "shifted"
        yield ShotError(
            "first_frame",
            f"The lens is {what} against the one that took the photo at the first frame "
            f"{shot.frame_start}, but that frame is the photo itself.",
            "Go to that frame and use Reset Camera; a zoom begins there with a key of that lens.",
        )
    if camera[0] > STILL:
        yield ShotError(
            "first_frame",
            f"The camera is not where it took the photo at the first frame {shot.frame_start}.",
            "Go to that frame, use Reset Camera and key it there.",
        )
    if max(moved.max(initial=0.0), camera.max(), lens.max()) <= STILL:
        yield ShotError(
            "nothing_moves",
            f"Nothing moves in this shot ({shot.moved_from_rest.shape[1]} moving instances, "
            "a still camera).",
            "Pick an instance and key its handle, or key the camera.",
        )
    for index in range(moved.shape[1]):
        z = _in_camera(shot, _carried(shot, index))[:, 2]
        if (frame := _first(z <= 0)) is not None:
            yield ShotError(
                "behind_camera",
                f"'{shot.instances[index].name}' is behind the camera at {_when(shot, frame)} "
                f"(depth {z[frame]:.3g}).",
                "Move its handle in front of the camera.",
            )


def _is_pinhole(k: Array) -> bool:
    """Finite, positive focal lengths, and nothing where a pinhole camera has zeros and ones."""
    finite = bool(np.isfinite(k).all())
    return finite and k[0, 0] > 0 and k[1, 1] > 0 and k[1, 0] == 0 and (k[2] == [0, 0, 1]).all()


def _not_finite(matrices: Array) -> Array:
    """Which of (F, ...) hold something that is not a number."""
    return np.array([not np.isfinite(matrix).all() for matrix in matrices])


def _similar(matrices: Array) -> Array:
    """Which of (F, 4, 4) are a rotation, one positive scale and a translation."""
    linear = matrices[:, :3, :3]
    gram = np.swapaxes(linear, 1, 2) @ linear
    scale = np.trace(gram, axis1=1, axis2=2)[:, None, None] / 3
    even = np.abs(gram - scale * np.eye(3)).max((1, 2)) <= 1e-3 * scale[:, 0, 0]
    affine = np.abs(matrices[:, 3] - [0, 0, 0, 1]).max(1) <= 1e-9
    return even & affine & (np.linalg.det(linear) > 0)


def _unit(shot: ShotMessage) -> Array:
    return shot.scene.intrinsics / shot.scene.intrinsics[0, 0]


def _carried(shot: ShotMessage, index: int) -> Array:
    """(F, 3) world positions of a moving instance's handle."""
    handle = np.array([*shot.instances[index].handle, 1.0])
    return (shot.moved_from_rest[:, index] @ handle)[:, :3]


def _in_camera(shot: ShotMessage, world: Array) -> Array:
    rotation, translation = shot.camera_from_world[:, :3, :3], shot.camera_from_world[:, :3, 3]
    return np.einsum("fij,fj->fi", rotation, world) + translation


def _first(flags: Array) -> int | None:
    hits = np.flatnonzero(flags)
    return int(hits[0]) if hits.size else None


def _when(shot: ShotMessage, frame: int) -> str:
    """The Blender frame of sample ``frame``, in words."""
    count = shot.moved_from_rest.shape[0]
    at = shot.frame_start + frame * (shot.frame_end - shot.frame_start) / max(count - 1, 1)
    return f"frame {at:g}" if at == int(at) else f"frame {at:.2f}"


def check_arrays(depth: Array, ids: Array, instances: Sequence[Instance]) -> None:
    """What :func:`problems` cannot see, since it judges a shot without its blobs.

    Args:
        depth: (H, W) float32.
        ids: (H, W) int32, the instance map.
        instances: of the shot.

    Raises:
        ShotError: the depth or the instance map holds numbers that mean nothing.
    """
    bad = ~(np.isfinite(depth) & (depth > 0))
    if bad.any():
        raise ShotError(
            "depth",
            f"{int(bad.sum())} of {depth.size} depths are not positive numbers.",
            "Lift the photo again.",
        )
    if ids.min() < 0 or ids.max() > MAX_ID:
        raise ShotError(
            "instances",
            f"The instance map holds ids from {ids.min()} to {ids.max()}, allowed 0 to {MAX_ID}.",
            "Lift the photo again.",
        )
    for item in instances:
        if not (ids == item.id).any():
            raise ShotError(
                "instances",
                f"'{item.name}' has no pixel of the photo.",
                "Remove it, or pick it again.",
            )
