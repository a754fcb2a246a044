"""Each format's clips: frames, ids and names, from files in exactly its layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.control_sources import ClipControl, ShotControl
from backend.convert import shot_from_message
from backend.datasets.base import rate_note
from backend.datasets.recognise import open_dataset
from backend.datasets.video import count_frames, read_frames
from backend.files.shot import read_shot
from backend.pixels import pixels_from_image
from protocol.errors import ShotError
from tests.datasets import tiny

GOLDEN = Path(__file__).parents[1] / "golden"

MAKERS = {
    "SA-V (training)": lambda root: tiny.sa_v(root) and root,
    "SA-V (validation, test)": tiny.sa_v_frames,
    "DAVIS": tiny.davis,
    "YouTube-VOS": tiny.youtube_vos,
    "VIPSeg": tiny.vip_seg,
    "own clips": tiny.own_clips,
}
# Which of tiny's frames an annotated frame shows
STEPS = {"YouTube-VOS": 5}


@pytest.fixture(params=MAKERS)
def found(request, tmp_path):
    """A dataset that was recognised, and its format."""
    return open_dataset(MAKERS[request.param](tmp_path)), request.param


def test_a_format_is_recognised_by_its_folders(found):
    dataset, kind = found
    assert dataset.format == kind
    assert list(dataset.problems) == []


def test_ids_lie_on_the_objects_of_the_frames(found):
    dataset, kind = found
    video = dataset.videos[0]
    clip = dataset.read(video)
    assert clip.frames.shape == (dataset.num_frames(video), tiny.HEIGHT, tiny.WIDTH, 3)
    assert clip.ids.dtype == np.int32
    assert len(clip.names) == 2
    for at in (0, len(clip.ids) - 1):
        frame = STEPS.get(kind, 1) * at
        wanted = tiny.labels(frame)
        if kind.startswith("SA-V (val") and at >= 3:
            wanted[wanted == 2] = 0  # that object has no more files
        np.testing.assert_array_equal(clip.ids[at], wanted)
        near = np.abs(clip.frames[at].astype(int) - tiny.picture(frame)).mean()
        assert near < 6, f"frame {at} is another one"


def test_a_part_of_a_video_is_that_part_of_the_whole(found):
    dataset, _ = found
    video = dataset.videos[0]
    whole, part = dataset.read(video), dataset.read(video, 2, 3)
    np.testing.assert_array_equal(part.frames, whole.frames[2:5])
    np.testing.assert_array_equal(part.ids, whole.ids[2:5])


def test_frames_may_lie_apart(found):
    dataset, _ = found
    video = dataset.videos[0]
    whole, part = dataset.read(video), dataset.read(video, 0, 2, 3)
    np.testing.assert_array_equal(part.frames, whole.frames[0:4:3])
    np.testing.assert_array_equal(part.ids, whole.ids[0:4:3])


def test_where_films_are_faster_than_what_levitor_learned_from_a_note_says_which_frames(found):
    dataset, kind = found
    note = rate_note(dataset)
    if kind in ("DAVIS", "own clips"):
        assert note.startswith("there are 24 annotated frames a second")
        assert "--every 4 " in note
        assert rate_note(dataset, 4) is None
    else:
        assert note is None


def test_frames_that_a_video_does_not_have_are_refused(found):
    dataset, _ = found
    total = dataset.num_frames(dataset.videos[0])
    with pytest.raises(ShotError, match=f"has {total} annotated frames; frames 0 to {total}"):
        dataset.read(dataset.videos[0], 0, total + 1)


def test_names_are_the_datasets_own(tmp_path):
    names = {
        kind: open_dataset(make(tmp_path / str(at))).read
        for at, (kind, make) in enumerate(MAKERS.items())
    }
    assert names["SA-V (training)"]("sav_000001", 0, 2).names == ("manual 0", "auto 1")
    assert names["YouTube-VOS"]("003234408d").names == ("penguin 1", "dog 2")
    assert names["VIPSeg"]("1_zPB4Zr3gXi8").names == ("person 0", "person 1")


def test_a_painted_object_without_a_picture_of_a_frame_is_not_in_it(tmp_path):
    tiny.own_clips(tmp_path)
    (tmp_path / "walk/cat/0006.png").unlink()
    Image.new("RGBA", (tiny.WIDTH, tiny.HEIGHT), (0, 0, 0, 255)).save(
        tmp_path / "walk/dog/0006.png"
    )
    clip = open_dataset(tmp_path).read("walk")
    assert clip.names == ("cat", "dog")
    assert set(np.unique(clip.ids[4])) == {0, 1, 2}
    assert set(np.unique(clip.ids[5])) == {0}


def test_a_split_has_its_own_videos(tmp_path):
    tiny.davis(tmp_path)
    assert open_dataset(tmp_path, "val").videos == ["camel"]
    with pytest.raises(ShotError, match=r"Splits here: train, val\."):
        open_dataset(tmp_path, "test-dev")


def test_any_frames_of_a_film_are_the_ones_that_decoding_all_gives(tmp_path):
    """B-frames come in another order than they are shown, and most are no key frames."""
    path = tmp_path / "film.mp4"
    tiny.film(path, 60)
    assert count_frames(path) == 60
    whole = read_frames(path, range(60))
    for indices in ([0], [59], [11, 12, 13], [30, 34, 38], [12]):
        np.testing.assert_array_equal(read_frames(path, indices), whole[indices])


def test_where_masklets_overlap_peoples_lie_over_auto_and_small_over_large(tmp_path):
    folder = tiny.sa_v(tmp_path, annotated=3)
    said = tiny.masklets(3, [1], "auto")
    for frame in said["masklet"]:
        large = np.zeros((tiny.HEIGHT, tiny.WIDTH), bool)
        large[:40, :60] = True
        small = np.zeros_like(large)
        small[30:34, 50:54] = True
        frame[:] = [
            {"size": [tiny.HEIGHT, tiny.WIDTH], "counts": tiny.run_lengths(mask)}
            for mask in (small, large)
        ]
    said["masklet_id"] = [0, 1]
    (folder / "sav_000001_auto.json").write_text(json.dumps(said))
    clip = open_dataset(tmp_path).read("sav_000001")
    assert clip.names == ("manual 0", "auto 0", "auto 1")
    ids = clip.ids[0]
    assert (ids[5, 5], ids[31, 51], ids[20, 20]) == (1, 2, 3)


def test_of_more_than_255_objects_the_smallest_are_left_out_and_it_is_said(tmp_path):
    tiny.vip_seg(tmp_path)
    for path in (tmp_path / "panomasks").glob("*/*.png"):
        values = (np.arange(tiny.HEIGHT * tiny.WIDTH) // 10 + 1000).astype(np.uint16)
        values = values.reshape(tiny.HEIGHT, tiny.WIDTH)
        values[0, 0] = 0  # so the first object is the smallest
        Image.fromarray(values).save(path)
    dataset = open_dataset(tmp_path)
    clip = dataset.read(dataset.videos[0])
    assert len(clip.names) == clip.ids.max() == 255
    assert clip.ids[0, 0, 1] == 0
    assert clip.notes == ("53 of 308 objects were left out, the smallest.",)


def test_objects_are_told_by_colour_where_a_program_sorted_the_palette_anew(tmp_path):
    tiny.davis(tmp_path)
    path = tmp_path / "Annotations" / "480p" / "bear" / "00001.png"
    swapped = np.array([0, 2, 1], np.uint8)[tiny.labels(1)]
    colours = np.asarray(tiny.PALETTE).reshape(-1, 3)
    colours[[1, 2]] = colours[[2, 1]]
    tiny.indexed(swapped, colours.ravel().tolist()).save(path)
    clip = open_dataset(tmp_path).read("bear", 0, 2)
    np.testing.assert_array_equal(clip.ids[0] > 0, tiny.labels(0) > 0)
    where = [tuple(np.argwhere(ids == 1).mean(0).round()) for ids in clip.ids]
    assert where[0][0] == where[1][0]  # the same row: it is the same object
    assert clip.notes == ("The maps' palettes differ; objects were told by their colours.",)


def test_255_is_void_beside_objects_and_an_object_alone(tmp_path):
    tiny.davis(tmp_path)
    folder = tmp_path / "Annotations" / "480p"
    for path in (folder / "bear").glob("*.png"):
        ids = tiny.labels(0)
        ids[-4:] = 255
        tiny.indexed(ids).save(path)
    for path in (folder / "camel").glob("*.png"):
        Image.fromarray(np.where(tiny.labels(0) > 0, 255, 0).astype(np.uint8)).save(path)
    dataset = open_dataset(tmp_path)
    assert dataset.read("bear").ids.max() == 2
    assert not dataset.read("bear").ids[:, -4:].any()
    np.testing.assert_array_equal(dataset.read("camel").ids[0], tiny.labels(0) > 0)


def test_a_shots_clip_is_its_draft_with_masks_and_depth_that_are_exact(tmp_path):
    shutil.copy(GOLDEN / "shots" / "1.2" / "whole.shot", tmp_path / "one.shot")
    dataset = open_dataset(tmp_path)
    assert (dataset.format, list(dataset.videos)) == ("LeviTor shots", ["one.shot"])
    message, blobs = read_shot(tmp_path / "one.shot")
    control = ShotControl(shot_from_message(message, blobs.__getitem__))
    clip, masks = dataset.read("one.shot"), control.masks()
    assert len(clip.frames) == dataset.num_frames("one.shot") == control.num_frames
    np.testing.assert_array_equal(clip.frames[0], pixels_from_image(control.image))
    np.testing.assert_array_equal(clip.ids, masks.instance.clamp(min=0))
    seen = masks.instance >= 0
    np.testing.assert_array_equal(clip.depth[seen], masks.depth[seen])
    assert np.isfinite(clip.depth).all()
    assert clip.names[: len(message.instances)] == tuple(one.name for one in message.instances)
    assert ClipControl(clip.annotated()).masks().moving == len(clip.names)


class TestWhatIsBroken:
    """One sentence that names the file, what is wrong with it, and what to do."""

    def refused(self, root, video, match):
        with pytest.raises(ShotError, match=match) as caught:
            open_dataset(root).read(video)
        assert caught.value.code == "dataset"
        assert caught.value.fix

    def test_a_film_without_masklets_is_listed_and_the_others_are_read(self, tmp_path):
        folder = tiny.sa_v(tmp_path)
        tiny.film(folder / "sav_000009.mp4", 8)
        dataset = open_dataset(tmp_path)
        assert dataset.videos == ["sav_000001"]
        assert dataset.problems == [
            f"{folder / 'sav_000009.mp4'}: there is no sav_000009_manual.json or "
            "sav_000009_auto.json beside it."
        ]

    def test_a_film_that_is_cut_short(self, tmp_path):
        folder = tiny.sa_v(tmp_path)
        tiny.film(folder / "sav_000001.mp4", 70)
        self.refused(tmp_path, "sav_000001", r"has 70 frames, its masklets need 77 \(every 4th\)")

    def test_a_film_that_is_no_film(self, tmp_path):
        folder = tiny.sa_v(tmp_path)
        (folder / "sav_000001.mp4").write_bytes(b"not a film")
        self.refused(tmp_path, "sav_000001", "the video cannot be read")

    def test_a_film_whose_end_is_missing(self, tmp_path):
        folder = tiny.sa_v(tmp_path)
        path = folder / "sav_000001.mp4"
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        self.refused(tmp_path, "sav_000001", "the video (cannot be read|has no frame)")

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            (lambda said: said.pop("masklet"), "no list of masklets"),
            (lambda said: said["masklet_id"].append(7), "names 2 objects and has masks of 1"),
            (
                lambda said: said["masklet"][1][0].update(size=[10, 10]),
                r"object 0 in annotated frame 1 is damaged \(the run lengths fill",
            ),
            (
                lambda said: [one[0].update(size=[64, 48]) for one in said["masklet"]],
                "masks have 48 x 64 pixels, the video's frames 64 x 48",
            ),
            (lambda said: said["masklet"][2].clear(), "object 0 in annotated frame 2 is damaged"),
            (lambda said: said.update(masklet=[], masklet_id=[]), "no annotated frame"),
        ],
    )
    def test_a_json_that_is_damaged(self, tmp_path, change, match):
        folder = tiny.sa_v(tmp_path, annotated=4)
        path = folder / "sav_000001_manual.json"
        said = json.loads(path.read_text())
        change(said)
        path.write_text(json.dumps(said))
        self.refused(tmp_path, "sav_000001", match)

    def test_a_json_in_another_encoding(self, tmp_path):
        folder = tiny.sa_v(tmp_path, annotated=4)
        (folder / "sav_000001_manual.json").write_bytes(b'{"video_id": "\xe9"}')
        self.refused(tmp_path, "sav_000001", "no list of masklets")

    @pytest.mark.parametrize("make", [tiny.davis, tiny.vip_seg, tiny.youtube_vos])
    def test_maps_without_frames_and_frames_of_other_sizes(self, tmp_path, make):
        root = make(tmp_path)
        dataset = open_dataset(root)
        video = dataset.videos[0]
        frames = sorted(root.rglob(f"{video}/*.jpg"))
        Image.fromarray(np.zeros((10, 12, 3), np.uint8)).save(frames[5])
        self.refused(root, video, "it has 12 x 10 pixels, the frames before it 64 x 48")
        frames[5].unlink()
        self.refused(root, video, r"1 of \d+ maps have no frame, the first is 00005\.png")

    def test_a_map_of_another_size_or_damaged(self, tmp_path):
        root = tiny.davis(tmp_path)
        path = root / "Annotations" / "480p" / "bear" / "00003.png"
        tiny.indexed(np.zeros((10, 12), np.uint8)).save(path)
        self.refused(root, "bear", "it has 12 x 10 pixels, its frame 64 x 48")
        path.write_bytes(path.read_bytes()[:60])
        self.refused(root, "bear", "the picture cannot be read")

    @pytest.mark.parametrize(
        ("make", "gone", "match"),
        [
            (tiny.davis, "00003", r"no map of frame 00003, and the frames around it have one"),
            (
                tiny.youtube_vos,
                "00010",
                r"no map between 00005\.png and 00015\.png, where every 5\. frame has one",
            ),
        ],
    )
    def test_a_map_is_missing_between_others(self, tmp_path, make, gone, match):
        root = make(tmp_path)
        video = open_dataset(root).videos[0]
        next(root.rglob(f"{video}/{gone}.png")).unlink()
        self.refused(root, video, match)

    def test_frames_without_any_map_and_maps_without_a_frame(self, tmp_path):
        root = tiny.davis(tmp_path, videos=("bear",))
        for name in ("JPEGImages/480p/camel", "Annotations/480p/dog"):
            (root / name).mkdir()
        assert open_dataset(root).problems == [
            f"{root}/Annotations/480p/dog: there are no frames of it in 480p.",
            f"{root}/JPEGImages/480p/camel: there are no maps of it in 480p.",
        ]

    def test_folders_of_different_sizes(self, tmp_path):
        root = tiny.davis(tmp_path, videos=("bear",))
        (root / "JPEGImages" / "480p").rename(root / "JPEGImages" / "1080p")
        with pytest.raises(ShotError, match="no folder of the same name, as 480p"):
            open_dataset(root)

    def test_one_map_without_a_palette_among_others(self, tmp_path):
        root = tiny.davis(tmp_path)
        path = root / "Annotations" / "480p" / "bear" / "00003.png"
        Image.open(path).convert("RGB").save(path)
        self.refused(root, "bear", r"00003\.png: it has no palette, unlike the maps before it")

    def test_a_map_that_was_smoothed(self, tmp_path):
        root = tiny.davis(tmp_path)
        noise = np.random.default_rng(0).integers(0, 255, (tiny.HEIGHT, tiny.WIDTH, 3), np.uint8)
        for path in (root / "Annotations" / "480p" / "bear").glob("*.png"):
            Image.fromarray(noise).save(path)
        self.refused(root, "bear", r"\d+ different colours, which are no objects")

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            (lambda at: (at / "cat/0003.png").rename(at / "cat/0009.png"), "frames 1 to 6"),
            (lambda at: [(at / each / "0003.png").unlink() for each in ("cat", "dog")],
             "no object has a mask of frame 3"),
            (lambda at: Image.new("L", (8, 8)).save(at / "cat/0002.png"), "8 x 8 pixels"),
            (lambda at: [path.rename(path.with_name(f"{path.name[3]}a.png"))
                         for path in sorted(at.rglob("*.png"))], "0001.png and on"),
        ],
    )  # fmt: skip
    def test_painted_masks_that_do_not_go_with_their_film(self, tmp_path, change, match):
        tiny.own_clips(tmp_path)
        change(tmp_path / "walk")
        with pytest.raises(ShotError, match=match):
            open_dataset(tmp_path).read("walk")

    def test_a_film_whose_masks_were_forgotten_is_listed(self, tmp_path):
        tiny.own_clips(tmp_path)
        shutil.copy(tmp_path / "walk.mp4", tmp_path / "run.mp4")
        dataset = open_dataset(tmp_path)
        assert list(dataset.videos) == ["walk"]
        assert dataset.problems == [f"{tmp_path / 'run.mp4'}: there is no folder run with masks "
                                    "beside it."]  # fmt: skip

    def test_a_folder_of_nothing(self, tmp_path):
        with pytest.raises(ShotError, match="no dataset was recognised in it") as caught:
            open_dataset(tmp_path)
        assert "panomasks" in caught.value.fix
        with pytest.raises(ShotError, match="no such folder"):
            open_dataset(tmp_path / "nowhere")
