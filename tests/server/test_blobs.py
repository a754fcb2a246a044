"""Files going up and down in chunks, and uploads that break off."""

import errno
import hashlib
import os
import threading

import numpy as np
import pytest

from backend.server.blobs import BlobStore
from backend.server.uploads import Uploads
from protocol import ShotError, content, messages
from tests.server.support import PATIENCE

CHUNK = 65536
DATA = np.random.default_rng(1).bytes(5 * CHUNK + 100)  # six chunks, the last one short


def offer(peer, data):
    return peer.ask(messages.BlobOffer(sha256=content.sha256(data), size=len(data)))


def put(peer, data, start, end, name=None):
    part = np.frombuffer(data[start:end], np.uint8)
    name = name or content.sha256(data)
    return peer.ask(messages.BlobPut(sha256=name, offset=start, data=part))


def get(peer, name, offset, length):
    return peer.ask(messages.BlobGet(sha256=name, offset=offset, length=length))


def test_a_blob_goes_up_in_chunks_and_comes_down_in_chunks(shared_server, connect):
    peer = connect(shared_server)
    assert offer(peer, DATA).received == 0
    replies = [put(peer, DATA, at, at + CHUNK) for at in range(0, len(DATA), CHUNK)]
    assert [r.received for r in replies] == [CHUNK * n for n in range(1, 6)] + [len(DATA)]
    assert [r.complete for r in replies] == [False] * 5 + [True]
    name = content.sha256(DATA)
    parts = [get(peer, name, at, CHUNK) for at in range(0, len(DATA), CHUNK)]
    assert {part.size for part in parts} == {len(DATA)}
    assert b"".join(part.data.tobytes() for part in parts) == DATA


def test_four_chunks_may_be_under_way_at_once(shared_server, connect):
    peer, data = connect(shared_server), DATA[1:]
    name = content.sha256(data)
    offer(peer, data)
    for at in range(0, 4 * CHUNK, CHUNK):
        part = np.frombuffer(data[at : at + CHUNK], np.uint8)
        peer.send(messages.BlobPut(sha256=name, offset=at, data=part), f"c{at}")
    assert [peer.receive().message.received for _ in range(4)] == [CHUNK * n for n in (1, 2, 3, 4)]


def test_a_blob_that_is_there_already_is_not_asked_for(shared_server, connect):
    peer = connect(shared_server)
    ref = peer.upload(b"the same photo")
    status = connect(shared_server, "another").ask(
        messages.BlobOffer(sha256=ref.sha256, size=ref.size)
    )
    assert status.complete


def test_an_upload_goes_on_at_the_missing_chunk_after_the_server_was_killed(make_server, connect):
    server = make_server("--chunk", str(CHUNK))
    peer = connect(server)
    offer(peer, DATA)
    for at in (0, CHUNK):
        put(peer, DATA, at, at + CHUNK)
    server.stop()
    peer = connect(server.again())
    assert offer(peer, DATA).received == 2 * CHUNK
    for at in range(2 * CHUNK, len(DATA), CHUNK):
        last = put(peer, DATA, at, at + CHUNK)
    assert last.complete


def test_an_upload_whose_bytes_were_cleaned_away_begins_anew(make_server, connect):
    server = make_server("--chunk", str(CHUNK))
    peer = connect(server)
    offer(peer, DATA)
    put(peer, DATA, 0, CHUNK)
    (part,) = (server.state / "blobs" / "incoming").iterdir()
    part.unlink()
    assert put(peer, DATA, CHUNK, 2 * CHUNK).received == 0
    for at in range(0, len(DATA), CHUNK):
        last = put(peer, DATA, at, at + CHUNK)
    assert last.complete


class Gate:
    """Holds up a function of a module, in whichever thread, until it is opened."""

    def __init__(self, monkeypatch, owner, name):
        self.reached, self.open = threading.Event(), threading.Event()
        real = getattr(owner, name)

        def held_up(*arguments):
            self.reached.set()
            assert self.open.wait(PATIENCE)
            return real(*arguments)

        monkeypatch.setattr(owner, name, held_up)


def status_and_pongs(peer, gate, last, other):
    """Send what takes long, and see that nobody waits for it; returns the reply it gets at last."""
    peer.send(last, "last")
    assert gate.reached.wait(PATIENCE)
    assert other.ask(messages.Ping()) == messages.Pong()
    assert peer.ask(messages.Ping()) == messages.Pong()  # its own, too, and before the status
    other.send(last, "other")
    assert other.ask(messages.Ping()) == messages.Pong()
    gate.open.set()
    replies = [peer.receive(), other.receive()]
    assert [reply.re for reply in replies] == ["last", "other"]
    assert replies[0].message == replies[1].message
    return replies[0].message


@pytest.mark.parametrize("fails", [False, True])
def test_everybody_is_answered_while_the_disk_takes_the_end_of_an_upload(
    make_server_here, connect, monkeypatch, fails
):
    server, name = make_server_here(), content.sha256(DATA)
    peer, other = connect(server), connect(server, "other")
    offer(peer, DATA)
    put(peer, DATA, 0, 5 * CHUNK)
    if fails:
        full = OSError(errno.ENOSPC, "No space left on device")
        monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(full))
    gate = Gate(monkeypatch, os, "fsync")
    part = np.frombuffer(DATA[5 * CHUNK :], np.uint8)
    last = messages.BlobPut(sha256=name, offset=5 * CHUNK, data=part)
    reply = status_and_pongs(peer, gate, last, other)
    if fails:
        assert reply.code == "disk_full"
        assert get(peer, name, 0, 1).code == "unknown_blob"
        assert offer(peer, DATA).received == 0
    else:
        assert reply == messages.BlobStatus(sha256=name, received=len(DATA), complete=True)
        assert get(peer, name, 5 * CHUNK, 100).data.tobytes() == DATA[5 * CHUNK :]


def test_everybody_is_answered_while_what_an_earlier_server_received_is_hashed(
    make_server_here, connect, monkeypatch
):
    server, name = make_server_here(), content.sha256(DATA)
    (server.state / "blobs" / "incoming" / f"{name}.part").write_bytes(DATA[: 5 * CHUNK])
    peer, other = connect(server), connect(server, "other")
    gate = Gate(monkeypatch, hashlib, "sha256")
    reply = status_and_pongs(peer, gate, messages.BlobOffer(sha256=name, size=len(DATA)), other)
    assert reply == messages.BlobStatus(sha256=name, received=5 * CHUNK, complete=False)
    assert put(peer, DATA, 5 * CHUNK, len(DATA)).complete


def test_what_an_earlier_server_received_wrongly_is_thrown_away(make_server_here, connect):
    server, name = make_server_here(), content.sha256(DATA)
    path = server.state / "blobs" / "incoming" / f"{name}.part"
    path.write_bytes(bytes(len(DATA)))
    peer = connect(server)
    assert offer(peer, DATA).code == "wrong_hash"
    assert not path.exists()
    assert offer(peer, DATA).received == 0


def test_no_more_than_64_uploads_are_open_at_once(tmp_path):
    uploads = Uploads(BlobStore(tmp_path), 1 << 20)
    for number in range(64):
        uploads.offer(f"{number:064x}", 10)
    with pytest.raises(ShotError, match="64 files are on their way"):
        uploads.offer(f"{64:064x}", 10)
    uploads.offer(f"{0:064x}", 10)  # one of the 64 may be offered again


def test_a_sender_that_left_makes_place_for_another_and_may_go_on_later(tmp_path):
    uploads = Uploads(BlobStore(tmp_path), 1 << 20, idle_seconds=0.0)
    name = content.sha256(b"1234")
    uploads.offer(name, 4)
    uploads.add(name, 0, memoryview(b"12"))
    for number in range(64):
        uploads.offer(f"{number:064x}", 10)
    with pytest.raises(ShotError, match="before its file was offered"):
        uploads.add(name, 2, memoryview(b"34"))
    assert uploads.offer(name, 4) == 2
    assert uploads.add(name, 2, memoryview(b"34")) == 4


def test_a_chunk_that_leaves_a_gap_is_not_taken(shared_server, connect):
    peer, data = connect(shared_server), DATA[2:]
    offer(peer, data)
    assert put(peer, data, CHUNK, 2 * CHUNK).received == 0


def test_a_chunk_sent_twice_is_taken_once(shared_server, connect):
    peer, data = connect(shared_server), DATA[3:]
    offer(peer, data)
    assert put(peer, data, 0, CHUNK).received == CHUNK
    assert put(peer, data, 0, CHUNK).received == CHUNK


def test_bytes_with_another_hash_are_thrown_away(shared_server, connect):
    peer, name = connect(shared_server), content.sha256(b"what was promised")
    peer.ask(messages.BlobOffer(sha256=name, size=5))
    assert put(peer, b"other", 0, 5, name).code == "wrong_hash"
    again = peer.ask(messages.BlobOffer(sha256=name, size=5))
    assert (again.received, again.complete) == (0, False)
    assert get(peer, name, 0, 5).code == "unknown_blob"


def test_more_bytes_than_offered_are_refused(shared_server, connect):
    # Bytes that no other test sends: a server that has them already takes no more of them.
    peer, name = connect(shared_server), content.sha256(b"a byte less than sent")
    peer.ask(messages.BlobOffer(sha256=name, size=21))
    assert put(peer, b"a byte less than sent!", 0, 22, name).code == "too_large"


@pytest.mark.parametrize("name", ["../../../etc/passwd", "A" * 64, "", "0" * 63])
def test_a_name_that_is_no_hash_never_becomes_a_path(shared_server, connect, name):
    peer = connect(shared_server)
    assert peer.ask(messages.BlobOffer(sha256=name, size=1)).code == "bad_hash"
    assert get(peer, name, 0, 1).code == "bad_hash"


def test_a_blob_beyond_the_limit_is_refused_with_both_numbers(shared_server, connect):
    reply = connect(shared_server).ask(messages.BlobOffer(sha256="0" * 64, size=600 << 20))
    assert reply.code == "too_large"
    assert "629.1 MB" in reply.sentence
    assert "536.9 MB" in reply.sentence


def test_an_empty_blob_is_a_blob(shared_server, connect):
    assert offer(connect(shared_server), b"").complete


def test_a_part_outside_the_blob_is_refused(shared_server, connect):
    peer = connect(shared_server)
    ref = peer.upload(b"twelve bytes")
    assert get(peer, ref.sha256, 13, 1).code == "field"
    assert get(peer, ref.sha256, 12, 1).data.size == 0
