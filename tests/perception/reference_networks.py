"""Both networks worked out from their papers and the names in the authors' files alone.

Nothing of `backend` or transformers is used, and no module: a network is a dictionary of tensors,
and what is done with them is written down once, plainly. Sizes that no tensor tells are arguments.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


class Part:
    """The tensors whose names begin alike."""

    def __init__(self, state, before=""):
        self.state, self.before = state, before

    def __getattr__(self, name):
        return Part(self.state, f"{self.before}{name}.")

    def __getitem__(self, name):
        if isinstance(name, int):
            return Part(self.state, f"{self.before}{name}.")
        return self.state.get(self.before + name)

    def __len__(self):
        found = {
            n[len(self.before) :].split(".")[0] for n in self.state if n.startswith(self.before)
        }
        return sum(part.isdigit() for part in found)

    def linear(self, x):
        return F.linear(x, self["weight"], self["bias"])

    def convolved(self, x, **how):
        return F.conv2d(x, self["weight"], self["bias"], **how)

    def grown(self, x):
        return F.conv_transpose2d(x, self["weight"], self["bias"], stride=self["weight"].shape[-1])

    def normed(self, x, eps=1e-6):
        return F.layer_norm(x, x.shape[-1:], self["weight"], self["bias"], eps)

    def normed_channels(self, x):
        return self.normed(x.movedim(1, -1)).movedim(-1, 1)


def attend(q, k, v, heads, more=0.0):
    """Scaled dot products of ``(B, N, C)``; ``more`` is added before the softmax."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    weights = (q @ k.mT / math.sqrt(q.shape[-1]) + more).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def depth(state, pixels, heads, read):
    """Depth Anything V2: ``(1, 3, H, W)`` normalised -> ``(1, H, W)``.

    ``heads`` are each block's; ``read`` are the blocks that the head looks at, counted from 0.
    """
    net = Part(state)
    body, head, fusion = net.pretrained, net.depth_head, net.depth_head.scratch
    x = body.patch_embed.proj.convolved(pixels, stride=14)
    rows, columns = x.shape[-2:]
    places = body["pos_embed"]
    side = math.isqrt(places.shape[1] - 1)
    grid = places[:, 1:].mT.unflatten(-1, (side, side))
    if (rows, columns) != (side, side):
        stretch = ((rows + 0.1) / side, (columns + 0.1) / side)
        grid = F.interpolate(grid, scale_factor=stretch, mode="bicubic")
    x = torch.cat([body["cls_token"] + places[:, :1], (x + grid).flatten(2).mT], 1)
    maps = []
    for n in range(len(body.blocks)):
        block = body.blocks[n]
        q, k, v = block.attn.qkv.linear(block.norm1.normed(x)).chunk(3, -1)
        x = x + block.ls1["gamma"] * block.attn.proj.linear(attend(q, k, v, heads))
        inner = F.gelu(block.mlp.fc1.linear(block.norm2.normed(x)))
        x = x + block.ls2["gamma"] * block.mlp.fc2.linear(inner)
        if n in read:
            seen = body.norm.normed(x)[:, 1:].mT.unflatten(-1, (rows, columns))
            maps.append(head.projects[len(maps)].convolved(seen))
    maps = [
        head.resize_layers[0].grown(maps[0]),
        head.resize_layers[1].grown(maps[1]),
        maps[2],
        head.resize_layers[3].convolved(maps[3], stride=2, padding=1),
    ]

    def unit(part, x):
        y = part.conv1.convolved(F.relu(x), padding=1)
        return x + part.conv2.convolved(F.relu(y), padding=1)

    path = None
    for n in (4, 3, 2, 1):
        own = getattr(fusion, f"layer{n}_rn").convolved(maps[n - 1], padding=1)
        refine = getattr(fusion, f"refinenet{n}")
        path = own if path is None else path + unit(refine.resConfUnit1, own)
        path = unit(refine.resConfUnit2, path)
        size = maps[n - 2].shape[-2:] if n > 1 else [2 * s for s in path.shape[-2:]]
        path = F.interpolate(path, size, mode="bilinear", align_corners=True)
        path = refine.out_conv.convolved(path)
    out = fusion.output_conv1.convolved(path, padding=1)
    out = F.interpolate(out, pixels.shape[-2:], mode="bilinear", align_corners=True)
    out = F.relu(fusion.output_conv2[0].convolved(out, padding=1))
    return F.relu(fusion.output_conv2[2].convolved(out))[:, 0]


def embedded(state, square):
    """SAM's image encoder: ``(1, 3, S, S)`` normalised -> ``(1, C, S / 16, S / 16)``."""
    net = Part(state).image_encoder
    patch = net.patch_embed.proj["weight"].shape[-1]
    x = net.patch_embed.proj.convolved(square, stride=patch).movedim(1, -1) + net["pos_embed"]
    grid = x.shape[1]
    for n in range(len(net.blocks)):
        block = net.blocks[n]
        reach = (block.attn["rel_pos_h"].shape[0] + 1) // 2
        seen = block.norm1.normed(x)
        tiles = -(-grid // reach)
        seen = F.pad(seen, (0, 0, 0, tiles * reach - grid, 0, tiles * reach - grid))
        seen = seen.unflatten(2, (tiles, reach)).unflatten(1, (tiles, reach))
        seen = seen.transpose(2, 3).flatten(0, 2).flatten(1, 2)
        q, k, v = block.attn.qkv.linear(seen).chunk(3, -1)
        width = block.attn["rel_pos_h"].shape[1]
        apart = torch.arange(reach)[:, None] - torch.arange(reach) + reach - 1
        by_head = q.unflatten(-1, (-1, width)).transpose(1, 2).unflatten(2, (reach, reach))
        down = torch.einsum("bnyxc,yjc->bnyxj", by_head, block.attn["rel_pos_h"][apart])
        across = torch.einsum("bnyxc,xic->bnyxi", by_head, block.attn["rel_pos_w"][apart])
        more = (down[..., None] + across[..., None, :]).flatten(4).flatten(2, 3)
        seen = block.attn.proj.linear(attend(q, k, v, q.shape[-1] // width, more))
        seen = seen.unflatten(1, (reach, reach)).unflatten(0, (1, tiles, tiles))
        seen = seen.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        x = x + seen[:, :grid, :grid]
        x = x + block.mlp.lin2.linear(F.gelu(block.mlp.lin1.linear(block.norm2.normed(x))))
    x = net.neck[1].normed_channels(net.neck[0].convolved(x.movedim(-1, 1)))
    return net.neck[3].normed_channels(net.neck[2].convolved(x, padding=1))


def masks(state, embedding, side, heads, clicks, on, box=None, before=None):
    """SAM's decoder: logits ``(C, h, w)`` and scores ``(C,)``.

    Args:
        embedding: of the photo.
        side: pixels of the network's square.
        heads: of the decoder's attention.
        clicks: ``(K, 2)`` in the square's pixels, from the corner of the first one.
        on: ``(K,)`` 1 on the thing, 0 beside it.
        box: ``(4,)`` likewise, or None.
        before: ``(h, w)`` logits to refine: one mask comes out instead of three.
    """
    ask, net = Part(state).prompt_encoder, Part(state).mask_decoder

    def place(share):
        angle = (
            2 * math.pi * ((2 * share - 1) @ ask.pe_layer["positional_encoding_gaussian_matrix"])
        )
        return torch.cat([angle.sin(), angle.cos()], -1)

    tokens = [net.iou_token["weight"], net.mask_tokens["weight"]]
    kinds = torch.stack([ask.point_embeddings[n]["weight"][0] for n in range(4)])
    tokens.append(place(clicks / side) + kinds[on])
    if box is None:
        tokens.append(ask.not_a_point_embed["weight"])
    else:
        tokens.append(place(box.reshape(2, 2) / side) + kinds[2:])
    start = torch.cat(tokens)[None]
    grid = embedding.shape[-1]
    middle = (torch.arange(grid) + 0.5) / grid
    image_place = place(torch.cartesian_prod(middle, middle).flip(-1))[None]
    if before is None:
        dense = ask.no_mask_embed["weight"][0, :, None, None]
    else:
        small = ask.mask_downscaling
        dense = small[0].convolved(before[None, None], stride=2)
        dense = small[3].convolved(F.gelu(small[1].normed_channels(dense)), stride=2)
        dense = small[6].convolved(F.gelu(small[4].normed_channels(dense)))
    image = (embedding + dense).flatten(2).mT

    def across(part, q, k, v):
        q, k, v = part.q_proj.linear(q), part.k_proj.linear(k), part.v_proj.linear(v)
        return part.out_proj.linear(attend(q, k, v, heads))

    body, x = net.transformer, start
    for n in range(len(body.layers)):
        layer = body.layers[n]
        if n == 0:
            x = across(layer.self_attn, x, x, x)
        else:
            x = x + across(layer.self_attn, x + start, x + start, x)
        x = layer.norm1.normed(x, 1e-5)
        x = x + across(layer.cross_attn_token_to_image, x + start, image + image_place, image)
        x = layer.norm2.normed(x, 1e-5)
        x = x + layer.mlp.lin2.linear(F.relu(layer.mlp.lin1.linear(x)))
        x = layer.norm3.normed(x, 1e-5)
        image = image + across(layer.cross_attn_image_to_token, image + image_place, x + start, x)
        image = layer.norm4.normed(image, 1e-5)
    x = x + across(body.final_attn_token_to_image, x + start, image + image_place, image)
    x = body.norm_final_attn.normed(x, 1e-5)
    up, seen = net.output_upscaling, image.mT.unflatten(-1, (grid, grid))
    seen = up[3].grown(F.gelu(up[1].normed_channels(up[0].grown(seen))))
    seen = F.gelu(seen)

    def steps(part, x):
        for n in range(len(part.layers)):
            x = part.layers[n].linear(x if n == 0 else F.relu(x))
        return x

    count = len(net.output_hypernetworks_mlps)
    kernels = [steps(net.output_hypernetworks_mlps[n], x[0, 1 + n]) for n in range(count)]
    logits = torch.einsum("mc,chw->mhw", torch.stack(kernels), seen[0])
    scores = steps(net.iou_prediction_head, x[0, 0])
    which = slice(1, None) if before is None else slice(0, 1)
    return logits[which], scores[which]
