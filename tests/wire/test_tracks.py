"""Tracks in the frame of another tool, which both sides write alike."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from protocol import tracks
from protocol.errors import ShotError

WIDE, HIGH = 1280, 854
FRAMES = 9
ABOUT = {"frames": FRAMES, "fps": 24.0, "frame_start": 1, "frame_end": 24}


def photo(width=WIDE, height=HIGH):
    """Red grows to the right, green downwards."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)
    pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    return pixels


def scattered(frame, count=400):
    """Tracks that begin where the exporters let them, and go 90 pixels to the right."""
    rows, columns = np.nonzero(frame.within())
    chosen = np.random.default_rng(0).choice(len(rows), count)
    start = np.stack([columns[chosen], rows[chosen]], -1) + 0.5
    way = np.linspace(0, 90, FRAMES)[:, None, None] * np.array([1.0, 0])
    xy = (start + way).astype(np.float32)
    return tracks.TrackExport(
        xy=xy,
        depth=np.full(xy.shape[:2], 5, np.float32),
        visible=np.ones(xy.shape[:2], bool),
        instance=np.arange(count, dtype=np.int32) % 3,
    )


def written(frame, found=None, pixels=None):
    found = scattered(frame) if found is None else found
    size = frame.photo
    names = {1: "Dahlia", 2: "Bud"}
    return dict(
        tracks.files(found, frame, photo(*size) if pixels is None else pixels, names, ABOUT)
    )


def array(data):
    return np.load(io.BytesIO(data))


@pytest.mark.parametrize("fit", tracks.FITS)
@pytest.mark.parametrize("size", tracks.SIZES)
@pytest.mark.parametrize("shape", [(WIDE, HIGH), (854, 1280), (640, 640), (4096, 256)])
def test_every_track_begins_inside_of_the_frame(shape, size, fit):
    frame = tracks.frame_of("wan-move", *shape, size, fit)
    made = tracks.fitted(scattered(frame), frame).xy
    inside = (made[0] >= 0) & (made[0] < [frame.width, frame.height])
    assert made.shape == (81, 400, 2)
    assert inside.all()


@pytest.mark.parametrize(
    ("shape", "size"),
    [((WIDE, HIGH), (832, 480)), ((854, 1280), (480, 832)), ((640, 640), (832, 480))],
)
def test_the_frame_has_the_photos_aspect_and_the_tools_size(shape, size):
    frame = tracks.frame_of("wan-move", *shape)
    assert (frame.width, frame.height) == size
    made, found = written(frame), tracks.fitted(scattered(frame), frame)
    assert made["image.png"].shape == (size[1], size[0], 3)
    np.testing.assert_array_equal(array(made["tracks.npy"]), found.xy[None])
    np.testing.assert_array_equal(array(made["visibility.npy"]), found.visible[None])


def test_padding_keeps_all_of_the_photo_and_cropping_fills_the_frame():
    whole = tracks.frame_of("wan-move", WIDE, HIGH, fit="pad")
    assert whole.within().all()
    picture = tracks.picture(photo() | 1, whole)
    # 854 rows become 480, 1280 columns 719: bars of 56 columns on both sides
    assert (picture[:, :56] == 0).all()
    assert (picture[:, -56:] == 0).all()
    assert (picture[:, 58:-58, 2] == 1).all()
    assert "black bars left and right" in whole.rule
    cut = tracks.frame_of("wan-move", WIDE, HIGH)
    # 832/1280 of 854 rows are 555: 480 of them fit, the middle 738 of the photo
    assert cut.within().sum() == 1280 * 738
    assert "the middle 1280 x 738 of the photo's 1280 x 854" in cut.rule


@pytest.mark.parametrize("fit", tracks.FITS)
def test_a_track_lies_on_the_same_spot_of_the_picture_as_of_the_photo(fit):
    frame = tracks.frame_of("wan-move", WIDE, HIGH, fit=fit)
    found, pixels = scattered(frame), photo()
    picture = tracks.picture(pixels, frame)
    there = frame.moved(found.xy[0])
    column, row = there.astype(int).T
    old_column, old_row = found.xy[0].astype(int).T
    before = pixels[old_row, old_column].astype(int)
    far = (np.minimum(column, frame.width - 1 - column) > 60) & (row > 2) & (row < 477)
    assert np.abs(picture[row, column].astype(int) - before)[far].max() <= 2


def test_frames_are_spread_over_the_shot_and_both_ends_are_kept():
    frame = tracks.frame_of("wan-move", WIDE, HIGH)
    found = scattered(frame)
    made = tracks.fitted(found, frame)
    np.testing.assert_array_equal(made.xy[[0, -1]], frame.moved(found.xy[[0, -1]]))
    np.testing.assert_array_equal(made.xy[::10], frame.moved(found.xy))  # 80 steps over 8
    steps = np.diff(made.xy[..., 0], axis=0)
    np.testing.assert_allclose(steps, 90 * frame.scale / 80, atol=2e-3)
    own = tracks.fitted(found, tracks.frame_of("wan-move", WIDE, HIGH, frames=0))
    assert len(own.xy) == FRAMES
    still = tracks.TrackExport(
        xy=found.xy[:1], depth=found.depth[:1], visible=found.visible[:1], instance=found.instance
    )
    assert (tracks.fitted(still, frame).xy == frame.moved(found.xy[0])).all()


def test_a_point_is_seen_between_samples_only_where_it_is_seen_at_both_and_in_the_frame():
    frame = tracks.frame_of("wan-move", WIDE, HIGH)
    found = scattered(frame, 2)
    found.xy[:, 1] = [[1270 + 10 * n, 400] for n in range(FRAMES)]  # leaves the photo at sample 1
    found.visible[4, 0] = False
    seen = tracks.fitted(found, frame).visible
    assert seen[:31, 0].all()
    assert not seen[31:50, 0].any()
    assert seen[50:, 0].all()
    assert seen[:10, 1].all()
    assert not seen[10:, 1].any()


def test_atis_own_file_is_read_as_ati_reads_it(tmp_path):
    """As its get_tracks_inference does: a .npz inside of what torch saved, eighths of pixels."""
    frame = tracks.frame_of("ati", WIDE, HIGH)
    found = scattered(frame, 5)
    found.visible[3:, 2] = False
    made = written(frame, found)
    torch.save(made["tracks.npz"], tmp_path / "tracks.pth")
    whole = array(torch.load(tmp_path / "tracks.pth"))["array"]
    assert whole.shape == (5, 121, 1, 3)
    wanted = tracks.fitted(found, frame)
    np.testing.assert_allclose(whole[:, :, 0, :2].swapaxes(0, 1) / 8, wanted.xy, atol=1 / 16)
    assert (wanted.visible == whole[..., 0, 2].T).all()
    assert not wanted.visible[60:, 2].any()
    points = json.loads(made["tracks.json"])
    assert [len(track) for track in points] == [121] * 5
    np.testing.assert_allclose(points[1][7]["x"], wanted.xy[7, 1, 0], atol=1e-3)


def test_the_readme_has_the_command_and_says_what_was_done_and_left_out():
    frame = tracks.frame_of("wan-move", WIDE, HIGH)
    found = scattered(frame)
    alone = tracks.TrackExport(
        xy=found.xy, depth=found.depth, visible=found.visible, instance=found.instance * 0 + 1
    )
    made = written(frame, alone)
    text = made["README.txt"].decode()
    assert "--image FOLDER/image.png" in text
    assert "--track FOLDER/tracks.npy --track_visibility FOLDER/visibility.npy" in text
    assert "the middle 1280 x 738" in text
    assert "9 samples are spread evenly over 81 frames" in text
    assert "Bud has no track" in text
    assert json.loads(made["about.json"])["notes"] == [
        "Bud has no track: it is not seen in the frame when the shot begins."
    ]
    other = written(tracks.frame_of("ati", WIDE, HIGH, frames=81))
    assert "tracks.npz" not in other
    assert "made for 121 frames" in other["README.txt"].decode()
    assert "up to 20 tracks, and these are 400" in other["README.txt"].decode()


@pytest.mark.parametrize(("frames", "says"), [(80, "Ask for 77 or 81"), (2, "Ask for 1 or 5")])
def test_a_number_of_frames_that_wan_cannot_make_is_refused(frames, says):
    with pytest.raises(ShotError, match=says):
        tracks.frame_of("wan-move", WIDE, HIGH, frames=frames)


def test_a_frame_in_which_no_track_begins_is_refused():
    frame = tracks.frame_of("wan-move", WIDE, HIGH)
    with pytest.raises(ShotError, match="0 tracks begin in the frame of 832 x 480"):
        written(frame, scattered(frame, 0))


def test_a_picture_is_scaled_as_pillow_does_it():
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (120, 208, 3), np.uint8)
    for size in ((832, 480), (104, 60), (208, 120)):
        frame = tracks.Frame(
            width=size[0],
            height=size[1],
            photo=(208, 120),
            scale=size[0] / 208,
            left=0,
            top=0,
            frames=0,
            tool="ati",
        )
        twin = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
        assert np.abs(tracks.picture(pixels, frame).astype(int) - np.asarray(twin)).max() <= 1
