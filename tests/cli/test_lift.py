"""`levitor lift`: points and arrays from a photo, with each network and without any."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import ExifTags, Image

from backend.cli.main import main
from backend.files.scene import POINT
from backend.perception import tiny
from backend.server import handlers
from backend.session import Session

HEIGHT, WIDTH = 60, 80
SMALL = ["--depth-size", "56"]
NETWORKS = {
    "depth folder": ("depth-anything-v2-small", tiny.make_tiny_depth_anything, "depth"),
    "depth .pth": ("depth-anything-v2-base", tiny.make_tiny_depth_anything_pth, "depth.pth"),
    "SAM folder": ("sam-vit-base", tiny.make_tiny_sam, "sam"),
    "SAM .pth": ("sam-vit-huge", tiny.make_tiny_sam_pth, "sam.pth"),
    "SAM 2.1 folder": ("sam2.1-hiera-tiny", tiny.make_tiny_sam2, "sam2"),
}


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Where each tiny network lies."""
    folder = tmp_path_factory.mktemp("weights")
    return {key: make(folder / at) for key, (_, make, at) in NETWORKS.items()}


@pytest.fixture(autouse=True)
def no_weights_of_this_computer(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.fixture
def photo(tmp_path):
    """Noise above, a red floor below; the file speaks of a 35 mm lens."""
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    pixels[40:] = 200, 30, 40
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 1
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 35
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def read_ply(path):
    """A reader of its own: header lines and vertices."""
    data = path.read_bytes()
    head, _, body = data.partition(b"end_header\n")
    return head.decode("ascii").splitlines(), np.frombuffer(body, POINT)


def lifted(photo, *options):
    """Both files of a lift; what a .npz holds, without pickle."""
    ply, npz = photo.with_name("scene.ply"), photo.with_name("scene.npz")
    assert main(["lift", str(photo), "-o", str(ply), "-o", str(npz), *SMALL, *options]) == 0
    with np.load(npz, allow_pickle=False) as arrays:
        return read_ply(ply), dict(arrays)


def test_points_are_pixels_in_blenders_axes_at_the_depth_they_have(photo, capsys):
    (header, points), arrays = lifted(photo, "--scene", "ground")
    assert header[:2] == ["ply", "format binary_little_endian 1.0"]
    assert header[2].startswith("comment axes: +x right, +y forward, +z up")
    assert header[4:] == [
        "element vertex 4800",
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {colour}" for colour in ("red", "green", "blue")),
        "property int instance",
    ]
    assert len(points) == HEIGHT * WIDTH
    focal = 80 * 35 / 36
    np.testing.assert_allclose(
        arrays["intrinsics"], [[focal, 0, 40], [0, focal, 30], [0, 0, 1]], rtol=1e-12
    )
    # The lowest row is at near, 2: its first pixel is 39.5 left of and 29.5 below the middle
    first = points[(HEIGHT - 1) * WIDTH]
    expected = (-39.5 / focal * 2, 2.0, -29.5 / focal * 2)
    np.testing.assert_allclose([first["x"], first["y"], first["z"]], expected, rtol=1e-5)
    assert (first["red"], first["green"], first["blue"]) == (200, 30, 40)
    assert (points["y"].reshape(HEIGHT, WIDTH) == arrays["depth"]).all()
    assert (points["instance"].reshape(HEIGHT, WIDTH) == arrays["segments"]).all()
    assert arrays["image"].dtype == np.uint8
    assert (arrays["image"][45, 7] == (200, 30, 40)).all()
    assert (float(arrays["near"]), float(arrays["far"])) == (2.0, 20.0)
    assert str(arrays["depth_model"]) == "ground plane"
    assert str(arrays["fov_source"]) == "EXIF, 35 mm"
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("80 x 60 points" in line and "depth from ground plane" in line for line in lines)
    assert "54.4 degrees (EXIF, 35 mm)" in lines[0]


def test_the_scene_is_what_was_asked_for_and_auto_says_what_it_took(photo, capsys):
    (_, points), arrays = lifted(photo, "--scene", "backdrop", "--far", "12")
    assert (arrays["depth"] == 12.0).all()
    assert (points["y"] == 12.0).all()
    assert (str(arrays["scene_kind"]), str(arrays["depth_model"])) == ("backdrop", "backdrop")
    assert "Scene:" not in capsys.readouterr().out
    _, auto = lifted(photo)
    kind = str(auto["scene_kind"])
    assert f"Scene: Auto took {kind.capitalize()}, since " in capsys.readouterr().out


@pytest.mark.parametrize("key", NETWORKS)
def test_each_network_in_each_layout_makes_points(photo, networks, capsys, key):
    name, is_depth = NETWORKS[key][0], key.startswith("depth")
    option = "--depth-model" if is_depth else "--segment-model"
    (_, points), arrays = lifted(photo, "--weights", f"{name}={networks[key]}", option, name)
    assert str(arrays["depth_model" if is_depth else "segment_model"]) == name
    assert len(points) == HEIGHT * WIDTH
    assert np.isfinite(points["y"]).all()
    np.testing.assert_allclose([points["y"].min(), points["y"].max()], [2, 20], rtol=1e-4)
    assert f" from {name}" in capsys.readouterr().out


def test_the_best_that_is_here_is_taken_unless_offline_is_asked_for(photo, networks):
    here = ["--weights", f"depth-anything-v2-small={networks['depth folder']}"]
    _, best = lifted(photo, *here)
    _, offline = lifted(photo, *here, "--depth-model", "offline", "--scene", "ground")
    assert str(best["depth_model"]) == "depth-anything-v2-small"
    assert str(offline["depth_model"]) == "ground plane"


def test_folder_and_pth_of_one_network_agree(photo, networks):
    found = []
    for key in ("depth folder", "depth .pth"):
        name = NETWORKS[key][0]
        options = ["--weights", f"{name}={networks[key]}", "--depth-model", name]
        # 518 is what both were trained at; elsewhere they place their patches in two ways
        found.append(lifted(photo, *options, "--depth-size", "518", "--no-clean-edges")[1]["depth"])
    assert np.abs(1 / found[0] - 1 / found[1]).max() < 2e-2


def test_options_change_what_they_say(photo, tmp_path):
    depth = tmp_path / "depth.npy"
    np.save(depth, np.linspace(0, 1, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH))
    given = ["--depth-map", str(depth), "--near", "3", "--far", "9", "--fov", "90"]
    _, nearer = lifted(photo, *given)
    _, farther = lifted(photo, *given, "--farther-is-larger")
    assert nearer["depth"][-1, -1] == farther["depth"][0, 0] == pytest.approx(3.0)
    assert nearer["depth"][0, 0] == pytest.approx(9.0)
    assert str(nearer["depth_model"]) == "depth map from file"
    assert nearer["intrinsics"][0, 0] == pytest.approx(40.0)
    assert str(nearer["fov_source"]) == "given"
    _, small = lifted(photo, "--max-side", "40", "--horizon", "0")
    assert small["depth"].shape == (30, 40)
    assert "scaled to 40 x 30" in str(small["notes"])
    assert float(small["horizontal_fov"]) == pytest.approx(
        nearer["horizontal_fov"] - 35.57, abs=0.01
    )


BAD = {
    "no such photo": (["{folder}/none.png"], "none.png: No such file"),
    "no photo": (["{folder}/text.png"], "not an image that can be read"),
    "field of view": (["{photo}", "--fov", "180"], "180 degrees is not between 1 and 175"),
    "near beyond far": (["{photo}", "--near", "5", "--far", "4"], "Near 5 and far 4"),
    "side": (["{photo}", "--max-side", "4"], "longest side of 4 pixels"),
    "unknown model": (["{photo}", "--depth-model", "midas"], "no model 'midas'"),
    "model not here": (["{photo}", "--segment-model", "sam-vit-base"], "'sam-vit-base'"),
    "network's size": (
        ["{photo}", "--weights", "depth-anything-v2-small={depth}", "--depth-size", "5"],
        "size of 5 pixels for the depth network",
    ),
    "no depth map": (["{photo}", "--depth-map", "{folder}/text.png"], "depth map"),
    "broken weights": (
        [
            "{photo}",
            "--weights",
            "sam-vit-base={folder}/text.png",
            "--segment-model",
            "sam-vit-base",
        ],
        "sam-vit-base",
    ),
    "device": (["{photo}", "--device", "abacus"], "abacus"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_lifted_is_one_sentence_and_writes_nothing(
    photo, tmp_path, networks, capsys, case
):
    (tmp_path / "text.png").write_bytes(b"hello")
    options, says = BAD[case]
    places = {"folder": tmp_path, "photo": photo, "depth": networks["depth folder"]}
    out = tmp_path / "out"
    given = [option.format(**places) for option in options]
    assert main(["lift", *given, "-o", str(out / "a.ply"), "-o", str(out / "a.npz")]) == 1
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("out", "says"),
    [
        (
            ["a.obj"],
            "ends in .obj; this command writes .ply or .npz files. Name it a.ply or a.npz.",
        ),
        (["a.ply", "a.ply"], "written twice"),
        (["photo.png"], "photo.png is read by this command"),
        (["cloud"], "cloud has no ending; this command writes .ply or .npz files"),
    ],
)
def test_outputs_are_judged_before_any_work(photo, capsys, out, says):
    places = [part for name in out for part in ("-o", str(photo.with_name(name)))]
    assert main(["lift", str(photo), *places]) == 1
    assert says in capsys.readouterr().err


def test_the_cloud_is_the_same_as_the_one_that_a_worker_sends(photo):
    from protocol import content, messages

    _, arrays = lifted(photo)
    data = photo.read_bytes()
    kept = {}

    class Blobs:
        get = staticmethod(lambda key: data)
        put = staticmethod(lambda each: kept.__setitem__(content.blob_of(each, "").sha256, each))

    message = messages.LiftRequest(
        image=content.blob_of(data, "image/png"), horizontal_fov=0.0, depth_size=56
    )
    reply = handlers.run(Session(), message, job="j", blobs=Blobs, on_step=lambda *step: None)
    assert kept[reply.scene.depth.sha256] == arrays["depth"].tobytes()
    assert kept[reply.scene.image.sha256] == arrays["image"].tobytes()
    assert (reply.scene.intrinsics == arrays["intrinsics"]).all()
    assert (reply.horizontal_fov, reply.fov_source) == (
        float(arrays["horizontal_fov"]),
        "EXIF, 35 mm",
    )


def test_a_photo_that_says_nothing_gets_fifty_degrees(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 60), (9, 9, 9)).save(buffer, "PNG")
    path = tmp_path / "dumb.png"
    path.write_bytes(buffer.getvalue())
    _, arrays = lifted(path)
    assert float(arrays["horizontal_fov"]) == pytest.approx(50.0)
    assert str(arrays["fov_source"]) == "default"
