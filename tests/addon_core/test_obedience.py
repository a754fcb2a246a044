"""A take's numbers in words: three in a line, the others and what is not known in sentences."""

import json
from dataclasses import replace

import pytest

from blender_addon.core import obedience
from protocol.messages import InstanceObedience, Obedience

FOUND = Obedience(
    frames=7,
    centroid_error_px=3.0625,
    centroid_error_percent=0.4651,
    mask_iou=0.8294,
    occlusion_accuracy=1.0,
    occlusion_events=6,
    background_drift_px=0.25,
    instances=(InstanceObedience(id=1, centroid_error_px=3.0625, mask_iou=0.8294, in_sight=7),),
)


def said(found, **names):
    return obedience.said(obedience.kept(found, {1: "Dahlia", 2: "Rose"}))


def test_a_take_that_obeyed_says_so_in_one_line():
    assert said(FOUND).line == "Off 3.1 px (0.5%) · overlap 82% · order ok"


def test_the_details_have_units_and_what_they_are_means_of():
    off, overlap, order, background = said(FOUND).details
    assert off.startswith("Off 3.1 px of the take, 0.47% of its diagonal: ")
    assert off.endswith("the mean of 7 frames.")
    assert overlap.startswith("Overlap 82%: ")
    assert "(mask IoU)" in overlap
    assert order.endswith("the right one is in front 6 times of 6.")
    assert background == "Background: off 0.2 px."


@pytest.mark.parametrize(
    ("changes", "line", "reason"),
    [
        pytest.param(
            {"occlusion_accuracy": None, "occlusion_events": 0},
            "Off 3.1 px (0.5%) · overlap 82% · order –",
            "Order: nothing visibly hides anything in the frames that were compared.",
            id="nothing meets",
        ),
        pytest.param(
            {
                "centroid_error_px": None,
                "centroid_error_percent": None,
                "mask_iou": None,
                "instances": (InstanceObedience(id=1),),
            },
            "Off – · overlap – · order ok",
            "Off: nothing that moves is in sight in the 7 frames that were compared.",
            id="out of sight",
        ),
        pytest.param(
            {
                "centroid_error_px": None,
                "centroid_error_percent": None,
                "mask_iou": None,
                "instances": (),
            },
            "Off – · overlap – · order ok",
            "Overlap: nothing moves in this shot but the camera.",
            id="only the camera moves",
        ),
        pytest.param(
            {"background_drift_px": None},
            "Off 3.1 px (0.5%) · overlap 82% · order ok",
            "Background: too plain, or too unlike the photo, to see whether it stays.",
            id="a plain background",
        ),
    ],
)
def test_what_cannot_be_known_is_a_dash_and_a_reason(changes, line, reason):
    found = said(replace(FOUND, **changes))
    assert found.line == line
    assert reason in found.details


@pytest.mark.parametrize(
    ("share", "words"), [(0.996, "order 99%"), (0.0, "order 0%"), (0.29, "order 29%")]
)
def test_an_order_that_is_wrong_somewhere_is_never_called_ok(share, words):
    assert said(replace(FOUND, occlusion_accuracy=share)).line.endswith(words)


@pytest.mark.parametrize(
    ("off", "words"),
    [(9.94, "Off 9.9 px (1.5%)"), (9.96, "Off 10 px (1.5%)"), (143.1, "Off 143 px (22%)")],
)
def test_a_line_is_no_longer_for_a_take_that_is_far_off(off, words):
    found = said(
        replace(
            FOUND,
            centroid_error_px=off,
            centroid_error_percent=off / 6.5,
            occlusion_accuracy=0.83,
        )
    )
    assert found.parts[0] == words
    assert len(found.line) <= 44


def test_a_take_in_which_nothing_was_ever_found_says_that_instead_of_pixels():
    lost = InstanceObedience(id=1, centroid_error_px=660.0, mask_iou=0.0, in_sight=7, lost=7)
    found = said(replace(FOUND, centroid_error_px=660.0, mask_iou=0.0, instances=(lost,)))
    assert found.line == "Not found · overlap 0% · order ok"


def test_of_several_things_each_has_a_sentence_and_one_that_was_lost_says_where():
    rose = InstanceObedience(id=2, centroid_error_px=99.0, mask_iou=0.25, in_sight=6, lost=2)
    found = said(replace(FOUND, instances=(*FOUND.instances, rose, InstanceObedience(id=3))))
    assert found.details[-3:] == (
        "Dahlia: off 3.1 px, overlap 82%.",
        "Rose: off 99.0 px, overlap 25%; not found in 2 of 6 frames, which counts as the whole "
        "diagonal.",
        "3: not in sight.",
    )


def test_what_is_kept_is_read_by_name_so_that_a_later_version_may_keep_more():
    numbers = json.loads(obedience.kept(FOUND, {}))
    numbers["yaw"] = 3.0
    assert obedience.said(json.dumps(numbers)) == obedience.said(obedience.kept(FOUND, {}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "off",
        "[]",
        "{}",
        obedience.kept(FOUND, {}).replace("3.0625", "NaN"),
        obedience.kept(FOUND, {}).replace("3.0625", "[]"),
        obedience.kept(FOUND, {}).replace('"frames": 7', '"frames": 1e999'),
    ],
)
def test_what_somebody_wrote_by_hand_is_no_take_with_numbers(text):
    assert obedience.said(text) is None
