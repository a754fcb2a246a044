"""Where a control preview goes."""

from blender_addon.core.strips import Span, free_name, preview_name, top_channel


def test_it_goes_above_all_that_overlaps_and_skips_what_is_closed():
    taken = [Span(1, 1, 10), Span(4, 5, 8), Span(9, 20, 30)]
    assert top_channel(taken, 1, 10) == 5
    assert top_channel(taken, 8, 20) == 2
    assert top_channel(taken, 1, 10, closed={5, 6}) == 7
    assert top_channel([], 1, 10) == 1
    assert top_channel([Span(128, 1, 10)], 9, 12) is None


def test_a_name_is_one_of_each_lift_and_fits_everywhere():
    assert preview_name("my photo/../x", "0123456789") == "my-photo-x_control_01234567"
    assert preview_name("...", "ab") == "x_control_ab"
    assert len(preview_name("\u00fc" * 300, "0" * 32).encode()) < 143


def test_two_names_are_enough_for_one_that_is_shown():
    assert free_name("a", ".mp4", set()) == "a.mp4"
    assert free_name("a", ".mp4", {"a.mp4"}) == "a_1.mp4"
    assert free_name("a", ".mp4", {"a_1.mp4"}) == "a.mp4"
