"""Features of the UNet on the way: what chosen modules of a call give, and no more of the call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from backend.engines.svd.unet import ControlledUNet


class _Stopped(Exception):  # noqa: N818 - nothing is wrong
    """All that was asked for is there."""


@contextmanager
def feature_taps(
    unet: ControlledUNet, names: Sequence[str], *, stop: bool = False
) -> Iterator[Mapping[str, Tensor]]:
    """Capture the outputs of modules of ``unet`` while it is called in the block.

    Inside, the UNet runs diffusers' own blocks and attention, so that every module is called and
    gives what it gives in the stock UNet, to the bit; that is slower than sampling. A captured
    tensor is part of the graph where gradients are on. Nothing stays on the network: hooks go with
    the block, however it ends. Use the network itself, not its compiled form.

    Args:
        unet: called once in the block.
        names: of modules, as ``unet.named_modules()`` has them: ``up_blocks.2`` or
            ``up_blocks.2.attentions.1.transformer_blocks.0.attn1.to_q``.
        stop: end the call after the block of the UNet in which the last of them was captured; what
            follows the call inside the ``with`` block is then not reached. Blocks are left whole:
            under gradient checkpointing one that was cut off could not be computed again.

    Yields:
        The outputs by name, filled by the call: the first of each where a module gives a tuple.

    Raises:
        ValueError: the UNet has no module of that name.
        RuntimeError: the call ended without all of them.
    """
    modules = dict(unet.named_modules())
    if unknown := [name for name in names if name not in modules or not name]:
        raise ValueError(f"the UNet has no module '{unknown[0]}'")
    found: dict[str, Tensor] = {}

    def capture(name: str) -> Callable[..., None]:
        def hook(module: Any, told: Any, given: Any) -> None:
            found[name] = given[0] if isinstance(given, tuple) else given

        return hook

    def stop_when_done(module: Any, told: Any, given: Any) -> None:
        if len(found) == len(set(names)):
            raise _Stopped

    blocks: Any = (*unet.down_blocks, unet.mid_block, *unet.up_blocks)  # pyright: ignore
    handles = [modules[name].register_forward_hook(capture(name)) for name in names]
    if stop:
        handles += [block.register_forward_hook(stop_when_done) for block in blocks]
    one_token, unet.batch.one_token = unet.batch.one_token, False
    try:
        yield found
    except _Stopped:
        pass
    finally:
        unet.batch.one_token = one_token
        for handle in handles:
            handle.remove()
    if missing := set(names) - set(found):
        raise RuntimeError(f"'{min(missing)}' was not called")
