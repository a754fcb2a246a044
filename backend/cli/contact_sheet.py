"""The demo's contact sheet: photo, frames of the take and control preview of each shot."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Picture = npt.NDArray[Any]

COLUMNS = 4
CELL_WIDTH = 400
GAP = 8
CAPTION = 18


def contact_sheet(folder: Path, names: list[str], photos: dict[str, Path]) -> bytes:
    """PNG bytes of the sheet, from the takes and control videos in ``folder``."""
    blocks = [_block(folder, name, photos[f"{name}.jpg"]) for name in names]
    sheet = Image.new("RGB", (blocks[0].width, sum(block.height for block in blocks)), "white")
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()


def _block(folder: Path, name: str, photo: Path) -> Image.Image:
    take = read_video(folder / f"{name}.mp4")
    control = read_video(folder / f"{name}_control.mp4")
    shown = [round(i * (len(take) - 1) / 5) for i in range(6)]
    cells = [(f"{name}: the photo", np.asarray(Image.open(photo)))]
    cells += [(f"take, frame {i + 1}", take[i]) for i in shown]
    # The control video has ids on its left half
    half = control[0].shape[1] // 2
    masked = (shown[0], shown[3], shown[5])
    cells += [(f"instance ids, frame {i + 1}", control[i][:, :half]) for i in masked]
    cells += [(f"depth, frame {i + 1}", control[i][:, half:]) for i in (shown[0], shown[5])]
    return _grid(cells)


def _grid(cells: list[tuple[str, Picture]]) -> Image.Image:
    height = round(CELL_WIDTH * cells[1][1].shape[0] / cells[1][1].shape[1])
    rows = -(-len(cells) // COLUMNS)
    size = (
        GAP + COLUMNS * (CELL_WIDTH + GAP),
        GAP + rows * (height + CAPTION + GAP),
    )
    grid = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(grid)
    for index, (text, picture) in enumerate(cells):
        row, column = divmod(index, COLUMNS)
        x = GAP + column * (CELL_WIDTH + GAP)
        y = GAP + row * (height + CAPTION + GAP)
        image = Image.fromarray(picture).resize((CELL_WIDTH, height), Image.Resampling.LANCZOS)
        grid.paste(image, (x, y))
        draw.text((x, y + height + 2), text, fill="black")
    return grid


def read_video(path: Path) -> list[Picture]:
    """All frames of a video, uint8 (H, W, 3)."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
