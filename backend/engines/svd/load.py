"""Networks from their folders, strictly: every key, nothing else, and nothing but numbers is read.

Expects Stable Video Diffusion in diffusers' layout (``image_encoder``, ``vae``, ``unet``,
``scheduler``, ``feature_extractor``), and a ControlNet either in the released layout, of which only
``controlnet/`` is looked at, or as our own training saves it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import (
    AutoencoderKLTemporalDecoder,
)
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPVisionModelWithProjection
from transformers.utils import logging as transformers_logging

from backend.engines.svd.controlnet import (
    CONDITION_CHANNELS,
    EMBEDDING_CHANNELS,
    SVDControlNet,
)
from backend.engines.svd.unet import ControlledUNet
from backend.networks import SHOWN_KEYS, copy_from_mapped_file, fill
from backend.resources import is_out_of_memory
from protocol.errors import ShotError

log = logging.getLogger(__name__)

Made = TypeVar("Made")
CONTROL_STEM = "diffusion_pytorch_model"
STEMS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "image_encoder": "model",
}
"""How each part's file of weights is called, without its endings."""
SIGMAS = (0.002, 700.0)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Stable Video Diffusion.

    Attributes:
        image_encoder: CLIP.
        vae: codec between pixels and latents.
        unet: the denoiser.
        sigma_min: lowest noise level it was trained on.
        sigma_max: highest.
        clip_mean: of CLIP's normalisation, a value a channel.
        clip_std: likewise.
    """

    image_encoder: CLIPVisionModelWithProjection
    vae: AutoencoderKLTemporalDecoder
    unet: ControlledUNet
    sigma_min: float
    sigma_max: float
    clip_mean: tuple[float, ...]
    clip_std: tuple[float, ...]


def load_base(folder: Path, dtype: torch.dtype) -> Base:
    """Read Stable Video Diffusion into main memory.

    Raises:
        ShotError: the folder, a file or a key is missing, or it is another model.
    """
    if not folder.is_dir():
        raise _bad(f"The folder '{folder}' does not exist.", "Name the folder of SVD-XT.")
    unet_config = read_config(folder / "unet")
    clip_config = read_config(folder / "image_encoder")
    _check_base(folder, unet_config, clip_config)
    half = dtype in (torch.float16, torch.bfloat16)
    with torch.device("meta"):
        unet = _made(ControlledUNet, unet_config, folder / "unet")
        vae = _made(AutoencoderKLTemporalDecoder, read_config(folder / "vae"), folder / "vae")
    mean, std = _clip_normalisation(folder)
    sigma_min, sigma_max = _noise_levels(folder)
    # Every file is looked for before the first of them, which are gigabytes, is read
    files = {part: _weights_file(folder / part, stem, half) for part, stem in STEMS.items()}
    for network, part in ((unet, "unet"), (vae, "vae")):
        _fill(network, read_weights(files[part], dtype), str(folder / part))
    return Base(
        image_encoder=_load_clip(files["image_encoder"], dtype),
        vae=vae,
        unet=unet,
        sigma_min=sigma_min,
        sigma_max=sigma_max,
        clip_mean=mean,
        clip_std=std,
    )


def load_controlnet(
    folder: Path, unet: UNetSpatioTemporalConditionModel, dtype: torch.dtype
) -> SVDControlNet:
    """Read a ControlNet for ``unet`` into main memory.

    Its architecture is the UNet's: the configuration in the released folder is known to differ in
    what does not matter. Pickles beside it are never opened.

    Args:
        folder: the released dump (its ``controlnet/`` is used), or a folder we saved.
        unet: the base it was trained on.
        dtype: of the weights.

    Raises:
        ShotError: there is no ControlNet, or its keys are not this base's.
    """
    own = controlnet_place(folder)
    endings = ["safetensors", "fp16.safetensors", "bin"]
    if dtype in (torch.float16, torch.bfloat16):
        endings[:2] = reversed(endings[:2])
    files = [own / f"{CONTROL_STEM}.{ending}" for ending in endings]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        raise _bad(
            f"'{folder}' has neither controlnet/{CONTROL_STEM}.safetensors nor "
            f"{CONTROL_STEM}.safetensors.",
            "Name the folder of LeviTor's checkpoint, the one with controlnet/ in it.",
        )
    config = read_config(own) if (own / "config.json").is_file() else {}
    channels = config.get("conditioning_channels") or CONDITION_CHANNELS
    widths = config.get("conditioning_embedding_out_channels") or EMBEDDING_CHANNELS
    with torch.device("meta"), _describing(own):
        network = SVDControlNet.from_unet(
            unet,
            conditioning_channels=channels,
            conditioning_embedding_out_channels=tuple(widths),
            load_weights=False,
        )
    _fill(network, read_weights(found, dtype), str(found))
    return network


def base_places(folder: Path) -> tuple[Path, ...]:
    """The folders that :func:`load_base` reads."""
    return tuple(folder / part for part in (*STEMS, "scheduler", "feature_extractor"))


def controlnet_place(folder: Path) -> Path:
    """The folder that :func:`load_controlnet` reads."""
    return folder / "controlnet" if (folder / "controlnet").is_dir() else folder


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """A model's configuration.

    Raises:
        ShotError: there is none, or it is not JSON.
    """
    file = folder / name
    try:
        config = json.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise _bad(
            f"'{file}' is missing.", f"Fetch the weights of '{folder.name}' again."
        ) from error
    except (OSError, ValueError) as error:
        raise _bad(f"'{file}' cannot be read: {error}.", "Fetch it again.") from error
    if not isinstance(config, dict):
        raise _bad(f"'{file}' is not a configuration.", "Fetch it again.")
    return config


def read_weights(file: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors of a file, floating ones as ``dtype``; a pickle may hold tensors and no more.

    Raises:
        ShotError: it cannot be read, or is no dictionary of tensors.
    """
    try:
        if file.suffix == ".safetensors":
            tensors = load_file(file)
        else:
            tensors = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        raise _bad(
            f"'{file}' ({_size(file)}) is cut off or damaged: {_first_line(error)}.",
            "Fetch it again.",
        ) from error
    except Exception as error:  # whatever a strange pickle makes the reader say
        if is_out_of_memory(error):
            raise
        log.debug("%s cannot be read", file, exc_info=True)
        raise _bad(
            f"'{file}' holds something else than weights: {_first_line(error)}.",
            "Use a file of tensors, best a .safetensors.",
        ) from error
    if not isinstance(tensors, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in tensors.items()
    ):
        raise _bad(
            f"'{file}' is not a state dict: names with a tensor each.",
            "Use the model's own file, not a training checkpoint.",
        )
    # Copied into memory of torch's own making: a file's has any alignment, on which the last bits
    # of a matrix product depend, and two runs with one seed are to give the same take.
    return {
        key: value.to(dtype, copy=True) if value.is_floating_point() else value
        for key, value in tensors.items()
    }


def _fill(network: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Give a network on the meta device its weights; every key must fit."""

    def refused(keys: str, what: str) -> ShotError:
        return _bad(
            f"{keys} in '{where}' {what}.",
            "Use weights made for this base model (LeviTor: SVD-XT, 25 frames, not 1.1).",
        )

    fill(network, weights, refused)


def _made(cls: type[Made], config: dict[str, Any], folder: Path) -> Made:
    build: Any = cls
    with _describing(folder):
        return build.from_config(config)


@contextmanager
def _describing(folder: Path, name: str = "config.json") -> Iterator[None]:
    """What a configuration says may be of any kind, and is used in many places.

    Raises:
        ShotError: what is made of it here could not be made.
    """
    try:
        yield
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        ZeroDivisionError,
    ) as error:
        raise _bad(
            f"'{folder / name}' does not describe such a model: {_first_line(error)}.",
            "Fetch it again.",
        ) from error


def _check_base(folder: Path, unet: Mapping[str, Any], clip: Mapping[str, Any]) -> None:
    """A base with other inputs would load, and then give noise."""
    channels = unet.get("in_channels", 8)
    context = unet.get("cross_attention_dim", 1024)
    ids = unet.get("projection_class_embeddings_input_dim", 768)
    embedding = clip.get("projection_dim")
    with _describing(folder / "unet"):
        wanted_ids = 3 * int(unet.get("addition_time_embed_dim", 256))
    if channels != 8 or context != embedding or ids != wanted_ids:
        raise _bad(
            f"The UNet in '{folder}' is not Stable Video Diffusion's: {channels} input channels, a "
            f"context of {context} for an image embedding of {embedding}, and {ids} added ids, "
            f"where it has 8, equal ones (1024) and {wanted_ids}.",
            "Use the folder of stable-video-diffusion-img2vid-xt.",
        )


def _weights_file(folder: Path, stem: str, half: bool) -> Path:
    names = [f"{stem}.fp16.safetensors", f"{stem}.safetensors"]
    for name in names if half else reversed(names):
        if (folder / name).is_file():
            return folder / name
    raise _bad(
        f"'{folder}' has neither {names[0]} nor {names[1]}.",
        "Fetch the weights again, or point to a folder with both config and weights.",
    )


def _load_clip(file: Path, dtype: torch.dtype) -> CLIPVisionModelWithProjection:
    folder = file.parent
    cls: Any = CLIPVisionModelWithProjection
    transformers_logging.disable_progress_bar()  # the artist sees the steps, the log one line
    try:
        network, found = cls.from_pretrained(
            folder,
            variant="fp16" if file.name.endswith(".fp16.safetensors") else None,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise _bad(
            f"The image encoder in '{folder}' cannot be read: {_first_line(error)}.",
            "Fetch it again.",
        ) from error
    if missing := sorted(found["missing_keys"]):
        raise _bad(
            f"{len(missing)} keys are missing in '{file}': {', '.join(missing[:SHOWN_KEYS])}.",
            "Fetch the image encoder of stable-video-diffusion-img2vid-xt again.",
        )
    copy_from_mapped_file(network)
    return network.requires_grad_(False).eval()


def _clip_normalisation(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    place = folder / "feature_extractor"
    if not (place / "preprocessor_config.json").is_file():
        return CLIP_MEAN, CLIP_STD
    config = read_config(place, "preprocessor_config.json")
    with _describing(place, "preprocessor_config.json"):
        mean, std = (
            tuple(float(value) for value in config.get(name) or usual)
            for name, usual in (("image_mean", CLIP_MEAN), ("image_std", CLIP_STD))
        )
        if len(mean) != 3 or len(std) != 3 or not all(std):
            raise ValueError(f"a mean {mean} and a spread {std} for three colours")
    return mean, std


def _noise_levels(folder: Path) -> tuple[float, float]:
    """The lowest and the highest the base was trained on."""
    config = read_config(folder / "scheduler", "scheduler_config.json")
    with _describing(folder / "scheduler", "scheduler_config.json"):
        low, high = (
            float(config.get(name) or usual)
            for name, usual in zip(("sigma_min", "sigma_max"), SIGMAS, strict=True)
        )
        if not 0 < low < high:
            raise ValueError(f"noise levels {low:g} to {high:g} are not 0 < lowest < highest")
    return low, high


def _bad(sentence: str, fix: str) -> ShotError:
    return ShotError("weights", sentence, fix)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".")


def _size(file: Path) -> str:
    return f"{file.stat().st_size / 1e6:.1f} MB" if file.exists() else "gone"
