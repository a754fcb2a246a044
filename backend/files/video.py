"""Encodes frames to H.264 MP4."""

from __future__ import annotations

import io

import av
import numpy as np
from torch import Tensor

from backend.contracts import Frames, OnStep
from backend.pixels import pixels_from_image
from protocol.rates import frame_rate

VIDEO_CRF = "15"
REPEATABLE = "mbtree=0"
"""x264's macroblock tree reads uninitialised memory for narrow frames, which changes the bytes from
run to run."""


def encode_video(
    frames: Tensor | Frames,
    fps: float,
    length: int | None = None,
    on_frame: OnStep = lambda done, total: None,
) -> bytes:
    """Encode H.264 in MP4.

    Args:
        frames: ``(F, 3, H, W)`` float in [0, 1], or what makes one at a time; H and W are even.
        fps: frames per second of the video; see :func:`protocol.rates.frame_rate`.
        length: frames of the video; the given ones are repeated evenly to fill it.
        on_frame: called with (done, total) after each; may raise ``Cancelled``.
    """
    count, _, height, width = frames.shape
    shown = repeated(count, length or count)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=frame_rate(fps))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": VIDEO_CRF, "preset": "veryfast", "x264-params": REPEATABLE}
        context = stream.codec_context
        context.color_range, context.colorspace = 1, 1  # limited range, BT.709, as tagged below
        context.color_primaries, context.color_trc = 1, 1
        last, pixels = -1, np.empty(0, np.uint8)
        for done, index in enumerate(shown, 1):
            if index != last:
                last, pixels = index, pixels_from_image(frames[index])
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709")
            container.mux(stream.encode(picture))
            on_frame(done, len(shown))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def repeated(count: int, length: int) -> list[int]:
    """Indices that repeat ``count`` frames evenly to ``length``, keeping the first and the last."""
    if length == 1 or count == 1:
        return [0] * length
    return [round(i * (count - 1) / (length - 1)) for i in range(length)]
