"""Examples: clips with their control signal, through the same ``Control`` as a shot's.

What LeviTor is told of a shot and of a training clip is made by the same functions
(``control.levitor``); only where the masks come from differs (``control_sources``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from backend.contracts import AnnotatedClip
from backend.control.levitor import ALPHA, K_MAX, Point, points_from_masks, stamp_points
from backend.control_sources import ClipControl
from backend.datasets.base import LabelledClip
from backend.datasets.synthetic import SceneOptions, SyntheticClips
from backend.training.base import Example
from backend.training.config import guess
from protocol.errors import ShotError


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlOptions:
    """How the control signal of a clip is made; the defaults are the paper's and its release's.

    Attributes:
        radius: of a point's Gaussian, pixels. The release: 10 in 512 x 288.
        alpha: points of an object that fills the frame. The release: 50.
        k_max: most points of an object. The paper: 8.
        depth: whether points have a depth; without it the third map is zero.
        instance: whether points have an id; without it the second map is zero.
        single_point: one point an object instead of several (with ``depth`` and ``instance`` the
            ablations of the paper).
    """

    radius: int = guess(10, "the release, at 512 x 288")
    alpha: float = guess(ALPHA, "the release; the paper is silent")
    k_max: int = guess(K_MAX, "the release")
    depth: bool = True
    instance: bool = True
    single_point: bool = False

    @property
    def most_points(self) -> int:
        """Of an object."""
        return 1 if self.single_point else self.k_max


class SyntheticExamples:
    """Drawn clips, endless: example ``number`` is clip ``number``.

    Args:
        options: what the scenes are like.
        control: how their signal is made.
        photos: ``(3, H, W)`` float32 in [0, 1] each, pictures are cut out of.
        seed: another one gives other clips.
    """

    def __init__(
        self,
        options: SceneOptions,
        control: ControlOptions,
        photos: Sequence[Tensor] = (),
        seed: int = 0,
    ) -> None:
        self._clips = SyntheticClips(options, photos, seed)
        self._control = control

    def __getitem__(self, number: int) -> Example:
        """Draw it."""
        return example_of(self._clips[number].clip, self._control, number)


def example_of(
    clip: LabelledClip | AnnotatedClip, control: ControlOptions, number: int = 0
) -> Example:
    """A clip whose depth is known, as a network learns from it.

    No object has the three points at least that one an artist moves has: the paper's rule for
    training.

    Raises:
        ShotError: the clip's parts do not go together, or it is shorter than two frames.
    """
    try:
        annotated = clip.annotated() if isinstance(clip, LabelledClip) else clip
        masks = ClipControl(annotated).masks()
        points = points_from_masks(
            masks, 0, masks.near, masks.far, alpha=control.alpha, k_max=control.most_points
        )
    except ValueError as error:
        raise ShotError("clip", f"{error}.", "Leave the clip out.") from error
    height, width = annotated.frames.shape[-2:]
    return Example(
        number=number,
        frames=annotated.frames,
        maps=control_maps(points, height, width, control),
    )


def control_maps(
    points: Sequence[Sequence[Point]], height: int, width: int, control: ControlOptions
) -> Tensor:
    """Points drawn as the options say.

    Args:
        points: a list of (row, col, id, depth) per frame.
        height: of the frame.
        width: of the frame.
        control: the options.

    Returns:
        ``(F, 3, H, W)`` float32, raw values 0..255: heat, id, depth.
    """
    maps = stamp_points(points, height, width, control.radius)
    if not control.instance:
        maps[:, 1] = 0
    if not control.depth:
        maps[:, 2] = 0
    return maps
