"""Tiny datasets in the layouts that the real ones are published in."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from PIL import Image

HEIGHT, WIDTH = 48, 64
_FIRST, _MORE, _SIGN = 48, 0x20, 0x10
PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128, 128, 0, 128] + 750 * [224]
"""The first six colours of PASCAL's palette, which DAVIS and YouTube-VOS use, and a light grey."""


def labels(frame, objects=2):
    """Squares that go to the right, the second one below the first."""
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number in range(1, objects + 1):
        top, left = 4 + 16 * (number - 1), 4 + round(2 * frame)
        ids[top : top + 12, left : left + 12] = number
    return ids


def picture(frame, objects=2):
    """A grey ramp on which the objects are red, green, ..."""
    shown = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    shown[:] = np.linspace(60, 200, WIDTH).astype(np.uint8)[None, :, None]
    ids = labels(frame, objects)
    for number in range(1, objects + 1):
        shown[ids == number] = PALETTE[3 * number : 3 * number + 3]
    return shown


def film(path: Path, frames: int, rate=24, every=1, gop=12):
    """A video with B-frames; picture ``i`` is the one of frame ``i / every``."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.gop_size, stream.max_b_frames = gop, 2
        stream.options = {"crf": "8"}
        for index in range(frames):
            shown = av.VideoFrame.from_ndarray(picture(index / every), "rgb24")
            container.mux(stream.encode(shown))
        container.mux(stream.encode(None))


def run_lengths(mask):
    """COCO's compressed string of a mask, a run at a time."""
    flat = np.asarray(mask, bool).T.reshape(-1)
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]
    runs = [int(b - a) for a, b in pairwise(edges)]
    if flat[0]:
        runs = [0, *runs]
    text = ""
    for at, run in enumerate(runs):
        value = run - runs[at - 2] if at > 2 else run
        more = True
        while more:
            low, value = value & 0x1F, value >> 5
            more = value != (-1 if low & _SIGN else 0)
            text += chr(_FIRST + (low | _MORE if more else low))
    return text


def masklets(annotated, numbers, kind):
    """What a JSON file of SA-V says of the objects ``numbers``."""
    frames = [
        [
            {"size": [HEIGHT, WIDTH], "counts": run_lengths(labels(frame) == number)}
            for number in numbers
        ]
        for frame in range(annotated)
    ]
    return {
        "video_id": "sav_000001",
        "video_frame_count": float(4 * annotated),
        "video_height": float(HEIGHT),
        "video_width": float(WIDTH),
        "masklet": frames,
        "masklet_id": [number - 1 for number in numbers],
        "masklet_type": [kind] * len(numbers),
        "masklet_num": len(numbers),
    }


def sa_v(root: Path, annotated=20, videos=("sav_000001",)):
    """The training set: object 1 by people, object 2 by the machine."""
    folder = root / "sav_train" / "sav_000"
    folder.mkdir(parents=True)
    for name in videos:
        film(folder / f"{name}.mp4", 4 * annotated, every=4)
        for kind, number in (("manual", 1), ("auto", 2)):
            said = masklets(annotated, [number], kind)
            (folder / f"{name}_{kind}.json").write_text(json.dumps(said))
    return folder


def sa_v_frames(root: Path, annotated=6):
    """The validation set: each object has a folder of masks, and is not in all of them."""
    frames = root / "JPEGImages_24fps" / "sav_000002"
    frames.mkdir(parents=True)
    for index in range(4 * annotated):
        Image.fromarray(picture(index / 4)).save(frames / f"{index:05}.jpg", quality=95)
    for number in (1, 2):
        folder = root / "Annotations_6fps" / "sav_000002" / f"{number - 1:03}"
        folder.mkdir(parents=True)
        for index in range(annotated if number == 1 else 3):
            mask = Image.fromarray(np.where(labels(index) == number, 255, 0).astype(np.uint8))
            mask.save(folder / f"{4 * index:05}.png")
    return root


def indexed(ids, palette=PALETTE):
    """A PNG with a palette."""
    image = Image.frombytes("P", ids.shape[::-1], np.asarray(ids, np.uint8).tobytes())
    image.putpalette(palette)
    return image


def frame_folders(frames: Path, maps: Path, count=8, every=1, save=indexed):
    """One video's folders; a map for every so many frames."""
    frames.mkdir(parents=True)
    maps.mkdir(parents=True)
    for index in range(count):
        Image.fromarray(picture(index)).save(frames / f"{index:05}.jpg", quality=95)
        if index % every == 0:
            save(labels(index)).save(maps / f"{index:05}.png")


def davis(root: Path, videos=("bear", "camel")):
    for name in videos:
        frame_folders(
            root / "JPEGImages" / "480p" / name, root / "Annotations" / "480p" / name, count=18
        )
    lists = root / "ImageSets" / "2017"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("bear\n")
    (lists / "val.txt").write_text("camel\n")
    return root


def youtube_vos(root: Path, video="003234408d"):
    root = root / "train"
    frame_folders(root / "JPEGImages" / video, root / "Annotations" / video, count=21, every=5)
    objects = {"1": {"category": "penguin", "frames": []}, "2": {"category": "dog", "frames": []}}
    (root / "meta.json").write_text(json.dumps({"videos": {video: {"objects": objects}}}))
    return root


def panoptic(ids):
    """Person 0 and person 1 (category 61) before stuff 12; one pixel of void."""
    values = np.array([12, 6100, 6101])[ids].astype(np.uint16)
    values[0, 0] = 0
    values[0, 1] = 200
    return Image.fromarray(values)


def vip_seg(root: Path, video="1_zPB4Zr3gXi8"):
    frame_folders(root / "imgs" / video, root / "panomasks" / video, save=panoptic)
    table = [{"id": 60, "name": "person", "isthing": 1}]
    (root / "panoVIPSeg_categories.json").write_text(json.dumps(table))
    (root / "val.txt").write_text(f"{video}\n")
    return root


def own_clips(root: Path, frames=6):
    """A film, and masks as Blender's compositor writes them: grey, 16 bits, soft at the edge."""
    root.mkdir(exist_ok=True)
    film(root / "walk.mp4", frames)
    for number, name in enumerate(("cat", "dog"), 1):
        (root / "walk" / name).mkdir(parents=True)
        for frame in range(frames):
            mask = np.where(labels(frame) == number, 65535, 0).astype(np.uint16)
            mask[0, 0] = 20000
            Image.fromarray(mask).save(root / "walk" / name / f"{frame + 1:04}.png")
    return root
