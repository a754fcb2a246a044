"""A shot of two things with a texture of their own that cross before a third, and its frames."""

from __future__ import annotations

from dataclasses import replace

import torch

from backend.contracts import Camera, Lift, Motion, Shot
from protocol import content
from protocol.messages import Instance, Scene, ShotMessage
from tests.evaluation.pictures import texture

HEIGHT, WIDTH, FRAMES = 96, 144, 4
FOCAL = 120.0
NEAR, FAR = 4.0, 8.0


def crossing_shot(camera_step: float = 0.0) -> Shot:
    """Thing 1 goes right before thing 2, which goes left; the camera may go right, too.

    Args:
        camera_step: scene units a frame.
    """
    image = texture(HEIGHT, WIDTH, seed=1) * 0.6
    depth = torch.full((HEIGHT, WIDTH), FAR)
    instance = torch.zeros(HEIGHT, WIDTH, dtype=torch.int32)
    boxes = {1: (30, 54, 20, 50, 4.0), 2: (36, 66, 84, 112, 6.0)}
    colours = {1: (0.4, 0.0, 0.0), 2: (0.0, 0.0, 0.4)}
    for item, (top, bottom, left, right, z) in boxes.items():
        part = (slice(top, bottom), slice(left, right))
        instance[part], depth[part] = item, z
        own = texture(HEIGHT, WIDTH, seed=item + 1) * 0.6
        image[:, part[0], part[1]] = (own + torch.tensor(colours[item])[:, None, None])[:, *part]
    intrinsics = torch.tensor([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    camera = Camera(intrinsics=intrinsics, height=HEIGHT, width=WIDTH)
    moved = torch.eye(4, dtype=torch.float64).repeat(FRAMES, 2, 1, 1)
    time = torch.linspace(0, 1, FRAMES, dtype=torch.float64)
    moved[:, 0, 0, 3] = 42 * NEAR / FOCAL * time  # pixels
    moved[:, 1, 0, 3] = -12 * 6.0 / FOCAL * time
    view = torch.eye(4, dtype=torch.float64).repeat(FRAMES, 1, 1)
    view[:, 0, 3] = -camera_step * torch.arange(FRAMES)
    return Shot(
        lift=Lift(image=image, depth=depth, camera=camera, near=2.0, far=20.0),
        instance=instance,
        static=(),
        motion=Motion(
            moved_from_rest=moved,
            camera_from_world=view,
            intrinsics=intrinsics.double().repeat(FRAMES, 1, 1),
        ),
        engine="draft",
        seed=0,
        options={},
    )


def crossing_message(**changes):
    """The crossing shot as Blender saves it, of 12 frames a second from frame 10 to 16."""
    shot = crossing_shot()
    image = (shot.lift.image * 255).round().byte().movedim(0, -1).contiguous().numpy()
    arrays = (image, shot.lift.depth.numpy(), shot.instance.numpy())
    refs, data = zip(*(content.array_blob_of(array) for array in arrays), strict=True)
    k = shot.lift.camera.intrinsics.double().numpy()
    message = ShotMessage(
        scene=Scene(image=refs[0], depth=refs[1], intrinsics=k, near=2.0, far=20.0),
        instance_map=refs[2],
        instances=tuple(
            Instance(id=item, name=name, moving=True, handle=(0.0, 0.0, 4.0))
            for item, name in ((1, "Red"), (2, "Blue"))
        ),
        moved_from_rest=shot.motion.moved_from_rest.numpy(),
        camera_from_world=shot.motion.camera_from_world.numpy(),
        intrinsics=shot.motion.intrinsics.numpy(),
        frame_start=10,
        frame_end=16,
        fps=12.0,
        engine="draft",
    )
    return replace(message, **changes), {
        ref.sha256: blob for ref, blob in zip(refs, data, strict=True)
    }
