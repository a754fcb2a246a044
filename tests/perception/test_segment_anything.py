"""Segment Anything: where clicks land, what comes back, and how often a photo is looked at."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from transformers import Sam2VideoConfig, Sam2VideoModel, SamImageProcessor

from backend.images.photo import decode_photo
from backend.perception import convert_segment_anything, segment_anything, tiny
from backend.perception.segment_anything import SegmentAnything
from protocol.errors import ShotError

NOTHING = np.zeros((0, 2)), np.zeros(0, np.uint8)
SHAPES = ("landscape", "portrait", "square", "odd", "grayscale", "alpha", "16-bit")
SIZES = [(427, 640), (640, 427), (512, 512), (301, 403), (77, 333), (1000, 250)]


def clicks(*points):
    array = np.array(points, float)
    return array[:, :2], array[:, 2].astype(np.uint8)


class Discs(nn.Module):
    """Takes the place of a network, with known geometry as output.

    Three discs of 20, 40 and 30 of the network's pixels around the first click (or the box's
    middle), each logit being the distance left to its edge. What is looked at is 1024 wide.
    """

    radii = (20.0, 40.0, 30.0)
    scores = (0.3, 0.9, 0.6)

    class config:  # noqa: N801
        class prompt_encoder_config:  # noqa: N801
            image_size, patch_size = 1024, 16

    def get_image_embeddings(self, square):
        assert square.shape == (1, 3, 1024, 1024)
        return square

    def forward(self, input_points, input_boxes=None, input_masks=None, **_):
        if input_points is not None:
            place = input_points[0, :, 0]
        else:
            place = input_boxes[0].reshape(-1, 2, 2).mean(1)
        self.boxes, self.masks = input_boxes, input_masks
        centre = (torch.arange(256) + 0.5) * 4 - 0.5  # of the low-resolution pixels
        y, x = torch.meshgrid(centre, centre, indexing="ij")
        away = torch.hypot(x - place[:, 0, None, None], y - place[:, 1, None, None])
        logits = torch.stack([radius - away for radius in self.radii], 1)
        scores = torch.tensor(self.scores).expand(len(place), 3)
        return type("Found", (), {"pred_masks": logits[None], "iou_scores": scores[None]})


@pytest.mark.parametrize("stretched", [False, True], ids=["SAM", "SAM 2.1"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("at", [(0.5, 0.5), (0.3, 0.62), (0.81, 0.2)])
def test_a_mask_lies_around_its_click_to_a_quarter_of_a_pixel(size, at, stretched):
    height, width = size
    model = SegmentAnything("discs", Discs(), stretched=stretched)
    embedding = model.encode(np.zeros((*size, 3), np.uint8))
    x, y = at[0] * width, at[1] * height
    found = model.segment(embedding, *clicks((x, y, 1)), None)
    assert found.masks.shape == (3, height, width)
    assert found.masks.dtype == bool
    scale_x = width / 1024 if stretched else max(size) / 1024
    scale_y = height / 1024 if stretched else max(size) / 1024
    grid_y, grid_x = np.mgrid[:height, :width] + 0.5
    away = np.hypot((grid_x - x) / scale_x, (grid_y - y) / scale_y)
    for mask, radius in zip(found.masks, (40, 30, 20), strict=True):
        # Linear between the network's pixels of 4, so a circle is cut by at most a tenth of one
        assert not mask[away > radius + 0.5].any()
        assert mask[away < radius - 1.0].all()


def test_candidates_come_best_first_with_their_logits():
    model = SegmentAnything("discs", Discs())
    found = model.segment(
        model.encode(np.zeros((512, 1024, 3), np.uint8)), *clicks((300, 200, 1)), None
    )
    np.testing.assert_allclose(found.scores, [0.9, 0.6, 0.3])
    areas = [np.pi * radius**2 for radius in (40, 30, 20)]
    np.testing.assert_allclose(found.masks.sum((1, 2)), areas, rtol=0.02)
    assert found.logits.shape == (3, 256, 256)
    assert found.logits[0].max() > found.logits[1].max() > found.logits[2].max()


def test_clicks_and_a_box_and_the_mask_to_refine_reach_the_network_in_its_pixels():
    network = Discs()
    model = SegmentAnything("discs", network)
    embedding = model.encode(np.zeros((256, 512, 3), np.uint8))  # twice as large for the network
    first = model.segment(embedding, *NOTHING, (100.0, 50.0, 200.0, 150.0))
    assert network.boxes.tolist() == [[[199.5, 99.5, 399.5, 299.5]]]
    assert first.masks[0][100, 150]
    model.segment(embedding, *clicks((10, 20, 1)), None, previous=first.logits[1])
    assert (network.masks[0, 0].numpy() == first.logits[1]).all()
    with pytest.raises(ShotError, match="has 5 x 4 cells, those of discs have 256 x 256"):
        model.segment(embedding, *clicks((10, 20, 1)), None, previous=np.zeros((4, 5)))
    holes = np.zeros((256, 256), np.float32)
    holes[0, :3] = np.nan
    with pytest.raises(ShotError, match="3 of 65536 cells of the mask to refine are no numbers"):
        model.segment(embedding, *clicks((10, 20, 1)), None, previous=holes)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_kind_of_photo_answers_a_click_in_its_own_size(files, segment_model, shape):
    pixels = decode_photo(files[shape], 640).pixels
    height, width = pixels.shape[:2]
    embedding = segment_model.encode(pixels)
    found = segment_model.segment(
        embedding, *clicks((width / 2, height / 2, 1), (3, 3, 0)), (0, 0, width, height)
    )
    assert found.masks.shape == (3, height, width)
    assert (np.diff(found.scores) <= 0).all()
    refined = segment_model.segment(
        embedding, *clicks((width / 2, height / 2, 1)), None, previous=found.logits[0]
    )
    assert not np.array_equal(refined.logits, found.logits)


def test_segments_come_without_a_click_in_the_photos_size(files, segment_model):
    pixels = decode_photo(files["odd"], 200).pixels
    segments = segment_model.segments(segment_model.encode(pixels))
    assert segments.shape == pixels.shape[:2]
    assert segments.dtype == np.int32


def test_a_photo_is_looked_at_once_however_often_it_is_clicked(weights):
    model = segment_anything.load("sam-vit-base", weights / "sam")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for x in (10, 20, 30):
        model.segment(model.encode(pixels.copy()), *clicks((x, 20, 1)), None)
    assert model.encoded == 1
    other = pixels.copy()
    other[0, 0, 0] ^= 1
    model.encode(other)
    assert model.encoded == 2
    model.encode(pixels)
    assert model.encoded == 2


def test_only_the_last_photos_are_remembered(weights):
    model = segment_anything.load("sam-vit-base", weights / "sam")
    photos = [np.full((32, 32, 3), value, np.uint8) for value in range(6)]
    for photo in photos:
        model.encode(photo)
    model.encode(photos[5])
    assert model.encoded == 6
    model.encode(photos[0])  # six are more than the four that are kept
    assert model.encoded == 7


def test_the_same_photo_and_clicks_give_the_same_mask(weights):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    first, second = (
        model.segment(model.encode(pixels), *clicks((30, 20, 1)), None)
        for model in (segment_anything.load("sam-vit-base", weights / "sam") for _ in range(2))
    )
    assert (first.logits == second.logits).all()


def test_the_authors_file_and_the_folder_give_the_same_masks(weights):
    pixels = np.random.default_rng(0).integers(0, 256, (61, 93, 3), dtype=np.uint8)
    folder, original = (
        model.segment(model.encode(pixels), *clicks((30, 20, 1)), (5, 5, 60, 50))
        for model in (segment_anything.load(name, weights / name) for name in ("sam", "sam.pth"))
    )
    np.testing.assert_allclose(folder.logits, original.logits, atol=1e-5)
    np.testing.assert_allclose(folder.scores, original.scores, atol=1e-6)


def test_names_go_to_the_authors_and_back_without_a_change(tmp_path):
    """The matrix of the positions is there once for them and twice for us: 174 and 175."""
    state = tiny.sam().state_dict()
    original = convert_segment_anything.to_original(state)
    assert (len(original), len(state)) == (174, 175)
    back = convert_segment_anything.from_original(original, tmp_path)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    for name in (
        "image_encoder.blocks.0.norm1.weight",
        "image_encoder.neck.3.bias",
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        "prompt_encoder.mask_downscaling.6.weight",
        "mask_decoder.transformer.layers.1.cross_attn_image_to_token.out_proj.bias",
        "mask_decoder.transformer.norm_final_attn.weight",
        "mask_decoder.output_upscaling.1.weight",
        "mask_decoder.output_hypernetworks_mlps.3.layers.2.bias",
        "mask_decoder.iou_prediction_head.layers.1.weight",
    ):
        assert name in original


def test_the_network_sees_what_the_models_own_processor_shows_it(files, weights):
    pixels = decode_photo(files["landscape"], 640).pixels
    seen = {}

    class Watched(nn.Module):
        config = tiny.sam().config

        def get_image_embeddings(self, square):
            seen["square"] = square

    SegmentAnything("watched", Watched()).encode(pixels)
    theirs = SamImageProcessor(size={"longest_edge": 256}, pad_size={"height": 256, "width": 256})(
        pixels, return_tensors="pt"
    ).pixel_values
    ours = seen["square"]
    assert ours.shape == theirs.shape == (1, 3, 256, 256)
    # Theirs rounds to 8 bits after the resize: half a level is 0.5 / 57 = 0.009
    assert (ours - theirs).abs().max() < 0.02
    assert (ours[:, :, 171:] == 0).all()


def test_a_sam_2_folder_that_calls_itself_a_video_model_is_read(tmp_path):
    """As the released folders do; the parts for video are left aside."""
    config = tiny.sam2_config()
    network = Sam2VideoModel(
        Sam2VideoConfig(
            vision_config=config.vision_config.to_dict(),
            prompt_encoder_config=config.prompt_encoder_config.to_dict(),
            mask_decoder_config=config.mask_decoder_config.to_dict(),
            memory_attention_hidden_size=32,
            memory_encoder_hidden_size=32,
            image_size=256,
        )
    )
    network.save_pretrained(str(tmp_path))
    model = segment_anything.load("sam2.1-hiera-tiny", tmp_path)
    found = model.segment(model.encode(np.zeros((50, 70, 3), np.uint8)), *clicks((20, 20, 1)), None)
    assert found.masks.shape == (3, 50, 70)


@pytest.mark.parametrize(
    ("points", "box", "says"),
    [
        ([(80, 10, 1)], None, r"\(80, 10\) is outside the photo of 80 x 60 pixels"),
        ([(5, 5, 0)], None, "1 clicks and none is on"),
        ([(5, 5, 1)], (9.0, 9.0, 3.0, 20.0), r"box \(9, 9, 3, 20\)"),
        ([(5, 5, 1)], (0.0, 0.0, 81.0, 20.0), "80 x 60 pixels"),
    ],
    ids=["outside", "only negative", "box turned over", "box too wide"],
)
def test_prompts_that_cannot_work_are_refused(weights, points, box, says):
    model = segment_anything.load("sam-vit-base", weights / "sam")
    embedding = model.encode(np.zeros((60, 80, 3), np.uint8))
    with pytest.raises(ShotError, match=says):
        model.segment(embedding, *clicks(*points), box)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB"),
        cv2.error("(-4:Insufficient memory) Failed to allocate 3221225472 bytes"),
    ],
)
def test_short_memory_is_one_sentence(error):
    class Hungry(Discs):
        def get_image_embeddings(self, square):
            raise error

    with pytest.raises(ShotError, match="memory of 'cpu' does not suffice for hungry"):
        SegmentAnything("hungry", Hungry()).encode(np.zeros((60, 80, 3), np.uint8))
