"""Where a template is found in a picture that holds it at a known place."""

from __future__ import annotations

import pytest
import torch

from backend.evaluation.matching import find_template, shifted
from tests.evaluation.pictures import texture

HEIGHT, WIDTH = 60, 90


def thing(flat: bool = False):
    """A disc over a background, its template, and its weights."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    disc = (x - 30) ** 2 + (y - 28) ** 2 <= 81
    background = texture(HEIGHT, WIDTH, seed=1)
    colour = torch.ones(3, HEIGHT, WIDTH) if flat else texture(HEIGHT, WIDTH, seed=2)
    picture = torch.where(disc, colour, background * 0.8)
    rim = (x - 30) ** 2 + (y - 28) ** 2 <= 121
    return picture, torch.where(disc, 1.0, 0.3 * rim), disc, background * 0.8


def moved(picture, disc, background, x, y):
    """The disc elsewhere, before the same background."""
    place = shifted(disc[None].float(), (x, y))[0]
    return background * (1 - place) + shifted(picture, (x, y)) * place


@pytest.mark.parametrize("shift", [(0, 0), (7, -4), (41, 17), (-25, 0)])
@pytest.mark.parametrize("flat", [False, True], ids=["textured", "of one colour"])
def test_a_thing_is_found_where_it_went(shift, flat):
    picture, weight, disc, background = thing(flat)
    found = find_template(picture, weight, moved(picture, disc, background, *shift))
    assert found.found
    assert found.shift == pytest.approx(shift, abs=0.15)


def test_a_fraction_of_a_pixel_is_found():
    picture, weight, _, _ = thing()
    found = find_template(picture, weight, shifted(picture, (3.4, -2.7)))
    assert found.shift == pytest.approx((3.4, -2.7), abs=0.1)


def test_a_picture_that_is_searched_in_two_steps_gives_the_same():
    scale = 6
    picture, weight, disc, background = thing()
    large = [
        part.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
        for part in (picture, weight, disc, background)
    ]
    found = find_template(large[0], large[1], moved(large[0], large[2], large[3], 61, -40))
    assert found.shift == pytest.approx((61, -40), abs=0.3)


def test_a_thing_that_has_become_lighter_is_found():
    picture, weight, disc, background = thing()
    take = moved((picture * 0.8 + 0.15), disc, background, 12, 5)
    assert find_template(picture, weight, take).shift == pytest.approx((12, 5), abs=0.5)


def test_a_thing_that_is_not_there_is_not_found():
    picture, weight, _, _ = thing()
    absent = find_template(picture * torch.tensor([1.0, 0, 0])[:, None, None], weight, 1 - picture)
    assert not absent.found


def test_a_picture_that_is_not_moved_is_the_same_to_the_bit():
    picture = texture(12, 15)
    assert torch.equal(shifted(picture, (0.0, 0.0)), picture)
    assert torch.allclose(shifted(picture, (2.0, 1.0))[:, 1:, 2:], picture[:, :-1, :-2])
