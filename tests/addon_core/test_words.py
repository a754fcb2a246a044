"""Names, endpoints, and the place of a strip."""

import subprocess
import sys

import pytest

from blender_addon.core import endpoints, names, strips
from blender_addon.core.strips import Span


def test_channel_2_is_free_where_channel_1_is_taken_for_part_of_the_span():
    assert strips.free_channel([Span(1, 10, 20)], 15, 30) == 2


def test_a_strip_that_ends_where_the_take_begins_leaves_its_channel_free():
    assert strips.free_channel([Span(1, 10, 20)], 20, 30) == 1


def test_a_take_goes_above_the_ones_it_is_to_hide_where_there_is_room():
    older = [Span(2, 10, 20)]
    assert strips.free_channel(older, 10, 20, hides=older) == 3
    assert strips.free_channel(older, 20, 30, hides=older) == 1
    full = [Span(n, 1, 100) for n in range(2, 129)]
    assert strips.free_channel(full, 5, 6, hides=full) == 1


def test_no_channel_is_free_when_all_128_are_taken():
    assert strips.free_channel([Span(n, 1, 100) for n in range(1, 129)], 5, 6) is None


def test_a_take_of_frames_1_to_16_ends_before_frame_17():
    assert strips.span_of(1, 16) == (1, 17)


def test_file_names_hold_nothing_a_file_system_minds():
    assert (
        strips.take_name("my photo/1", "draft", 3, "0123456789ab")
        == "my-photo-1_draft_seed3_01234567"
    )


@pytest.mark.parametrize(
    ("wanted", "taken", "name"),
    [
        ("Flower", [], "Flower"),
        ("Flower", ["Flower"], "Flower.001"),
        ("Flower.001", ["Flower", "Flower.001"], "Flower.002"),
        ("  ", ["Instance"], "Instance.001"),
    ],
)
def test_names_stay_apart(wanted, taken, name):
    assert names.unique(wanted, taken) == name


@pytest.mark.parametrize(
    ("endpoint", "loopback"),
    [
        ("tcp://127.0.0.1:5599", True),
        ("tcp://localhost:1", True),
        ("tcp://[::1]:5599", True),
        ("tcp://127.8.8.8:5599", True),
        ("tcp://192.168.0.5:5599", False),
        ("tcp://127.0.0.1.example.org:5599", False),
        ("nonsense", False),
    ],
)
def test_only_addresses_of_this_computer_are_loopback(endpoint, loopback):
    assert endpoints.is_loopback(endpoint) is loopback


@pytest.mark.parametrize(
    "endpoint", ["", "127.0.0.1:5599", "tcp://host", "tcp://host:70000", "tcp://:5"]
)
def test_what_is_no_address_gets_a_sentence_with_an_example(endpoint):
    assert "tcp://127.0.0.1:5599" in endpoints.problem(endpoint)


def test_a_host_and_a_port_are_an_address():
    assert endpoints.problem("tcp://render.example.org:5599") == ""


def test_the_core_is_imported_without_blender_and_without_sockets():
    code = (
        "import sys, blender_addon.core.shot, blender_addon.core.strips;"
        "import blender_addon.core.photo_cloud;"
        "sys.exit(bool({'bpy', 'zmq'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
