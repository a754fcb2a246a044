"""Loads the authors' ``.pth`` of Segment Anything: tensor names <-> those of transformers.

The networks are the same; transformers keeps the random matrix of the positions twice.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from backend.perception.loading import (
    State,
    count_blocks,
    load_exactly,
    read_pth,
    tensor_shape,
    weights_error,
)

DECODER_HEADS = 8
"""Attention heads of every released mask decoder; not in the shape of any tensor."""
_POSITIONS = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_IMAGE_POSITIONS = "shared_image_embedding.positional_embedding"
_PROMPT_POSITIONS = "prompt_encoder.shared_embedding.positional_embedding"

# (the authors' name, that of transformers), tried in this order on every part of a name
_WORDS = (
    (r"^image_encoder\.patch_embed\.proj\.", r"vision_encoder.patch_embed.projection."),
    (r"^image_encoder\.blocks\.(\d+)\.norm", r"vision_encoder.layers.\1.layer_norm"),
    (r"^image_encoder\.blocks\.", r"vision_encoder.layers."),
    (r"^image_encoder\.neck\.0\.", r"vision_encoder.neck.conv1."),
    (r"^image_encoder\.neck\.1\.", r"vision_encoder.neck.layer_norm1."),
    (r"^image_encoder\.neck\.2\.", r"vision_encoder.neck.conv2."),
    (r"^image_encoder\.neck\.3\.", r"vision_encoder.neck.layer_norm2."),
    (r"^image_encoder\.pos_embed$", r"vision_encoder.pos_embed"),
    (r"^prompt_encoder\.point_embeddings\.", r"prompt_encoder.point_embed."),
    (r"^prompt_encoder\.mask_downscaling\.0\.", r"prompt_encoder.mask_embed.conv1."),
    (r"^prompt_encoder\.mask_downscaling\.1\.", r"prompt_encoder.mask_embed.layer_norm1."),
    (r"^prompt_encoder\.mask_downscaling\.3\.", r"prompt_encoder.mask_embed.conv2."),
    (r"^prompt_encoder\.mask_downscaling\.4\.", r"prompt_encoder.mask_embed.layer_norm2."),
    (r"^prompt_encoder\.mask_downscaling\.6\.", r"prompt_encoder.mask_embed.conv3."),
    (
        r"^mask_decoder\.transformer\.layers\.(\d+)\.norm",
        r"mask_decoder.transformer.layers.\1.layer_norm",
    ),
    (
        r"^mask_decoder\.transformer\.norm_final_attn\.",
        r"mask_decoder.transformer.layer_norm_final_attn.",
    ),
    (r"^mask_decoder\.output_upscaling\.0\.", r"mask_decoder.upscale_conv1."),
    (r"^mask_decoder\.output_upscaling\.1\.", r"mask_decoder.upscale_layer_norm."),
    (r"^mask_decoder\.output_upscaling\.3\.", r"mask_decoder.upscale_conv2."),
)
_HEADS = re.compile(
    r"(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.layers\.(\d+)\.(\w+)"
)
_TRANSFORMERS_HEADS = re.compile(
    r"(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))"
    r"\.(proj_in|proj_out|layers\.(\d+))\.(\w+)"
)
_SAME = ("prompt_encoder.", "mask_decoder.")


def from_original(state: State, path: Path) -> dict[str, Tensor]:
    """Rename the authors' tensors to those of ``SamModel``.

    Raises:
        ShotError: a name is not one of theirs.
    """
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        if name == _POSITIONS:
            out[_IMAGE_POSITIONS] = value
            out[_PROMPT_POSITIONS] = value
        elif match := _HEADS.fullmatch(name):
            last = count_blocks(state, f"{match[1]}.layers.") - 1
            step = int(match[2])
            part = "proj_in" if step == 0 else "proj_out" if step == last else f"layers.{step - 1}"
            out[f"{match[1]}.{part}.{match[3]}"] = value
        else:
            out[_renamed(name, path)] = value
    return out


def to_original(state: State) -> dict[str, Tensor]:
    """The inverse of :func:`from_original`."""
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        if name == _PROMPT_POSITIONS:
            continue
        if name == _IMAGE_POSITIONS:
            out[_POSITIONS] = value
        elif match := _TRANSFORMERS_HEADS.fullmatch(name):
            middle = count_blocks(state, f"{match[1]}.layers.")
            step = {"proj_in": 0, "proj_out": middle + 1}.get(match[2])
            step = int(match[3]) + 1 if step is None else step
            out[f"{match[1]}.layers.{step}.{match[4]}"] = value
        else:
            out[_original_name(name)] = value
    return out


def load(path: Path, decoder_heads: int | None = None) -> Any:
    """Load a ``.pth``; the architecture is read from the shapes of its tensors.

    The width of the image encoder's windows and heads is that of its relative positions.

    Args:
        path: the file.
        decoder_heads: attention heads of the mask decoder, which no tensor shape has; by default
            ``DECODER_HEADS``, or as many below as share its width evenly.

    Raises:
        ShotError: the file is damaged or holds something else.
    """
    from transformers import SamModel

    state = read_pth(path)
    network = SamModel(config_of(state, path, decoder_heads))
    load_exactly(network, from_original(state, path), path)
    return network


def config_of(state: State, path: Path, decoder_heads: int | None = None) -> Any:
    """The ``SamConfig`` of the authors' tensors.

    Raises:
        ShotError: tensors that tell the size are missing.
    """
    from transformers import SamConfig

    _, grid, _, width = tensor_shape(state, "image_encoder.pos_embed", path, 4)
    patch = tensor_shape(state, "image_encoder.patch_embed.proj.weight", path, 4)[-1]
    layers = count_blocks(state, "image_encoder.blocks.")
    reach = [
        tensor_shape(state, f"image_encoder.blocks.{n}.attn.rel_pos_h", path, 2)
        for n in range(layers)
    ]
    everywhere = [n for n, (length, _) in enumerate(reach) if length == 2 * grid - 1]
    windows = {(length + 1) // 2 for n, (length, _) in enumerate(reach) if n not in everywhere}
    if len(windows) > 1:
        raise weights_error(path, f"its blocks have windows of {sorted(windows)}, not of one size")
    tensor_shape(state, _POSITIONS, path, 2)
    prompt = tensor_shape(state, "prompt_encoder.no_mask_embed.weight", path, 2)[1]
    block = "mask_decoder.transformer.layers.0"
    inside = tensor_shape(state, f"{block}.cross_attn_token_to_image.q_proj.weight", path, 2)[0]
    return SamConfig(
        vision_config={
            "hidden_size": width,
            "output_channels": tensor_shape(state, "image_encoder.neck.0.weight", path, 4)[0],
            "num_hidden_layers": layers,
            "num_attention_heads": max(1, width // reach[0][1]),
            "image_size": grid * patch,
            "patch_size": patch,
            "window_size": windows.pop() if windows else 14,
            "global_attn_indexes": everywhere,
            "num_pos_feats": tensor_shape(state, _POSITIONS, path, 2)[1],
            "mlp_dim": tensor_shape(state, "image_encoder.blocks.0.mlp.lin1.weight", path, 2)[0],
        },
        prompt_encoder_config={
            "hidden_size": prompt,
            "image_size": grid * patch,
            "patch_size": patch,
            "mask_input_channels": tensor_shape(
                state, "prompt_encoder.mask_downscaling.3.weight", path, 4
            )[0],
            "num_point_embeddings": count_blocks(state, "prompt_encoder.point_embeddings."),
        },
        mask_decoder_config={
            "hidden_size": prompt,
            "mlp_dim": tensor_shape(state, f"{block}.mlp.lin1.weight", path, 2)[0],
            "num_hidden_layers": count_blocks(state, "mask_decoder.transformer.layers."),
            "num_attention_heads": _decoder_heads(inside, decoder_heads, path),
            "attention_downsample_rate": max(1, prompt // inside),
            "num_multimask_outputs": tensor_shape(
                state, "mask_decoder.mask_tokens.weight", path, 2
            )[0]
            - 1,
            "iou_head_depth": count_blocks(state, "mask_decoder.iou_prediction_head.layers."),
            "iou_head_hidden_dim": tensor_shape(
                state, "mask_decoder.iou_prediction_head.layers.0.weight", path, 2
            )[0],
        },
    )


def _decoder_heads(inside: int, asked: int | None, path: Path) -> int:
    if asked is None:
        most = min(DECODER_HEADS, inside)
        return next(heads for heads in range(most, 0, -1) if inside % heads == 0)
    if asked < 1 or inside % asked:
        raise weights_error(
            path, f"its decoder's width of {inside} cannot be shared by {asked} heads"
        )
    return asked


def _renamed(name: str, path: Path) -> str:
    for pattern, new in _WORDS:
        renamed, changes = re.subn(pattern, new, name)
        if changes:
            return renamed
    if name.startswith(_SAME):
        return name
    raise weights_error(path, f"'{name}' is no tensor of Segment Anything")


def _original_name(name: str) -> str:
    """The authors' name of a tensor of transformers: the table in reverse."""
    for pattern, new in _WORDS:
        start = pattern.removeprefix("^").removesuffix("$").replace("\\.", ".")
        ours = re.escape(new).replace(r"\\1", r"(\d+)")
        renamed, changes = re.subn(f"^{ours}", start.replace(r"(\d+)", r"\1"), name)
        if changes:
            return renamed
    return name
