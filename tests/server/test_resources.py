"""What a server is told of weights, device and memory, and who hears of it."""

from protocol import messages
from tests.server.support import SHOT_BLOBS, Peer, scripted_shot, wait_for
from tests.weights.layouts import fill


def test_an_engine_without_its_weights_is_listed_with_why_and_refused_at_once(
    make_server, connect, tmp_path
):
    weights = tmp_path / "weights.bin"
    server = make_server("--needs", str(weights))
    peer = connect(server)
    said = peer.welcome.engines[0]
    assert said.name == "scripted"
    assert said.missing == "There is no weights.bin. `levitor doctor` says what to fetch."
    # Nothing was uploaded, so nothing need be for it to be refused
    answer = peer.ask(messages.RenderRequest(shot=scripted_shot()), "r1")
    assert (answer.code, answer.sentence, answer.fix) == (
        "weights",
        "There is no weights.bin.",
        "Fetch it.",
    )
    # A control is made without weights: only its blobs are missing
    assert peer.ask(messages.PreviewRequest(shot=scripted_shot())).code == "missing_blobs"

    weights.touch()
    assert isinstance(peer.submit("r1"), messages.Accepted)  # the same request, no new server
    assert connect(server, "another").welcome.engines[0].missing == ""


def test_workers_are_told_device_memory_and_weights(make_server, connect, tmp_path):
    folder = fill(tmp_path / "mine", "levitor")
    server = make_server("--memory", "low", "--weights", f"levitor={folder}")

    def device():
        peer = Peer(server.endpoint)
        peer.close()
        return peer.welcome.device == "scripted cpu low"

    wait_for(device, "a worker to say what it computes on")
    peer = connect(server)
    accepted = peer.submit(weights="levitor")
    assert peer.until_state(accepted.job, "failed").sentence == str(folder)


def test_a_worker_whose_settings_were_broken_meanwhile_says_so_in_the_log(
    make_server, connect, tmp_path
):
    settings = tmp_path / "levitor.toml"
    settings.write_text("[server]\ndevice = 'tpu'")
    server = make_server(LEVITOR_CONFIG=str(settings))
    peer = connect(server)
    for data in SHOT_BLOBS.values():
        peer.upload(data)
    accepted = peer.ask(messages.RenderRequest(shot=scripted_shot()))
    peer.until_state(accepted.job, "failed")
    assert "There is no device 'tpu'" in server.log()
    assert "Traceback" not in server.log()
