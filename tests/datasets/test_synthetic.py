"""Random scenes: the same by number, and exact in pixels, ids, depth and tracks."""

import pytest
import torch

from backend.compose.draft import ShotDraft
from backend.compose.filters import dilate, erode
from backend.compose.layers import Background
from backend.control_sources import ClipControl, shot_masks
from backend.datasets.synthetic import FAR, NEAR, SceneOptions, SyntheticClips

OPTIONS = SceneOptions(objects=(1, 3))
NUMBERS = range(12)


@pytest.fixture(scope="module")
def clips():
    photo = torch.rand(3, 90, 120, generator=torch.Generator().manual_seed(0))
    source = SyntheticClips(OPTIONS, [photo], seed=1)
    return [source[number] for number in NUMBERS]


@pytest.fixture(scope="module")
def still_camera():
    source = SyntheticClips(SceneOptions(objects=(2, 2), camera=0.0), seed=2)
    return [source[number] for number in NUMBERS]


def test_the_same_number_gives_the_same_clip_in_any_order(clips):
    photo = torch.rand(3, 90, 120, generator=torch.Generator().manual_seed(0))
    again = SyntheticClips(OPTIONS, [photo], seed=1)
    for number in (7, 0, 7):
        assert torch.equal(again[number].clip.frames, clips[number].clip.frames)
        assert torch.equal(again[number].scene.tracks().xy, clips[number].scene.tracks().xy)
    assert not torch.equal(
        SyntheticClips(OPTIONS, [photo], seed=2)[0].clip.frames, clips[0].clip.frames
    )
    assert len({float(one.clip.frames.sum()) for one in clips}) == len(clips)


def test_frames_ids_and_depth_have_the_size_asked_for(clips):
    for one in clips:
        clip = one.clip
        assert clip.frames.shape == (8, 3, 64, 64)
        assert clip.instance.shape == clip.depth.shape == (8, 64, 64)
        assert (clip.frames.min() >= 0, clip.frames.max() <= 1) == (True, True)
        assert NEAR <= clip.depth.min() <= clip.depth.max() <= FAR
        assert clip.instance.max() <= clip.moving == len(clip.names)
    source = SyntheticClips(OPTIONS, seed=1)
    assert {source[number].clip.moving for number in range(20)} == {1, 2, 3}


def test_what_comes_into_view_behind_a_thing_is_the_background_itself(still_camera):
    """The background of two frames is the same wherever both see it, away from soft edges."""
    compared = 0
    for one in still_camera:
        clip = one.clip
        bare = torch.stack([~dilate(ids > 0, 8) for ids in clip.instance])
        uncovered = bare[-1] & ~bare[0]
        middle = bare[4] & uncovered
        compared += int(middle.sum())
        assert torch.equal(clip.frames[-1][:, middle], clip.frames[4][:, middle])
        assert torch.equal(clip.depth[-1][middle], clip.depth[4][middle])
    assert compared > 5000


def test_a_visible_point_lies_on_its_object_at_its_depth(clips):
    on, seen, off_depth = 0, 0, []
    for one in clips:
        clip, tracks = one.clip, one.scene.tracks()
        frame, point = torch.nonzero(tracks.visible & (tracks.instance > 0), as_tuple=True)
        column, row = tracks.xy[frame, point].floor().long().unbind(-1)
        own = clip.instance[frame, row, column] == tracks.instance[point]
        for item in range(1, clip.moving + 1):  # an outline may cover less than half of a pixel
            mine = tracks.instance[point] == item
            place = frame[mine], row[mine], column[mine]
            around = torch.stack([dilate(ids == item, 1) for ids in clip.instance])
            on, seen = on + int(around[place].sum()), seen + int(mine.sum())
        z = clip.depth[frame, row, column][own]
        off_depth.append(((z - tracks.depth[frame, point][own]).abs() / z).max())
    assert on / seen > 0.99
    assert max(off_depth) < 0.05


def test_nothing_is_hidden_in_the_first_frame(still_camera):
    """What is hidden there nobody knows, so it could not come into view later."""
    for one in still_camera:
        tracks = one.scene.tracks()
        for item in range(1, one.clip.moving + 1):
            mine = tracks.instance == item
            xy, seen = tracks.xy[0][mine], tracks.visible[0][mine]
            inside = ((xy >= 0) & (xy < 64)).all(-1)
            assert torch.equal(seen, inside)


def test_things_cross_and_hide_one_another_in_many_scenes():
    source = SyntheticClips(SceneOptions(objects=(2, 2), meeting=1.0, camera=0.0), seed=5)
    hidden = 0
    for number in range(10):
        tracks = source[number].scene.tracks()
        inside = ((tracks.xy >= 0) & (tracks.xy < 64)).all(-1)
        hidden += bool((inside & ~tracks.visible & (tracks.instance > 0)).any())
    assert hidden >= 6


def test_the_draft_of_the_same_scene_shows_the_same(clips):
    """The draft splats and samples a photo's surfaces; flat ones it must show as they are."""
    ids_equal, apart = [], []
    for one in clips[:4]:
        shot, scene = one.scene.shot(), one.scene
        top, left, height, width = scene.window
        part = (..., slice(top, top + height), slice(left, left + width))
        plane = scene.planes[0]
        rest = shot.lift.depth.clone()
        known = shot.instance == 0
        rest[~known] = rest[known].mean()  # not compared there
        draft = ShotDraft(shot, background=Background(rgb=plane.rgb, depth=rest))
        masks = shot_masks(shot)
        for frame in range(8):
            own = one.clip.instance[frame]
            ids_equal.append((masks.instance[frame][part].clamp(min=0) == own).float().mean())
            inside = torch.stack([erode(own == item, 3) for item in range(one.clip.moving + 1)])
            difference = (draft[frame].rgb[part] - one.clip.frames[frame]).abs().amax(0)
            apart.append(difference[inside.any(0)])
            z = masks.depth[frame][part]
            near = inside[1:].any(0) & torch.isfinite(z)
            torch.testing.assert_close(z[near], one.clip.depth[frame][near], rtol=0.02, atol=0)
    assert torch.stack(ids_equal).mean() > 0.98  # the rest stand on outlines
    assert torch.cat(apart).quantile(0.9) < 0.05
    assert torch.cat(apart).mean() < 0.02


def test_a_control_is_made_of_it_like_of_any_clip(clips):
    control = ClipControl(clips[0].clip)
    masks = control.masks()
    assert (masks.moving, masks.near, masks.far) == (clips[0].clip.moving, NEAR, FAR)
    assert torch.equal(masks.instance, clips[0].clip.instance)


def test_a_number_below_zero_is_refused():
    with pytest.raises(IndexError, match="numbered from 0, not -1"):
        SyntheticClips(OPTIONS)[-1]
