"""FID and FVD over extractors: every clip counts, sets that do not compare are refused."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from backend.evaluation import feature_file
from backend.evaluation.distances import BatchedFeatures, ClipDistance, ReferenceSet
from backend.evaluation.features import I3D400, Inception, RandomProjection
from backend.evaluation.lpips import CHANNELS, LPIPS, SCALE, SHIFT, AlexNetFeatures
from backend.evaluation.metrics import frechet_distance, gaussian_of
from protocol.errors import ShotError


def clips(count: int, frames: int = 3, seed: int = 0, size: int = 16) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(frames, 3, size, size, generator=generator) for _ in range(count)]


def rows_of(features, of):
    return torch.cat([*(rows for clip in of for rows in features.add(clip)), *features.rest()])


def distance_of(extractor, real, generated, batch=None):
    found = ClipDistance(extractor, batch)
    for pair in zip(real, generated, strict=True):
        found.add(*pair)
    return found.distance()


@pytest.mark.parametrize("kind", ["frames", "clips"])
def test_a_distance_is_that_of_the_features_of_every_clip(kind):
    extractor = RandomProjection(kind, size=4)
    real, generated = clips(17), clips(17, seed=1)
    found = distance_of(extractor, real, generated, batch=8)

    def rows(of: list[Tensor]) -> Tensor:
        return extractor(torch.cat(of) if kind == "frames" else torch.stack(of))

    gaussians = (*gaussian_of(rows(real)), *gaussian_of(rows(generated)))
    assert found.value.mean == pytest.approx(frechet_distance(*gaussians), abs=1e-6)
    assert 0 < found.value.low < found.value.high
    assert found.value.count == 17
    assert found.samples == (17 * 3 if kind == "frames" else 17)
    assert distance_of(extractor, real, real).value.mean < 1e-6


@pytest.mark.parametrize("count", [15, 16, 17, 31, 32])
def test_no_clip_is_dropped_whatever_the_batch(count):
    features = BatchedFeatures(RandomProjection("clips"), batch=16)
    assert len(rows_of(features, clips(count))) == count


def test_a_batch_that_does_not_fit_is_halved():
    class Small(RandomProjection):
        def __call__(self, pictures: Tensor) -> Tensor:
            if len(pictures) > 3:
                raise RuntimeError("CUDA out of memory")
            return super().__call__(pictures)

    features = BatchedFeatures(Small("clips"), batch=8)
    found = rows_of(features, clips(10))
    assert features.batch == 2
    assert torch.allclose(found, RandomProjection("clips")(torch.stack(clips(10))))


@pytest.mark.parametrize(
    ("real", "generated", "sentence"),
    [
        pytest.param(clips(3), clips(3, frames=4), "4 frames .* 3 frames", id="lengths"),
        pytest.param(clips(3), clips(3, size=20), "20 x 20, .* 16 x 16", id="sizes"),
        pytest.param(
            clips(2) + clips(1, frames=5), clips(3), "real clip 2 is 5", id="within one set"
        ),
        pytest.param(clips(1), clips(1), "at least 2 clips, got 1", id="too few"),
        pytest.param([], [], "at least 2 clips, got 0", id="none"),
        pytest.param(
            [torch.full((3, 3, 16, 16), torch.nan)] * 2, clips(2), "what is no number", id="NaN"
        ),
    ],
)
def test_sets_that_do_not_compare_are_refused(real, generated, sentence):
    with pytest.raises(ShotError, match=sentence):
        distance_of(RandomProjection("clips"), real, generated)


def test_a_reference_set_may_have_another_number_and_is_not_resampled():
    extractor = RandomProjection("clips", size=3)
    real, generated = clips(9), clips(5, seed=1)
    found = ReferenceSet(extractor, real).distance(generated)
    sides = [gaussian_of(extractor(torch.stack(side))) for side in (real, generated)]
    assert found.value.mean == pytest.approx(frechet_distance(*sides[0], *sides[1]), abs=1e-6)
    assert found.value.low < found.value.high
    assert found.value.count == 5
    assert found.notes == (
        "5 clips are compared with 9, of 9 other videos, which are not resampled.",
    )
    few = ReferenceSet(extractor, real).distance(generated[:3])
    assert "3 clips for 3 features: the covariance is singular" in few.notes[1]
    with pytest.raises(ShotError, match="reference clip 1 is 4 frames"):
        ReferenceSet(extractor, [*clips(1), *clips(1, frames=4)])
    with pytest.raises(ShotError, match="at least 2 generated clips, got 1"):
        ReferenceSet(extractor, real).distance(clips(1))


def test_few_samples_are_flagged():
    found = distance_of(RandomProjection("clips"), clips(3), clips(3, seed=1))
    assert found.notes == (
        "3 clips for 32 features: the covariance is singular, and the distance compares only with "
        "others of as many.",
    )
    assert not distance_of(RandomProjection("clips", size=2), clips(3), clips(3)).notes


def test_features_on_the_disk_are_those_in_memory(monkeypatch):
    monkeypatch.setattr(feature_file, "IN_MEMORY", 100)
    rows = torch.rand(12, 5, generator=torch.Generator().manual_seed(0))
    kept = feature_file.FeatureFile()
    for part in rows.split(5):
        kept.add(part)
    stored = kept.clips(3)
    assert stored.shape == (4, 3, 5)
    assert np.array_equal(stored[:], rows.reshape(4, 3, 5).double().numpy())
    assert np.array_equal(stored[1:3], rows[3:9].reshape(2, 3, 5).double().numpy())


class Network(nn.Module):
    """Gives what it was told, so that its input can be checked."""

    def forward(
        self, x: Tensor, rescale: bool = True, resize: bool = True, return_features: bool = False
    ) -> Tensor:
        assert not rescale
        assert not resize
        assert return_features
        return torch.stack([x.amin((1, 2, 3, 4)), x.amax((1, 2, 3, 4)), x.mean((1, 2, 3, 4))], 1)


class PixelNetwork(nn.Module):
    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        assert return_features
        return x.float().mean((2, 3))


def save_script(network: nn.Module, path: Path) -> None:
    with warnings.catch_warnings():  # deprecated, and still what the networks are published as
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(network).save(str(path))


def test_i3d_is_given_small_clips_in_minus_one_to_one_and_its_file_is_named(tmp_path):
    path = tmp_path / "i3d_torchscript.pt"
    save_script(Network(), path)
    extractor = I3D400(path, through_256=True)
    video = torch.zeros(2, 10, 3, 32, 64)
    video[1] = 1
    # Interpolation rounds otherwise on one thread
    assert torch.allclose(extractor(video), torch.tensor([[-1.0] * 3, [1.0] * 3]), atol=1e-5)
    assert hashlib.sha256(path.read_bytes()).hexdigest() in extractor.source
    with pytest.raises(ShotError, match="clips of 10 frames and more, got 3"):
        distance_of(extractor, clips(2), clips(2))


def test_inception_is_given_bytes(tmp_path):
    path = tmp_path / "inception-2015-12-05.pt"
    save_script(PixelNetwork(), path)
    assert Inception(path)(torch.full((2, 3, 4, 4), 0.5)).tolist() == [[128.0] * 3] * 2


def test_missing_weights_are_named_and_not_downloaded(tmp_path):
    with pytest.raises(ShotError, match=r"inception-2015-12-05.pt.*--inception"):
        Inception(None)
    with pytest.raises(ShotError, match=r"i3d_torchscript.pt.*nowhere.pt is no file.*--i3d"):
        I3D400(tmp_path / "nowhere.pt")
    broken = tmp_path / "i3d_torchscript.pt"
    broken.write_bytes(b"no weights")
    with pytest.raises(ShotError, match="no TorchScript file"):
        I3D400(broken)
    with pytest.raises(ShotError, match="--alexnet"):
        LPIPS(None, None)


@pytest.fixture
def lpips_files(tmp_path):
    torch.manual_seed(0)
    alexnet, linear = tmp_path / "alexnet.pth", tmp_path / "alex.pth"
    torch.save({**AlexNetFeatures().state_dict(), "classifier.1.weight": torch.ones(1)}, alexnet)
    weights = {f"lin{k}.model.1.weight": torch.rand(1, c, 1, 1) for k, c in enumerate(CHANNELS)}
    torch.save(weights, linear)
    return alexnet, linear


def test_lpips_is_the_weighted_difference_of_unit_features(lpips_files):
    a, b = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network = AlexNetFeatures()
    state = torch.load(lpips_files[0], weights_only=True)
    state.pop("classifier.1.weight")
    network.load_state_dict(state)
    weights = torch.load(lpips_files[1], weights_only=True)
    expected = 0.0
    activations = []
    for picture in (a, b):
        shifted = (picture * 2 - 1 - torch.tensor(SHIFT).view(1, 3, 1, 1)) / torch.tensor(
            SCALE
        ).view(1, 3, 1, 1)
        activations.append([part.detach() for part in network(shifted)])
    for k, (x, y) in enumerate(zip(*activations, strict=True)):
        x, y = x[0] / x[0].norm(dim=0), y[0] / y[0].norm(dim=0)
        weight = weights[f"lin{k}.model.1.weight"].reshape(-1)
        expected += float(torch.einsum("c,chw->hw", weight, (x - y) ** 2).mean())
    measure = LPIPS(*lpips_files)
    assert measure(a, b) == pytest.approx(expected, rel=1e-5)
    assert measure(a, a) == 0
    assert measure(torch.cat([a, a]), torch.cat([b, a])) == pytest.approx(expected / 2, rel=1e-5)


def test_lpips_refuses_weights_of_something_else(lpips_files, tmp_path):
    with pytest.raises(ShotError, match="10 of 10 keys do not fit"):
        LPIPS(lpips_files[1], lpips_files[1])
    with pytest.raises(ShotError, match=r"lin0.model.1.weight' is missing"):
        LPIPS(lpips_files[0], lpips_files[0])
    tensors = tmp_path / "list.pth"
    torch.save([torch.ones(1)], tensors)
    with pytest.raises(ShotError, match="no state dictionary"):
        LPIPS(tensors, lpips_files[1])
