"""Loads the authors' ``.pth`` of Depth Anything V2: tensor names <-> those of transformers.

The networks are the same; the authors keep query, key and value of a block in one tensor, and
count the fusion steps from the finest. Both directions are exact.
"""

from __future__ import annotations

import functools
import logging
import math
import re
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.perception.loading import (
    State,
    count_blocks,
    load_exactly,
    read_pth,
    square_root,
    tensor_shape,
    weights_error,
)

log = logging.getLogger(__name__)

HEADS = {384: 6, 768: 12, 1024: 16}
"""Attention heads of the published Small, Base and Large, by width; no tensor shape has them."""
HEAD_WIDTH = 64
"""Channels per head, for other widths."""
OFFSET = 0.1
"""Patches that the authors add to each side in :func:`interpolate_positions`."""
STAGES = 4

_PLAIN = (
    (r"pretrained\.(cls_token|mask_token)", r"backbone.embeddings.\1"),
    (r"pretrained\.pos_embed", "backbone.embeddings.position_embeddings"),
    (
        r"pretrained\.patch_embed\.proj\.(\w+)",
        r"backbone.embeddings.patch_embeddings.projection.\1",
    ),
    (r"pretrained\.norm\.(\w+)", r"backbone.layernorm.\1"),
    (r"pretrained\.blocks\.(\d+)\.(norm\d|mlp\.fc\d)\.(\w+)", r"backbone.encoder.layer.\1.\2.\3"),
    (
        r"pretrained\.blocks\.(\d+)\.ls(\d)\.gamma",
        r"backbone.encoder.layer.\1.layer_scale\2.lambda1",
    ),
    (
        r"pretrained\.blocks\.(\d+)\.attn\.proj\.(\w+)",
        r"backbone.encoder.layer.\1.attention.o_proj.\2",
    ),
    (r"depth_head\.projects\.(\d)\.(\w+)", r"neck.reassemble_stage.layers.\1.projection.\2"),
    (r"depth_head\.resize_layers\.(\d)\.(\w+)", r"neck.reassemble_stage.layers.\1.resize.\2"),
    (r"depth_head\.scratch\.output_conv1\.(\w+)", r"head.conv1.\1"),
    (r"depth_head\.scratch\.output_conv2\.0\.(\w+)", r"head.conv2.\1"),
    (r"depth_head\.scratch\.output_conv2\.2\.(\w+)", r"head.conv3.\1"),
)
_QKV = re.compile(r"pretrained\.blocks\.(\d+)\.attn\.qkv\.(\w+)")
_RN = re.compile(r"depth_head\.scratch\.layer(\d)_rn\.weight")
_FUSE = re.compile(
    r"depth_head\.scratch\.refinenet(\d)\.(?:resConfUnit(\d)\.conv(\d)|out_conv)\.(\w+)"
)
_BLOCK = re.compile(r"backbone\.encoder\.layer\.(\d+)\.attention\.([qkv])_proj\.(\w+)")


def from_original(state: State, path: Path) -> dict[str, Tensor]:
    """Rename the authors' tensors to those of ``DepthAnythingForDepthEstimation``.

    Raises:
        ShotError: a name is not one of theirs.
    """
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        if match := _QKV.fullmatch(name):
            if value.shape[0] % 3:
                raise weights_error(
                    path, f"'{name}' is {tuple(value.shape)}, not three equal parts"
                )
            before = f"backbone.encoder.layer.{match[1]}.attention."
            for part, letter in zip(value.chunk(3), "qkv", strict=True):
                out[f"{before}{letter}_proj.{match[2]}"] = part.clone()
        else:
            out[_renamed(name, path)] = value
    return out


def to_original(state: State) -> dict[str, Tensor]:
    """The inverse of :func:`from_original`."""
    out: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    original = {new: old for old, new in _all_names(state)}
    for name, value in state.items():
        if match := _BLOCK.fullmatch(name):
            whole = f"pretrained.blocks.{match[1]}.attn.qkv.{match[3]}"
            parts.setdefault(whole, {})[match[2]] = value
        else:
            out[original[name]] = value
    for name, three in parts.items():
        out[name] = torch.cat([three[letter] for letter in "qkv"])
    return out


def load(path: Path, heads: int | None = None) -> Any:
    """Load a ``.pth``; the architecture is read from the shapes of its tensors.

    Args:
        path: the file.
        heads: attention heads; by default those of ``HEADS`` for the widths that were published,
            and heads of ``HEAD_WIDTH`` for any other.

    Raises:
        ShotError: the file is damaged or holds something else.
    """
    from transformers import DepthAnythingForDepthEstimation

    state = read_pth(path)
    network: Any = DepthAnythingForDepthEstimation(config_of(state, path, heads))
    load_exactly(network, from_original(state, path), path)
    embeddings = network.backbone.embeddings
    embeddings.interpolate_pos_encoding = functools.partial(
        _interpolate_position_encoding, embeddings
    )
    return network


def interpolate_positions(positions: Tensor, rows: int, columns: int) -> Tensor:
    """Interpolate the position embeddings to an input of ``rows`` x ``columns`` patches.

    They stretch their square grid by ``(rows + 0.1) / side`` and ``(columns + 0.1) / side``, once
    meant to keep the size from being rounded down, so patch i looks at ``(i + 0.5) * side /
    (rows + 0.1) - 0.5`` of the grid; transformers, and networks that were saved with it, leave the
    0.1 out. A photo of just the grid's size gets the embeddings as they are.

    Args:
        positions: ``(1, 1 + side**2, C)``, the class token's first.
        rows: patches down.
        columns: patches across.

    Returns:
        ``(1, 1 + rows * columns, C)``.
    """
    side = math.isqrt(positions.shape[1] - 1)
    if rows == columns == side:
        return positions
    grid = positions[:, 1:].float().reshape(1, side, side, -1).movedim(-1, 1)
    stretch = (rows + OFFSET) / side, (columns + OFFSET) / side
    grid = F.interpolate(grid, scale_factor=stretch, mode="bicubic", align_corners=False)
    patches = grid.flatten(2).mT.to(positions.dtype)
    return torch.cat([positions[:, :1], patches], 1)


def _interpolate_position_encoding(
    embeddings: Any, tokens: Tensor, height: int, width: int
) -> Tensor:
    """Replaces transformers' method of the same name; sizes in pixels."""
    down, across = embeddings.patch_embeddings.patch_size
    return interpolate_positions(embeddings.position_embeddings, height // down, width // across)


def config_of(state: State, path: Path, heads: int | None = None) -> Any:
    """The ``DepthAnythingConfig`` of the authors' tensors.

    Raises:
        ShotError: tensors that tell the size are missing.
    """
    from transformers import DepthAnythingConfig, Dinov2Config

    _, positions, width = tensor_shape(state, "pretrained.pos_embed", path, 3)
    patch = tensor_shape(state, "pretrained.patch_embed.proj.weight", path, 4)[-1]
    hidden = tensor_shape(state, "pretrained.blocks.0.mlp.fc1.weight", path, 2)[0]
    features = tensor_shape(state, "depth_head.scratch.output_conv1.weight", path, 4)[1]
    head = tensor_shape(state, "depth_head.scratch.output_conv2.0.weight", path, 4)[0]
    stages = [
        tensor_shape(state, f"depth_head.projects.{n}.weight", path, 4)[0] for n in range(STAGES)
    ]
    layers = count_blocks(state, "pretrained.blocks.")
    size: dict[str, Any] = {
        "image_size": square_root(positions - 1, "positions", path) * patch,
        "patch_size": patch,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": _heads(width, heads, path),
        "mlp_ratio": hidden // width if hidden % width == 0 else hidden / width,
        "out_indices": output_layers(layers),
        "reshape_hidden_states": False,
    }
    return DepthAnythingConfig(
        backbone_config=Dinov2Config(**size),
        patch_size=patch,
        reassemble_hidden_size=width,
        neck_hidden_sizes=stages,
        fusion_hidden_size=features,
        head_hidden_size=head,
    )


def _heads(width: int, asked: int | None, path: Path) -> int:
    if asked is None and width not in HEADS:
        log.warning(
            "%s is %d wide, as none that was published; %d channels a head are assumed",
            path,
            width,
            min(width, HEAD_WIDTH),
        )
    heads = HEADS.get(width) or max(1, width // HEAD_WIDTH) if asked is None else asked
    if heads < 1 or width % heads:
        raise weights_error(path, f"its width of {width} cannot be shared by {heads} heads")
    return heads


def output_layers(layers: int) -> list[int]:
    """Layers, counted from 1, whose output the depth head reads.

    Source: the authors' model table; every quarter, but earlier for the 24 blocks of Large.
    """
    if layers == 24:
        return [5, 12, 18, 24]
    return [max(1, (n + 1) * layers // STAGES) for n in range(STAGES)]


def _renamed(name: str, path: Path) -> str:
    for pattern, new in _PLAIN:
        if match := re.fullmatch(pattern, name):
            return match.expand(new)
    if match := _RN.fullmatch(name):
        return f"neck.convs.{int(match[1]) - 1}.weight"
    if match := _FUSE.fullmatch(name):
        layer = f"neck.fusion_stage.layers.{STAGES - int(match[1])}"
        if match[2] is None:
            return f"{layer}.projection.{match[4]}"
        return f"{layer}.residual_layer{match[2]}.convolution{match[3]}.{match[4]}"
    raise weights_error(path, f"'{name}' is no tensor of Depth Anything V2")


def _all_names(state: State) -> list[tuple[str, str]]:
    """Every (original name, new name) but those of queries, keys and values."""
    layers = count_blocks(state, "backbone.encoder.layer.")
    both = ("weight", "bias")
    names = ["cls_token", "mask_token", "pos_embed"]
    names += [f"{part}.{end}" for part in ("patch_embed.proj", "norm") for end in both]
    for n in range(layers):
        parts = ("norm1", "norm2", "attn.proj", "mlp.fc1", "mlp.fc2")
        names += [f"blocks.{n}.{part}.{end}" for part in parts for end in both]
        names += [f"blocks.{n}.ls{scale}.gamma" for scale in (1, 2)]
    names = [f"pretrained.{name}" for name in names]
    heads = [f"{kind}.{n}" for kind in ("projects", "resize_layers") for n in range(STAGES)]
    for n in range(1, STAGES + 1):
        names.append(f"depth_head.scratch.layer{n}_rn.weight")
        heads.append(f"scratch.refinenet{n}.out_conv")
        heads += [
            f"scratch.refinenet{n}.resConfUnit{unit}.conv{conv}"
            for unit in (1, 2)
            for conv in (1, 2)
        ]
    heads += ["scratch.output_conv1", "scratch.output_conv2.0", "scratch.output_conv2.2"]
    names += [f"depth_head.{head}.{end}" for head in heads for end in both]
    return [(name, _renamed(name, Path())) for name in names]
