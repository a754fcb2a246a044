"""Clips that the draft draws of random scenes: endless, and everything about them is known.

Things with an outline and a texture of their own move before a photo or a procedural picture: they
come nearer and go away, turn, grow, hide one another, and the camera moves too. Pixels, ids, depth
and tracks are exact, also of what comes into view behind a thing, since the scene is made up and
not cut out of a photo.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from backend.compose.draft import ShotDraft
from backend.compose.layers import Background
from backend.contracts import AnnotatedClip, Camera, Lift, Motion, Shot, Tracks
from backend.control.tracks import shot_tracks
from backend.control_sources import shot_masks
from backend.datasets.textures import blob, texture, uniform
from backend.geometry.camera import intrinsics_from_fov

NEAR, FAR = 2.0, 12.0
"""Range of the depth, scene units."""
BEHIND = 10.0
"""Depth of the background's middle."""
LENS = 50.0
"""Degrees that a frame is wide."""
REACH = 1.63
"""The farthest that an outline goes out, in radii of its circle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneOptions:
    """What random scenes are like.

    Attributes:
        height: of a clip's frames, pixels.
        width: likewise.
        frames: of a clip.
        objects: the fewest and the most things in a scene.
        meeting: share of scenes with several things in which two of them cross.
        camera: share of scenes in which the camera moves.
        margin: what is drawn around the frame, as a share of it, so that what enters was there.
    """

    height: int = 64
    width: int = 64
    frames: int = 8
    objects: tuple[int, int] = (1, 2)
    meeting: float = 0.5
    camera: float = 0.2
    margin: float = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticClip:
    """A clip and where its points went.

    Attributes:
        clip: frames, ids and depth; all objects move.
        tracks: points on every object and on the background, in the clip's pixels.
    """

    clip: AnnotatedClip
    tracks: Tracks


class SyntheticClips:
    """Random clips by number: the same number gives the same clip, whoever asks and when.

    Args:
        options: what the scenes are like.
        photos: ``(3, H, W)`` float32 in [0, 1] each, backgrounds and textures are cut out of; with
            none, all are procedural.
        seed: another one gives other clips.
    """

    def __init__(self, options: SceneOptions, photos: Sequence[Tensor] = (), seed: int = 0) -> None:
        self._options, self._photos, self._seed = options, photos, seed

    def __getitem__(self, number: int) -> SyntheticClip:
        if number < 0:
            raise IndexError(f"clips are numbered from 0, not {number}")
        # Mixed, so that neighbouring numbers of neighbouring seeds share nothing
        generator = Generator().manual_seed((self._seed * 1_000_003 + number) % 2**63)
        generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        shot, background = self._scene(generator)
        return _filmed(shot, background, self._options)

    def _scene(self, generator: Generator) -> tuple[Shot, Background]:
        options = self._options
        top, left = _margins(options)
        height, width = options.height + 2 * top, options.width + 2 * left
        # The lens of the frame itself, which the margin widens
        inner = intrinsics_from_fov(LENS, options.height, options.width)
        inner[0, 2] += left
        inner[1, 2] += top
        camera = Camera(intrinsics=inner, height=height, width=width)
        slope = uniform(generator, -1.0, 1.0)
        rows = torch.linspace(BEHIND - slope, BEHIND + slope, height)
        background = Background(
            rgb=self._picture(generator, height, width),
            depth=rows[:, None].expand(height, width).contiguous(),
        )
        least, most = options.objects
        count = int(torch.randint(least, most + 1, (), generator=generator))
        paths = _paths(generator, count, options)
        count = len(paths)
        image, depth = background.rgb.clone(), background.depth.clone()
        instance = torch.zeros(height, width, dtype=torch.int32)
        order = sorted(range(count), key=lambda index: -float(paths[index].place[0, 2]))
        for index in order:  # nearer ones over farther ones
            path = paths[index]
            middle = _on_screen(path.place[0], camera)
            size = path.radius * min(options.height, options.width)
            mask = blob(generator, height, width, middle, size)
            image = torch.where(mask, self._picture(generator, height, width), image)
            depth = torch.where(mask, float(path.place[0, 2]), depth)
            instance[mask] = index + 1
        lift = Lift(image=image, depth=depth, camera=camera, near=NEAR, far=FAR)
        moved = [path.moved_from_rest() for path in paths]
        motion = Motion(
            moved_from_rest=torch.stack(moved, 1),
            camera_from_world=_camera_path(generator, options),
            intrinsics=camera.intrinsics.double().repeat(options.frames, 1, 1),
        )
        shot = Shot(
            lift=lift,
            instance=instance,
            static=(),
            motion=motion,
            engine="draft",
            seed=0,
            options={},
        )
        return shot, background

    def _picture(self, generator: Generator, height: int, width: int) -> Tensor:
        """A part of a photo, or where there are none (and now and then) a texture."""
        if not self._photos or float(torch.rand((), generator=generator)) < 0.3:
            return texture(generator, height, width)
        photo = self._photos[int(torch.randint(len(self._photos), (), generator=generator))]
        own = photo.shape[1:]
        scale = min(own[0] / height, own[1] / width)
        scale *= uniform(generator, 0.3, 1.0)
        rows, columns = max(1, int(height * scale)), max(1, int(width * scale))
        top = int(torch.randint(own[0] - rows + 1, (), generator=generator))
        left = int(torch.randint(own[1] - columns + 1, (), generator=generator))
        part = photo[None, :, top : top + rows, left : left + columns]
        shown = F.interpolate(part, (height, width), mode="bilinear", antialias=True)[0]
        if float(torch.rand((), generator=generator)) < 0.5:
            shown = shown.flip(-1)
        return shown.clamp(0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Path:
    """How a thing moves.

    Attributes:
        place: ``(F, 3)`` float64, its middle in camera axes.
        turn: ``(F, 3, 3)`` float64 from rest.
        growth: ``(F,)`` float64 from rest.
        radius: at rest, as a share of the frame's shorter side.
    """

    place: Tensor
    turn: Tensor
    growth: Tensor
    radius: float

    def moved_from_rest(self) -> Tensor:
        """``(F, 4, 4)``."""
        matrix = torch.eye(4, dtype=torch.float64).repeat(len(self.place), 1, 1)
        matrix[:, :3, :3] = self.turn * self.growth[:, None, None]
        matrix[:, :3, 3] = self.place - (matrix[:, :3, :3] @ self.place[0])
        return matrix


def _paths(generator: Generator, count: int, options: SceneOptions) -> list[_Path]:
    paths: list[_Path] = []
    meet = count > 1 and uniform(generator, 0, 1) < options.meeting
    for _ in range(count):
        radius = uniform(generator, 0.12, 0.24)
        begin = _free_spot(generator, radius, paths)
        if begin is None:  # the frame is full
            break
        end = _spot(generator, 0.4)
        # 1/z is what a picture shows of depth
        near, far = 1 / 7.5, 1 / 3.0
        inverse = uniform(generator, near, far), uniform(generator, near, far)
        if meet and len(paths) == 1:  # it goes where the first one is halfway, before or behind it
            other = paths[0].place[options.frames // 2]
            end = (float(other[0] / other[2]), float(other[1] / other[2]))
            nearer = uniform(generator, 0, 1) < 0.5
            apart = 1.35 if nearer else 1 / 1.35
            inverse = inverse[0], min(max(apart / float(other[2]), 1 / 8.5), 1 / 2.6)
        paths.append(_path(generator, begin, end, inverse, radius, options.frames))
    return paths


def _path(
    generator: Generator,
    begin: tuple[float, float],
    end: tuple[float, float],
    inverse: tuple[float, float],
    radius: float,
    frames: int,
) -> _Path:
    time = torch.linspace(0, 1, frames, dtype=torch.float64)
    if uniform(generator, 0, 1) < 0.5:
        time = time * time * (3 - 2 * time)
    bend = [uniform(generator, -0.15, 0.15) for _ in range(2)]
    arc = 4 * time * (1 - time)
    x = begin[0] + (end[0] - begin[0]) * time + bend[0] * arc
    y = begin[1] + (end[1] - begin[1]) * time + bend[1] * arc
    z = 1 / (inverse[0] + (inverse[1] - inverse[0]) * time)
    roll = uniform(generator, -1.0, 1.0) * (uniform(generator, 0, 1) < 0.6)
    yaw = uniform(generator, -0.7, 0.7) * (uniform(generator, 0, 1) < 0.4)
    grown = math.log(1.25) * uniform(generator, -1, 1) * (uniform(generator, 0, 1) < 0.4)
    return _Path(
        place=torch.stack([x * z, y * z, z], -1),
        turn=_about_y(yaw * time) @ _about_z(roll * time),
        growth=(grown * time).exp(),
        radius=radius,
    )


def _spot(generator: Generator, reach: float) -> tuple[float, float]:
    """A direction (x/z, y/z) at most ``reach`` frames from the middle."""
    frame = 2 * math.tan(math.radians(LENS / 2))
    return frame * uniform(generator, -reach, reach), frame * uniform(generator, -reach, reach)


def _free_spot(
    generator: Generator, radius: float, paths: Sequence[_Path]
) -> tuple[float, float] | None:
    """Where nothing is hidden at rest: what is hidden then is known to nobody."""
    frame = 2 * math.tan(math.radians(LENS / 2))
    for _ in range(50):
        spot = _spot(generator, 0.35)
        taken = (
            math.dist(spot, (path.place[0, :2] / path.place[0, 2]).tolist()) / frame
            < REACH * (radius + path.radius)
            for path in paths
        )
        if not any(taken):
            return spot
    return None


def _camera_path(generator: Generator, options: SceneOptions) -> Tensor:
    """``(F, 4, 4)``; moves of a few percent of the frame, which the margin covers."""
    path = torch.eye(4, dtype=torch.float64).repeat(options.frames, 1, 1)
    if uniform(generator, 0, 1) < options.camera:
        time = torch.linspace(0, 1, options.frames, dtype=torch.float64)
        path[:, :3, :3] = _about_y(uniform(generator, -0.06, 0.06) * time)
        for axis, reach in enumerate((0.5, 0.3, 0.6)):
            path[:, axis, 3] = uniform(generator, -reach, reach) * time
    return path


def _about_y(angle: Tensor) -> Tensor:
    turn = torch.eye(3, dtype=torch.float64).repeat(len(angle), 1, 1)
    turn[:, 0, 0], turn[:, 0, 2] = angle.cos(), angle.sin()
    turn[:, 2, 0], turn[:, 2, 2] = -angle.sin(), angle.cos()
    return turn


def _about_z(angle: Tensor) -> Tensor:
    turn = torch.eye(3, dtype=torch.float64).repeat(len(angle), 1, 1)
    turn[:, 0, 0], turn[:, 0, 1] = angle.cos(), -angle.sin()
    turn[:, 1, 0], turn[:, 1, 1] = angle.sin(), angle.cos()
    return turn


def _on_screen(point: Tensor, camera: Camera) -> tuple[float, float]:
    seen = camera.intrinsics.double() @ point
    return float(seen[0] / seen[2]), float(seen[1] / seen[2])


def _margins(options: SceneOptions) -> tuple[int, int]:
    return math.ceil(options.margin * options.height), math.ceil(options.margin * options.width)


def _filmed(shot: Shot, background: Background, options: SceneOptions) -> SyntheticClip:
    top, left = _margins(options)
    rows, columns = slice(top, top + options.height), slice(left, left + options.width)
    draft = ShotDraft(shot, background=background)
    frames = torch.stack([draft[index].rgb for index in range(len(draft))])
    masks = shot_masks(shot)
    # Nothing of the shot lies behind its things; of the scene there does
    bare = replace(
        shot,
        lift=replace(shot.lift, image=background.rgb, depth=background.depth),
        instance=torch.zeros_like(shot.instance),
        motion=replace(shot.motion, moved_from_rest=shot.motion.moved_from_rest[:, :0]),
    )
    behind = shot_masks(bare)
    own = masks.instance > 0
    instance = torch.where(own, masks.instance, 0)
    depth = torch.where(own, masks.depth, behind.depth.clamp(max=FAR))
    tracks = shot_tracks(shot, replace(masks, instance=instance, depth=depth))
    xy = tracks.xy - tracks.xy.new_tensor([left, top])
    inside = ((xy >= 0) & (xy < xy.new_tensor([options.width, options.height]))).all(-1)
    camera = shot.lift.camera
    intrinsics = camera.intrinsics.clone()
    intrinsics[0, 2] -= left
    intrinsics[1, 2] -= top
    objects = shot.motion.moved_from_rest.shape[1]
    return SyntheticClip(
        clip=AnnotatedClip(
            frames=frames[:, :, rows, columns].contiguous(),
            instance=instance[:, rows, columns].contiguous(),
            depth=depth[:, rows, columns].contiguous(),
            near=NEAR,
            far=FAR,
            moving=objects,
            names=tuple(f"object {number}" for number in range(1, objects + 1)),
            camera=Camera(intrinsics=intrinsics, height=options.height, width=options.width),
        ),
        tracks=replace(tracks, xy=xy, visible=tracks.visible & inside),
    )
