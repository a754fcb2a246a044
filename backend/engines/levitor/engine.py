"""The LeviTor engine: Stable Video Diffusion, told by a ControlNet where things go."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from backend.contracts import OnStep
from backend.engines.base import Scalar
from backend.engines.levitor.signal import LevitorSignal
from backend.engines.levitor.spec import SPEC
from backend.engines.svd.pipeline import SVDPipeline
from backend.engines.svd.sampler import SamplerSettings
from backend.engines.svd.take_spec import ControlMaps, TakeSpec
from backend.resources import Resources

CONTROLNET = "levitor"


class LevitorEngine:
    """Holds the ControlNet between shots, and the base together with the other engines on it."""

    spec = SPEC

    def __init__(self, resources: Resources) -> None:
        """Find the weights.

        Raises:
            ShotError: they are not there.
        """
        self._pipeline = SVDPipeline(resources, (CONTROLNET,))

    def sample(
        self,
        image: Tensor,
        signal: LevitorSignal,
        options: Mapping[str, Scalar],
        seed: int,
        on_step: OnStep,
    ) -> Tensor:
        """Frames ``(F, 3, H, W)`` in the photo's proportions.

        Raises:
            ShotError: the weights cannot be read, or the memory is not enough.
        """
        maps = ControlMaps(maps=signal.maps, scale=float(options["control_scale"]))
        spec = TakeSpec(
            image=image,
            fit=signal.fit,
            frames=len(signal.maps),
            seed=seed,
            settings=_settings(options),
            steps=int(options["steps"]),
            schedule=str(options["schedule"]),
            controls={CONTROLNET: maps},
            compile=bool(options["compile"]),
            channels_last=bool(options["channels_last"]),
        )
        return self._pipeline.sample(spec, on_step)

    def release(self) -> None:
        """Let go of the networks; the base stays where another engine holds it."""
        self._pipeline.release()


def _settings(options: Mapping[str, Scalar]) -> SamplerSettings:
    return SamplerSettings(
        guidance_min=float(options["guidance_min"]),
        guidance_max=float(options["guidance_max"]),
        motion_bucket=float(options["motion_bucket"]),
        fps=int(options["fps"]),
        noise_augmentation=float(options["noise_augmentation"]),
        legacy_cfg_context=bool(options["legacy_cfg_context"]),
        reuse=int(options["reuse"]),
    )
