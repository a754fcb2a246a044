"""Messages to bytes and back: nothing is lost, nothing wrong is taken, nothing crashes."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import Any

import numpy as np
import pytest

from protocol import VERSION, ProtocolError, VersionError, decode, encode
from protocol.codec import MAX_HEADER_BYTES
from protocol.messages import (
    MESSAGES,
    MINORS,
    EngineInfo,
    Error,
    Hello,
    Ping,
    Progress,
    SegmentRequest,
)
from tests.wire.golden import FOLDER, pack, unpack
from tests.wire.samples import SAMPLES, SCENE


def assert_equal(left: Any, right: Any) -> None:
    assert type(left) is type(right)
    if dataclasses.is_dataclass(left):
        for field in dataclasses.fields(left):
            assert_equal(getattr(left, field.name), getattr(right, field.name))
    elif isinstance(left, np.ndarray):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    elif isinstance(left, tuple):
        assert len(left) == len(right)
        for a, b in zip(left, right, strict=True):
            assert_equal(a, b)
    else:
        assert left == right


def edited(name: str, **changes: Any) -> list[bytes]:
    """Frames of a sample whose header was changed by somebody else."""
    frames = [bytes(frame) for frame in encode(SAMPLES[name], id="r1")]
    header = json.loads(frames[0])
    header.update(changes)
    return [json.dumps(header).encode(), *frames[1:]]


def with_body(name: str, **changes: Any) -> list[bytes]:
    body = json.loads(encode(SAMPLES[name])[0])["body"]
    return edited(name, body=body | changes)


def test_there_is_a_sample_of_every_message():
    assert set(SAMPLES) == set(MESSAGES)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_message_comes_back_as_it_went(name):
    envelope = decode(encode(SAMPLES[name], id="r1", re="r0"))
    assert (envelope.id, envelope.re, envelope.version) == ("r1", "r0", VERSION)
    assert_equal(envelope.message, SAMPLES[name])


@pytest.mark.parametrize("name", SAMPLES)
def test_the_golden_frames_are_what_is_sent_and_what_is_read(name):
    golden = (FOLDER / f"{name}.bin").read_bytes()
    assert pack(encode(SAMPLES[name], id="r1", re="r0")) == golden
    assert_equal(decode(unpack(golden)).message, SAMPLES[name])


def test_a_field_of_a_newer_minor_is_ignored_and_so_is_its_array():
    frames = edited(
        "blob_put",
        levitor=[VERSION[0], VERSION[1] + 1],
        body={"sha256": "00", "offset": 0, "data": 0, "speed": 1},
        arrays=[{"dtype": "uint8", "shape": [3]}, {"dtype": "uint8", "shape": [2]}],
    )
    assert decode([*frames, b"zz"]).message.offset == 0


def test_a_field_with_a_default_may_be_missing():
    body = {"job": "j", "seq": 1, "phase": "p", "done": 1, "total": 2}
    assert decode(edited("progress", body=body)).message.eta_seconds is None


@pytest.mark.parametrize("name", [name for name, cls in MESSAGES.items() if not MINORS[cls]])
def test_what_a_1_0_peer_sends_is_still_read(name):
    frames = [bytes(frame) for frame in encode(SAMPLES[name], version=(1, 0))]
    assert json.loads(frames[0])["levitor"] == [1, 0]
    envelope = decode(frames)
    assert envelope.version == (1, 0)
    assert_equal(envelope.message, SAMPLES[name])


def test_each_message_says_which_minor_brought_it():
    newer = {name: MINORS[cls] for name, cls in MESSAGES.items() if MINORS[cls]}
    assert newer == {"preview": 1, "previewed": 1}
    assert max(MINORS.values()) <= VERSION[1]


def test_defaults_may_be_left_out_at_every_depth_but_for_those_that_are_named():
    sent = encode(SAMPLES["welcome"], defaults={EngineInfo: {"missing"}})
    body = json.loads(sent[0])["body"]
    assert body["limits"] == {}
    assert "heartbeat_seconds" not in body
    draft, levitor = body["engines"]
    assert draft.keys() == {"name", "label", "help", "options", "missing"}
    assert draft["options"] == [
        {"name": "softness", "label": "Edge", "help": "Width", "default": 1.0, "low": 0.0,
         "high": 4.0}
    ]  # fmt: skip
    assert levitor.keys() == {
        "name", "label", "help", "missing", "options", "frames", "requires",
    }  # fmt: skip
    assert levitor["frames"] == {"max": 81, "step": 4, "default": 49}
    assert_equal(decode(sent).message, SAMPLES["welcome"])


def test_another_major_is_refused_with_both_versions():
    with pytest.raises(VersionError, match=rf"1\.{VERSION[1]}, the other 2\.3") as caught:
        decode(edited("ping", levitor=[2, 3]))
    assert (caught.value.ours, caught.value.theirs) == (VERSION, (2, 3))


@pytest.mark.parametrize("name", ["hello", "refusal"])
def test_hello_and_refusal_are_read_whatever_the_version(name):
    assert_equal(decode(edited(name, levitor=[9, 9])).message, SAMPLES[name])


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        pytest.param([], "at least one frame", id="no frame"),
        pytest.param([b"\xff\xfe"], "not JSON", id="bytes"),
        pytest.param([b"[1]"], "not a JSON object", id="a list"),
        pytest.param([b"{" * 100_000], "not JSON", id="deep nesting"),
        pytest.param([b"[" * 100_000], "not JSON", id="deep lists"),
        pytest.param([b'{"levitor":[1,0],"type":"ping","body":NaN}'], "not JSON", id="NaN"),
        pytest.param([b" " * (MAX_HEADER_BYTES + 1)], "limit", id="header too long"),
        pytest.param([b'{"type":"ping"}'], "version", id="no version"),
        pytest.param(edited("ping", type="pang"), "'pang' is not known", id="unknown type"),
        pytest.param(edited("ping", type=3), "no type", id="type is a number"),
        pytest.param(edited("ping", id=3), "id must be up to 80", id="id is a number"),
        pytest.param(edited("ping", id="x" * 81), "up to 80 printable", id="id too long"),
        pytest.param(edited("ping", body=[]), "must be an object", id="body is a list"),
        pytest.param(edited("hello", body={"client": "c"}), "product is missing", id="missing"),
        pytest.param(
            with_body("hello", client=3), "hello.client must be text", id="number for text"
        ),
        pytest.param(with_body("progress", done=True), "64-bit integer", id="true for a number"),
        pytest.param(with_body("progress", done=1.5), "64-bit integer", id="fraction for a count"),
        pytest.param(with_body("progress", done=1 << 80), "64-bit integer", id="huge integer"),
        pytest.param(with_body("lift", near=1 << 2000), "finite number", id="huge float"),
        pytest.param(with_body("state", state="busy"), "must be one of queued", id="not a state"),
        pytest.param(with_body("preview", over="sea"), "one of draft, photo", id="not a ground"),
        pytest.param(with_body("lift", focal=[1, "a"]), r"focal\[1\]", id="text in numbers"),
        pytest.param(with_body("error", missing="abc"), "must be a list", id="text for a list"),
        pytest.param(with_body("rendered", options={"a": [1]}), "options.a", id="list option"),
        pytest.param(with_body("rendered", options={"a": None}), "options.a", id="null option"),
        pytest.param(edited("ping", id="\ud800"), "printable ASCII", id="half a character as id"),
        pytest.param(with_body("cancel", job="\ud800"), "must be text", id="half a character"),
        pytest.param(
            with_body("rendered", options={"\ud800": 1}),
            "text as keys",
            id="half a character as key",
        ),
        pytest.param(
            [
                *edited("blob_put", arrays=[{"dtype": "uint8", "shape": [0, 1 << 40, 1 << 40]}])[
                    :1
                ],
                b"",
            ],
            "axes of 0 to",
            id="nothing by something absurd",
        ),
        pytest.param(
            [
                *edited("blob_put", arrays=[{"dtype": "uint8", "shape": [0] + [1 << 30] * 5}])[:1],
                b"",
            ],
            "cannot have|must have",
            id="nothing by much",
        ),
        pytest.param(edited("ping", arrays=None), "array table", id="no array table"),
        pytest.param(edited("ping", arrays=[{}] * 65), "array table", id="65 arrays"),
        pytest.param([*edited("ping"), b"x"], "0 arrays, 1 frames", id="a frame too many"),
        pytest.param(edited("blob_put")[:1], "1 arrays, 0 frames", id="a frame too few"),
        pytest.param([*edited("blob_put")[:1], b"12345"], "5 bytes, but uint8", id="byte count"),
        pytest.param(with_body("blob_put", data=1), "not there", id="array index"),
        pytest.param(with_body("blob_put", data=-1), "not there", id="negative index"),
        pytest.param(with_body("segment", positive=1), "taken", id="one array twice"),
        pytest.param(
            edited("blob_put", arrays=[{"dtype": "object", "shape": [3]}]),
            "'object' may not travel",
            id="dtype object",
        ),
        pytest.param(
            edited("blob_put", arrays=[{"dtype": "uint8", "shape": [-3]}]),
            "axes of 0 to",
            id="negative size",
        ),
        pytest.param(
            edited("blob_put", arrays=[{"dtype": "uint8", "shape": ["3"]}]),
            "malformed",
            id="shape of text",
        ),
        pytest.param(
            edited("blob_put", arrays=[{"dtype": "uint8", "shape": [3, 1]}]),
            r"shape \(n\)",
            id="an axis too many",
        ),
        pytest.param(
            edited("blob_put", arrays=[{"dtype": "uint8", "shape": [1 << 30, 1 << 30]}]),
            "bytes, but",
            id="absurd shape",
        ),
    ],
)
def test_what_is_wrong_is_refused_in_a_sentence(frames, says):
    with pytest.raises(ProtocolError, match=says):
        decode(frames)


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(edited("hello", body={}), id="a field is missing"),
        pytest.param(edited("ping", type="unload"), id="a newer minor's message"),
        pytest.param(edited("ping", levitor=[2, 0]), id="another major"),
        pytest.param([*edited("ping"), b"x"], id="a frame too many"),
    ],
)
def test_a_request_that_cannot_be_read_still_gets_its_answer(frames):
    with pytest.raises(ProtocolError) as caught:
        decode(frames)
    assert caught.value.request == "r1"


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        pytest.param("/mnt/w\udcff", r"/mnt/w\xff", id="a byte of a path that is no text"),
        pytest.param("/mnt/w\udcc3\udca9", "/mnt/wé", id="bytes of a path that together are text"),
        pytest.param("x\ud800y", r"x\ud800y", id="half a character"),
        pytest.param("ü 🌷", "ü 🌷", id="text stays as it is"),
    ],
)
def test_a_text_that_nothing_can_write_travels_readable(text, reads):
    error = Error(code="c", sentence=text, missing=(text,))
    assert_equal(decode(encode(error)).message, Error(code="c", sentence=reads, missing=(reads,)))
    rendered = dataclasses.replace(SAMPLES["rendered"], options={text: text})
    assert decode(encode(rendered)).message.options == {reads: reads}


def test_a_header_that_nobody_would_read_is_not_sent():
    with pytest.raises(ProtocolError, match="limit"):
        encode(Error(code="c", sentence="x" * MAX_HEADER_BYTES))


def test_named_axes_must_agree_within_a_message():
    with pytest.raises(ProtocolError, match=r"positive must have shape \(K=2\), got \(3,\)"):
        encode(SegmentRequest(scene=SCENE, points=np.zeros((2, 2)), positive=np.zeros(3, np.uint8)))


def test_the_sender_is_held_to_the_schema_too():
    with pytest.raises(ProtocolError, match="points must be float64, got float32"):
        encode(
            SegmentRequest(
                scene=SCENE, points=np.zeros((1, 2), np.float32), positive=np.zeros(1, np.uint8)
            )
        )
    with pytest.raises(ProtocolError, match="finite number"):
        encode(Progress(job="j", seq=1, phase="p", done=1, total=2, eta_seconds=float("nan")))
    with pytest.raises(ProtocolError, match="not a message"):
        encode(object())


def test_arrays_that_arrive_cannot_be_written_to():
    data = decode(encode(SAMPLES["blob_put"])).message.data
    with pytest.raises(ValueError, match="read-only"):
        data[0] = 1


def test_a_big_endian_or_strided_array_travels_by_value():
    base = np.arange(12, dtype=">f8").reshape(6, 2)[::2]
    message = SegmentRequest(scene=SCENE, points=base, positive=np.ones(3, np.uint8))
    np.testing.assert_array_equal(decode(encode(message)).message.points, [[0, 1], [4, 5], [8, 9]])


def test_ten_thousand_mangled_messages_never_crash_the_decoder():
    rng = random.Random(1)
    corpus = [[bytes(f) for f in encode(m, id="a")] for m in SAMPLES.values()]
    refused = 0
    for _ in range(10_000):
        frames = [bytearray(frame) for frame in rng.choice(corpus)]
        for _ in range(rng.randint(1, 4)):
            mangle(rng, frames)
        try:
            decode([bytes(frame) for frame in frames])
        except ProtocolError:
            refused += 1
    assert refused > 5_000  # most damage is seen; what is left hit a value that is still valid


def mangle(rng: random.Random, frames: list[bytearray]) -> None:
    """One random fault: bytes changed, cut, doubled; frames dropped, swapped or added."""
    if not frames:
        frames.append(bytearray())
        return
    frame = rng.choice(frames)
    match rng.randrange(7):
        case 0 | 1 | 2 if frame:
            frame[rng.randrange(len(frame))] = rng.choice(b'0123456789"[]{}:,.-eE\x00\xff')
        case 3:
            del frame[rng.randrange(len(frame) + 1) :]
        case 4:
            frame.extend(frame[: rng.randrange(20)])
        case 5:
            frames.append(bytearray(rng.randbytes(rng.randrange(30))))
        case _:
            frames.pop(rng.randrange(len(frames)))


def test_hello_needs_nothing_but_two_names():
    assert decode(encode(Hello(client="c", product="p"))).message == Hello(client="c", product="p")
    assert len(encode(Ping())) == 1
