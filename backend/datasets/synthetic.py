"""Clips of random scenes: endless, and everything about them is known.

Things with an outline and a texture of their own move before a photo or a procedural picture: they
come nearer and go away, turn, grow, hide one another, and the camera moves too. Pixels, ids, depth
and tracks are exact, also of what comes into view behind a thing, since the scene is made up and
not cut out of a photo. All of it is flat, so it is composited by ``compose.planes``, ten times as
fast as by the draft of the same scene, which tests compare it with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from backend.compose.planes import Plane, PlaneViews, view_planes
from backend.contracts import AnnotatedClip, Camera, Lift, MaskSequence, Motion, Shot, Tracks
from backend.control.tracks import shot_tracks
from backend.datasets.random_paths import LENS, Path, random_camera, random_paths
from backend.datasets.textures import outline, texture, uniform
from backend.geometry.camera import intrinsics_from_fov
from backend.seeds import seeded_generator

NEAR, FAR = 2.0, 12.0
"""Range of the depth, scene units."""
BEHIND = 10.0
"""Depth of the background's middle."""


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
class Scene:
    """All there is to know of a clip.

    Attributes:
        planes: the background, then the things by their ids.
        camera: at rest, of a picture with a margin around the frame.
        motion: of the things and the camera.
        window: top, left, height and width of the frame in that picture.
    """

    planes: tuple[Plane, ...]
    camera: Camera
    motion: Motion
    window: tuple[int, int, int, int]

    def views(self) -> PlaneViews:
        """The background and every thing, each alone, in all frames."""
        return view_planes(self.planes, self.camera, self.window)

    def shot(self) -> Shot:
        """The scene as an artist would have it, with its margin: a photo, lifted, and motion."""
        whole = (0, 0, self.camera.height, self.camera.width)
        rest = [
            replace(plane, camera_from_rest=torch.eye(4, dtype=torch.float64)[None])
            for plane in self.planes
        ]
        rgb, instance, depth = view_planes(rest, self.camera, whole).composited()
        lift = Lift(image=rgb[0], depth=depth[0], camera=self.camera, near=NEAR, far=FAR)
        return Shot(
            lift=lift,
            instance=instance[0],
            static=(),
            motion=self.motion,
            engine="draft",
            seed=0,
            options={},
        )

    def tracks(self) -> Tracks:
        """Where points on every thing and on the background go, in the clip's pixels."""
        whole = (0, 0, self.camera.height, self.camera.width)
        _, instance, depth = view_planes(self.planes, self.camera, whole).composited()
        masks = MaskSequence(instance=instance, depth=depth.clamp(max=FAR))
        tracks = shot_tracks(self.shot(), masks)
        top, left, height, width = self.window
        xy = tracks.xy - tracks.xy.new_tensor([left, top])
        inside = ((xy >= 0) & (xy < xy.new_tensor([width, height]))).all(-1)
        return replace(tracks, xy=xy, visible=tracks.visible & inside)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticClip:
    """A clip and what it was made of.

    Attributes:
        clip: frames, ids and depth; all objects move.
        scene: what it shows.
    """

    clip: AnnotatedClip
    scene: Scene


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
        scene = self._scene(seeded_generator(self._seed, number))
        return SyntheticClip(clip=_filmed(scene), scene=scene)

    def _scene(self, generator: Generator) -> Scene:
        options = self._options
        top = math.ceil(options.margin * options.height)
        left = math.ceil(options.margin * options.width)
        height, width = options.height + 2 * top, options.width + 2 * left
        # The lens of the frame itself, which the margin widens
        inner = intrinsics_from_fov(LENS, options.height, options.width)
        inner[0, 2] += left
        inner[1, 2] += top
        camera = Camera(intrinsics=inner, height=height, width=width)
        view = random_camera(generator, options.frames, options.camera)
        slope = uniform(generator, -1.0, 1.0)
        edge = height / 2 / float(inner[1, 1])
        tilt = (1 / (BEHIND + slope) - 1 / BEHIND) / edge
        planes = [
            Plane(
                rgb=self._picture(generator, height, width),
                alpha=torch.ones(height, width),
                normal=torch.tensor([0, tilt, 1 / BEHIND], dtype=torch.float64),
                camera_from_rest=view,
            )
        ]
        least, most = options.objects
        count = int(torch.randint(least, most + 1, (), generator=generator))
        paths = random_paths(generator, count, options.frames, options.meeting)
        for path in paths:
            x, y = _on_screen(path.place[0], camera)
            size = path.radius * min(options.height, options.width)
            planes.append(
                Plane(
                    rgb=self._picture(generator, height, width),
                    alpha=outline(generator, height, width, (x, y), size),
                    normal=torch.tensor([0, 0, 1 / float(path.place[0, 2])], dtype=torch.float64),
                    camera_from_rest=view @ path.moved_from_rest(),
                )
            )
        motion = Motion(
            moved_from_rest=_moved_from_rest(paths, options.frames),
            camera_from_world=view,
            intrinsics=inner.double().repeat(options.frames, 1, 1),
        )
        window = (top, left, options.height, options.width)
        return Scene(planes=tuple(planes), camera=camera, motion=motion, window=window)

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


def _moved_from_rest(paths: Sequence[Path], frames: int) -> Tensor:
    if not paths:
        return torch.zeros(frames, 0, 4, 4, dtype=torch.float64)
    return torch.stack([path.moved_from_rest() for path in paths], 1)


def _on_screen(point: Tensor, camera: Camera) -> tuple[float, float]:
    seen = camera.intrinsics.double() @ point
    return float(seen[0] / seen[2]), float(seen[1] / seen[2])


def _filmed(scene: Scene) -> AnnotatedClip:
    frames, instance, depth = scene.views().composited()
    top, left, height, width = scene.window
    intrinsics = scene.camera.intrinsics.clone()
    intrinsics[0, 2] -= left
    intrinsics[1, 2] -= top
    objects = len(scene.planes) - 1
    return AnnotatedClip(
        frames=frames,
        instance=instance,
        depth=depth.clamp(max=FAR),
        near=NEAR,
        far=FAR,
        moving=objects,
        names=tuple(f"object {number}" for number in range(1, objects + 1)),
        camera=Camera(intrinsics=intrinsics, height=height, width=width),
    )
