"""One small message of every kind, with arrays whose numbers a reader can check."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from protocol import content
from protocol.frames import FrameRule
from protocol.messages import (
    Accepted,
    Blob,
    BlobData,
    BlobGet,
    BlobOffer,
    BlobPut,
    BlobStatus,
    Cancel,
    DepthMapFile,
    EngineInfo,
    EngineOption,
    Error,
    Fetch,
    GetState,
    Hello,
    Instance,
    InstanceObedience,
    Lifted,
    LiftRequest,
    Limits,
    Obedience,
    PerceptionInfo,
    Ping,
    Pong,
    Previewed,
    PreviewRequest,
    Progress,
    Refusal,
    Rendered,
    RenderRequest,
    Scene,
    Segmented,
    SegmentRequest,
    ShotMessage,
    State,
    Welcome,
)

HEIGHT, WIDTH, FRAMES = 4, 6, 3
HASH = "0f" * 32
PHOTO = Blob(sha256=HASH, size=1234, media="image/jpeg")

IMAGE, IMAGE_BYTES = content.array_blob_of(
    np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)
)
DEPTH, DEPTH_BYTES = content.array_blob_of(np.full((HEIGHT, WIDTH), 5.0, np.float32))
_ids = np.zeros((HEIGHT, WIDTH), np.int32)
_ids[1:3, 2:4] = 1
IDS, IDS_BYTES = content.array_blob_of(_ids)
MASK, _ = content.array_blob_of(_ids.astype(np.uint8))
WHOLE, _ = content.array_blob_of(np.ones((HEIGHT, WIDTH), np.uint8))
INSIDE, _ = content.array_blob_of(np.full(4, 5.0, np.float32))
OUTSIDE, _ = content.array_blob_of(np.full(HEIGHT * WIDTH, 6.0, np.float32))
LOGITS, _ = content.array_blob_of(np.array([[-1.5, 0.5], [2.0, -3.0]], np.float32))
BLOBS = {IMAGE.sha256: IMAGE_BYTES, DEPTH.sha256: DEPTH_BYTES, IDS.sha256: IDS_BYTES}

INTRINSICS = np.array([[8.0, 0.0, 3.0], [0.0, 8.0, 2.0], [0.0, 0.0, 1.0]])
SCENE = Scene(image=IMAGE, depth=DEPTH, intrinsics=INTRINSICS, near=2.0, far=20.0)


def moved(frames: int = FRAMES) -> np.ndarray[Any, Any]:
    """One instance that slides 0.5 to the right, evenly."""
    matrices = np.tile(np.eye(4), (frames, 1, 1, 1))
    matrices[:, 0, 0, 3] = np.linspace(0.0, 0.5, frames)
    return matrices


def shot(**changes: Any) -> ShotMessage:
    """A good shot, with what a test wants changed."""
    given: dict[str, Any] = {
        "scene": SCENE,
        "instance_map": IDS,
        "instances": (
            Instance(
                id=1,
                name="Dahlia",
                moving=True,
                handle=(0.0, 0.0, 5.0),
                flatten=0.5,
                thickness=0.25,
            ),
        ),
        "moved_from_rest": moved(),
        "camera_from_world": np.tile(np.eye(4), (FRAMES, 1, 1)),
        "intrinsics": np.tile(INTRINSICS, (FRAMES, 1, 1)),
        "frame_start": 1,
        "frame_end": 9,
        "fps": 24.0,
        "engine": "draft",
        "seed": 7,
        "options": {"softness": 1.0},
    }
    return ShotMessage(**(given | changes))


OPTION = EngineOption(name="softness", label="Edge", help="Width", default=1.0, low=0.0, high=4.0)

PROMPT = EngineOption(
    name="prompt",
    label="Prompt",
    help="Words",
    default="a dahlia\nin the wind",
    kind="text",
    length=300,
    group="Look",
    advanced=True,
    visible_if=("softness", 0.0, 1.0),
)

SAMPLES: dict[str, Any] = {
    "hello": Hello(client="c1", product="levitor 0.1.0"),
    "welcome": Welcome(
        product="levitor 0.1.0",
        limits=Limits(),
        engines=(
            EngineInfo(name="draft", label="Draft", help="Fast", options=(OPTION,)),
            EngineInfo(
                name="levitor",
                label="LeviTor",
                help="Real",
                options=(OPTION, PROMPT),
                missing="No weights.",
                frames=FrameRule(min=1, max=81, step=4, default=49),
                requires=("masks", "prompt"),
            ),
        ),
        perception=(PerceptionInfo(task="depth", name="ground plane"),),
        device="cpu",
    ),
    "refusal": Refusal(code="version", sentence="No.", fix="Update."),
    "ping": Ping(),
    "pong": Pong(),
    "error": Error(code="missing_blobs", sentence="Two are missing.", missing=(HASH, HASH)),
    "blob_offer": BlobOffer(sha256=HASH, size=5),
    "blob_put": BlobPut(sha256=HASH, offset=2, data=np.array([1, 2, 3], np.uint8)),
    "blob_status": BlobStatus(sha256=HASH, received=5, complete=True),
    "blob_get": BlobGet(sha256=HASH, offset=0, length=3),
    "blob_data": BlobData(sha256=HASH, offset=0, size=3, data=np.array([9, 8, 7], np.uint8)),
    "lift": LiftRequest(
        image=PHOTO,
        horizontal_fov=0.0,
        depth=DepthMapFile(file=PHOTO),
        focal=(8.0, 8.0, 3.0, 2.0),
        depth_model="depth-anything-v2-small",
        segment_model="offline",
        depth_size=700,
        clean_edges=False,
        scene_kind="auto",
    ),
    "segment": SegmentRequest(
        scene=SCENE,
        points=np.array([[1.5, 2.5], [3.0, 1.0]]),
        positive=np.array([1, 0], np.uint8),
        box=(0.0, 0.0, 4.0, 3.0),
        upright=True,
        previous=LOGITS,
        segment_model="sam-vit-base",
    ),
    "submit": RenderRequest(shot=shot()),
    "preview": PreviewRequest(shot=shot(), over="photo", depth=False),
    "accepted": Accepted(job="j1", place=0),
    "get_state": GetState(job="j1"),
    "fetch": Fetch(job="j1"),
    "cancel": Cancel(job="j1"),
    "state": State(job="j1", seq=3, state="failed", code="x", sentence="Why.", fix="How."),
    "progress": Progress(job="j1", seq=2, phase="draft", done=3, total=16, eta_seconds=0.5),
    "lifted": Lifted(
        job="j1",
        scene=replace(SCENE, kind="backdrop"),
        segments=IDS,
        depth_model="ground plane",
        segment_model="Felzenszwalb",
        upright=True,
        notes=("A note.",),
        horizontal_fov=54.4,
        fov_source="EXIF, 35 mm",
    ),
    "segmented": Segmented(
        job="j1",
        mask=MASK,
        depth=DEPTH,
        segment_model="sam-vit-base",
        notes=("A note.",),
        candidates=(MASK, WHOLE),
        scores=(0.93, 0.5),
        depths=(INSIDE, OUTSIDE),
        logits=(LOGITS, LOGITS),
    ),
    "rendered": Rendered(
        job="j1",
        video=Blob(sha256=HASH, size=9, media="video/mp4"),
        frames=9,
        height=4,
        width=6,
        fps=24.0,
        engine="draft",
        seed=7,
        shot=HASH,
        options={"softness": 1.0, "fast": True},
        shown=(0.5, 0.0, 3.0, 6.0),
        obedience=Obedience(
            frames=7,
            centroid_error_px=0.75,
            centroid_error_percent=10.5,
            mask_iou=0.8125,
            occlusion_events=0,
            background_drift_px=0.25,
            instances=(
                InstanceObedience(
                    id=1, centroid_error_px=0.75, mask_iou=0.8125, in_sight=7, lost=1
                ),
                InstanceObedience(id=2),
            ),
        ),
    ),
    "previewed": Previewed(
        job="j1",
        video=Blob(sha256=HASH, size=9, media="video/mp4"),
        frames=9,
        height=4,
        width=12,
        fps=24.0,
        shot=HASH,
        points=3.5,
        notes=("A note.",),
    ),
}
