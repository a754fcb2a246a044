"""The table of weight sets: source, files, size, licence.

Download sizes are those on the models' pages, rounded; sizes and checksums of original files are
exact. Each revision and each checksum of a file was found in at least two public sources that pin
it independently; none is known for LeviTor's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from protocol.errors import ShotError

Task = Literal["video", "depth", "segments"]
FREE = "commercial use too"
NO_COMMERCE = "no commercial use"


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """The authors' single file, if it can be used in place of the folder.

    Attributes:
        file: its name as released.
        url: where it comes from.
        size: bytes, exact.
        sha256: of the whole file.
    """

    file: str
    url: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSet:
    """One set of weights.

    Attributes:
        name: in programs, options and folders.
        label: shown to the user.
        task: what it is for.
        help: one line for the user.
        hub: its repository.
        revision: the commit to download; if empty, the newest at the first download into a
            folder.
        sums: (bytes, SHA-256) of files of that commit, as far as known.
        needs: required files, relative to its folder; one of each group suffices, the first is
            downloaded.
        wants: further files to download, which are optional.
        size: bytes to download, rounded.
        parameters: number of parameters.
        licence: its short name.
        terms: of the licence, as a phrase after a colon.
        original: the authors' file, if it can be used instead.
        old: other names of its folder.
    """

    name: str
    label: str
    task: Task
    help: str
    hub: str
    needs: tuple[tuple[str, ...], ...]
    wants: tuple[str, ...] = ()
    size: int
    parameters: int
    licence: str
    terms: str
    original: Original | None = None
    old: tuple[str, ...] = ()
    revision: str = ""
    sums: Mapping[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])

    @property
    def page(self) -> str:
        """Its page on the hub."""
        return f"https://huggingface.co/{self.hub}"

    @property
    def patterns(self) -> list[str]:
        """Patterns of the files to download."""
        return [group[0] for group in self.needs] + list(self.wants)

    def bytes_on(self, device: str) -> int:
        """Memory of the weights alone: float16 on a GPU, float32 on the CPU."""
        return self.parameters * (2 if device.startswith("cuda") else 4)


def _either(folder: str, name: str, ending: str = ".safetensors") -> tuple[str, str]:
    return (f"{folder}/{name}.fp16{ending}", f"{folder}/{name}{ending}")


_SVD = WeightSet(
    name="svd-xt",
    label="Stable Video Diffusion XT",
    task="video",
    help="makes the frames; under LeviTor and other engines",
    hub="stabilityai/stable-video-diffusion-img2vid-xt",
    needs=(
        ("unet/config.json",),
        _either("unet", "diffusion_pytorch_model"),
        ("vae/config.json",),
        _either("vae", "diffusion_pytorch_model"),
        ("image_encoder/config.json",),
        _either("image_encoder", "model"),
        ("scheduler/scheduler_config.json",),
    ),
    wants=("feature_extractor/*", "model_index.json", "LICENSE*", "README.md"),
    revision="9e43909513c6714f1bc78bcb44d96e733cd242aa",
    size=4_510_000_000,
    parameters=2_254_000_000,
    licence="Stability AI Community License",
    terms="free below 1 million US dollars of yearly revenue, commercial users register with"
    " Stability AI; above that a paid licence",
)
_LEVITOR = WeightSet(
    name="levitor",
    label="LeviTor",
    task="video",
    help="steers Stable Video Diffusion along 3D trajectories",
    hub="hlwang06/LeviTor",
    needs=(
        (
            "controlnet/diffusion_pytorch_model.safetensors",
            "controlnet/diffusion_pytorch_model.fp16.safetensors",
            "controlnet/diffusion_pytorch_model.bin",
            "diffusion_pytorch_model.safetensors",  # the controlnet folder itself
            "diffusion_pytorch_model.fp16.safetensors",
            "diffusion_pytorch_model.bin",
        ),
    ),
    wants=("controlnet/*", "README.md"),
    size=2_730_000_000,
    parameters=682_021_537,
    licence="unclear",
    terms="its page says Apache-2.0, but the only licence file in its code is CC-BY-NC-4.0;"
    " ask its authors before any commercial use",
)


def _transformers_folder(*wants: str) -> dict[str, tuple[tuple[str, ...], ...] | tuple[str, ...]]:
    return {
        "needs": (("config.json",), ("model.safetensors",)),
        "wants": ("preprocessor_config.json", "README.md", "LICENSE*", *wants),
    }


def _model(size: int, sha256: str) -> dict[str, tuple[int, str]]:
    """The weight file of a transformers folder."""
    return {"model.safetensors": (size, sha256)}


def _depth(
    size: str,
    letter: str,
    bytes_: int,
    parameters: int,
    exact: int,
    sha256: str,
    revision: str,
    sums: Mapping[str, tuple[int, str]] | None = None,
) -> WeightSet:
    free = size == "small"
    file = f"depth_anything_v2_vit{letter}.pth"
    hub = f"depth-anything/Depth-Anything-V2-{size.capitalize()}"
    return WeightSet(
        name=f"depth-anything-v2-{size}",
        label=f"Depth Anything V2 {size.capitalize()}",
        task="depth",
        help="depth of a photo",
        hub=f"{hub}-hf",
        **_transformers_folder(),  # pyright: ignore[reportArgumentType]
        size=bytes_,
        parameters=parameters,
        licence="Apache-2.0" if free else "CC-BY-NC-4.0",
        terms=FREE if free else NO_COMMERCE,
        original=Original(
            file=file,
            url=f"https://huggingface.co/{hub}/resolve/main/{file}",
            size=exact,
            sha256=sha256,
        ),
        old=(hub.rpartition("/")[2],),
        revision=revision,
        sums=sums or {},
    )


def _sam(
    size: str, file: str, bytes_: int, parameters: int, sha256: str, revision: str
) -> WeightSet:
    return WeightSet(
        name=f"sam-vit-{size}",
        label=f"Segment Anything {size.capitalize()}",
        task="segments",
        help="picking by clicks and boxes, automatic segments",
        hub=f"facebook/sam-vit-{size}",
        **_transformers_folder(),  # pyright: ignore[reportArgumentType]
        size=bytes_,
        parameters=parameters,
        licence="Apache-2.0",
        terms=FREE,
        original=Original(
            file=file,
            url=f"https://dl.fbaipublicfiles.com/segment_anything/{file}",
            size=bytes_,
            sha256=sha256,
        ),
        revision=revision,
    )


def _sam2(
    size: str,
    bytes_: int,
    parameters: int,
    revision: str,
    sums: Mapping[str, tuple[int, str]] | None = None,
) -> WeightSet:
    return WeightSet(
        name=f"sam2.1-hiera-{size}",
        label=f"Segment Anything 2.1 {size.replace('-', ' ').title()}",
        task="segments",
        help="picking by clicks and boxes, automatic segments",
        hub=f"facebook/sam2.1-hiera-{size}",
        **_transformers_folder(),  # pyright: ignore[reportArgumentType]
        size=bytes_,
        parameters=parameters,
        licence="Apache-2.0",
        terms=FREE,
        revision=revision,
        sums=sums or {},
    )


TABLE: tuple[WeightSet, ...] = (
    _SVD,
    _LEVITOR,
    _depth(
        "small",
        "s",
        99_000_000,
        24_800_000,
        99_218_434,
        "715fade13be8f229f8a70cc02066f656f2423a59effd0579197bbf57860e1378",
        "5426e4f0f36572d16453bbda7a8389317b1bef99",
        _model(99_173_660, "3152477ce0d8d6978d76b995120de97cb5b928701fd0f817769f59e249a16b70"),
    ),
    _depth(
        "base",
        "b",
        390_000_000,
        97_500_000,
        389_961_218,
        "0d2b7002e62d39d655571c371333340bd88f67ab95050c03591555aa05645328",
        "b1958afc87fb45a9e3746cb387596094de553ed8",
    ),
    _depth(
        "large",
        "l",
        1_340_000_000,
        335_300_000,
        1_341_395_338,
        "a7ea19fa0ed99244e67b624c72b8580b7e9553043245905be58796a608eb9345",
        "7581137eff8d4e94f6e796d3baea0e9fa79b22d2",
    ),
    _sam2("tiny", 156_000_000, 38_900_000, "de431c4043854a71d8101e17995dfe596bf101a5"),
    _sam2(
        "small",
        184_000_000,
        46_000_000,
        "ee5bba1d82bb8749febdf90f45e84b687142ba03",
        _model(184_305_280, "0a4067b11ce1e23d5229203f11c718a823060d15a4b23fa2372a7d4b77cbbc60"),
    ),
    _sam2(
        "base-plus",
        324_000_000,
        80_800_000,
        "b7320756a13354e7530a63935656d35b2f91a290",
        _model(323_476_296, "2012733a0de5d03efd1bba550a2847c4551be9ef2e0d497c83074df66189f780"),
    ),
    _sam2(
        "large",
        898_000_000,
        224_400_000,
        "665f8e2ad61cf5f53d65644ff27c8ee525124610",
        _model(897_897_416, "dc407dce21301fd94abb395c5099b4f2c455fdc8a8f261ac3d0ea6d4cd197230"),
    ),
    _sam(
        "base",
        "sam_vit_b_01ec64.pth",
        375_042_383,
        93_700_000,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        "70c1a07f894ebb5b307fd9eaaee97b9dfc16068f",
    ),
    _sam(
        "large",
        "sam_vit_l_0b3195.pth",
        1_249_524_607,
        312_300_000,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        "6851e0441005b0fb96f2cc4dfac472f3d1b14af1",
    ),
    _sam(
        "huge",
        "sam_vit_h_4b8939.pth",
        2_564_550_879,
        641_100_000,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        "87aecf0df4ce6b30cd7de76e87673c49644bdf67",
    ),
)
NAMES: tuple[str, ...] = tuple(weights.name for weights in TABLE)


def weights_of(name: str) -> WeightSet:
    """The weight set with that name.

    Raises:
        ShotError: there is none.
    """
    for weights in TABLE:
        if weights.name == name:
            return weights
    raise ShotError(
        "weights",
        f"There are no weights called '{name:.40}'.",
        f"Choose one of: {', '.join(NAMES)}.",
    )


def human(size: float) -> str:
    """Bytes in words: ``4.5 GB``, ``99 MB``."""
    if size >= 999.5e6:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB"
