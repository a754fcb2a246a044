"""Which format a folder is in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from backend.datasets.base import Dataset, broken
from backend.datasets.frame_folders import Davis, VipSeg, YouTubeVos
from backend.datasets.own_clips import OwnClips
from backend.datasets.sa_v import SaVFrames, SaVTrain
from backend.datasets.shots import Shots

FORMATS = (
    "SA-V (ID.mp4 beside ID_manual.json or ID_auto.json; or JPEGImages_24fps and "
    "Annotations_6fps), DAVIS (JPEGImages/480p and Annotations/480p), YouTube-VOS (JPEGImages and "
    "Annotations), VIPSeg (imgs and panomasks), .shot files, or films with painted masks (NAME.mp4 "
    "and NAME/OBJECT/0001.png)"
)
_KNOWN: tuple[tuple[Callable[[Path], bool], Callable[[Path, str], Dataset]], ...] = (
    (SaVFrames.recognises, lambda root, split: SaVFrames(root)),
    (Davis.recognises, Davis),
    (VipSeg.recognises, VipSeg),
    (YouTubeVos.recognises, lambda root, split: YouTubeVos(root)),
    (SaVTrain.recognises, lambda root, split: SaVTrain(root)),
    (OwnClips.recognises, lambda root, split: OwnClips(root)),
    (Shots.recognises, lambda root, split: Shots(root)),
)


def open_dataset(root: Path, split: str = "") -> Dataset:
    """The dataset in a folder.

    Args:
        root: the folder.
        split: ``train``, ``val`` ..., where the format has lists of them.

    Raises:
        ShotError: nothing in it is in a format that is known.
    """
    if not root.is_dir():
        raise broken(root, "there is no such folder.", "Give the dataset's folder.")
    for recognises, make in _KNOWN:
        if recognises(root):
            return make(root, split)
    raise broken(root, "no dataset was recognised in it.", f"Give a folder with {FORMATS}.")
