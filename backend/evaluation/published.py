"""Tables of the papers, as data.

Numbers of different papers were made by different protocols, and few clips bias both Frechet
distances, so a table compares within itself alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from protocol.errors import ShotError

Key = tuple[str, str]
"""Setting and method of a row."""
Points = Literal["single", "multi", "circle", ""]
"""How many points a mask of the clips has: one, several, or as it comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRow:
    """How an engine of ours makes a row.

    Attributes:
        engine: its name.
        options: of the engine, where they differ from its defaults.
        depth: whether it is told depth; without it that map is zero, as in the ablation's training.
        instance: likewise for ids.
        checkpoint: whether the row is of a training of its own, so that weights must be named.
    """

    engine: str
    options: Mapping[str, float] = field(default_factory=dict[str, float])
    depth: bool = True
    instance: bool = True
    checkpoint: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A table to reproduce.

    Attributes:
        name: on the command line.
        title: what it compares.
        source: paper and table.
        needs: data and weights, in words.
        metrics: of its columns, in order.
        rows: numbers by setting and method; None where a paper prints none.
        sets: the sets of clips that it is measured on, and the points of their masks. Where a set
            has the name of a setting, rows of that setting are measured on it alone.
        only: metrics that are measured on one set, by name.
        frames: of a clip.
        engines: rows, by method, that an engine of ours makes.
        through_256: whether FVD's frames are resized to 256 x 256 first.
        regions: whether engines are told DragAnything's regions as boxes.
        reference: whether FID and FVD compare with a set of other videos.
        ours: metrics that are measured and were not published.
    """

    name: str
    title: str
    source: str
    needs: str
    metrics: tuple[str, ...]
    rows: Mapping[Key, tuple[float | None, ...]]
    sets: Mapping[str, Points] = field(default_factory=lambda: dict[str, Points]({"": ""}))
    only: Mapping[str, str] = field(default_factory=dict[str, str])
    frames: int = 16
    engines: Mapping[str, EngineRow] = field(default_factory=dict[str, EngineRow])
    through_256: bool = False
    regions: bool = False
    reference: bool = False
    ours: tuple[str, ...] = ()

    @property
    def settings(self) -> tuple[str, ...]:
        """Those of its rows, in order."""
        return tuple(dict.fromkeys(setting for setting, _ in self.rows))

    @property
    def control_metric(self) -> str:
        """The metric that says how well a clip obeys: what its clips are put in order by."""
        known = ("ObjMC", "Motion-Diff", "SSIM")
        return next(metric for metric in known if metric in self.metrics)

    def sets_of(self, setting: str) -> tuple[str, ...]:
        """Names of the sets that rows of a setting are measured on."""
        return (setting,) if setting in self.sets else tuple(self.sets)


FID_FVD_OBJMC = ("FID", "FVD", "ObjMC")
THESIS = ("FID", "SSIM", "FVD", "Motion-Diff")
LEVITOR = "Wang et al. 2025, LeviTor (CVPR)"
SGI2V = "Namekata et al. 2025, SG-I2V (ICLR)"
CONDUCTOR = "Li et al. 2024, Image Conductor"
THESIS_SOURCE = "the thesis"
DAVIS = "DAVIS 2017 in 16-frame clips; weights of LeviTor, Inception, I3D and CoTracker"
VIPSEG = "VIPSeg val in 14-frame clips with DragAnything's regions; Inception, I3D and CoTracker"
BLENDER_SET = "the thesis's Blender clips, Test-1 and Test-2; Inception, I3D, a flow network"
S, M = "Single-Point", "Multi-Points"
SEEN, UNSEEN = "seen objects", "unseen objects"
CAMERA, OBJECT = "camera", "object"
SINGLE_POINT = {"point_ratio": 0.1}
"""Of at most eight points of an object, one."""
SYNTHETIC = ("box centre", "yaw")
"""What only clips with exact depth can be asked: Blender's."""

RECIPES = (
    Recipe(
        name="levitor-1",
        title="engines with one point a mask, and with at most eight",
        source=f"{LEVITOR}, table 1",
        needs=DAVIS,
        metrics=FID_FVD_OBJMC,
        rows={
            (S, "DragAnything"): (36.69, 327.41, 42.19),
            (S, "DragNUWA 1.5"): (44.82, 330.17, 33.03),
            (S, "LeviTor"): (28.79, 226.45, 37.39),
            (M, "DragAnything"): (36.04, 324.95, 38.86),
            (M, "DragNUWA 1.5"): (42.34, 299.96, 23.12),
            (M, "LeviTor"): (25.41, 190.44, 25.97),
        },
        sets={S: "single", M: "multi"},
        engines={"LeviTor": EngineRow(engine="levitor")},
    ),
    Recipe(
        name="levitor-2",
        title="LeviTor trained without depth, without instances, without both",
        source=f"{LEVITOR}, table 2",
        needs=f"{DAVIS}; a checkpoint for each row",
        metrics=FID_FVD_OBJMC,
        rows={
            (M, "no depth, no instance"): (27.83, 227.58, 29.82),
            (M, "depth, no instance"): (28.04, 221.29, 29.13),
            (M, "no depth, instance"): (25.45, 199.44, 25.40),
            (M, "depth, instance"): (25.41, 190.44, 25.97),
        },
        sets={M: "multi"},
        engines={
            "no depth, no instance": EngineRow(
                engine="levitor", depth=False, instance=False, checkpoint=True
            ),
            "depth, no instance": EngineRow(engine="levitor", instance=False, checkpoint=True),
            "no depth, instance": EngineRow(engine="levitor", depth=False, checkpoint=True),
            "depth, instance": EngineRow(engine="levitor"),
        },
    ),
    Recipe(
        name="levitor-S1",
        title="LeviTor trained with one centre point a mask",
        source=f"{LEVITOR}, table S1",
        needs=f"{DAVIS}; a checkpoint for each row",
        metrics=FID_FVD_OBJMC,
        rows={
            ("", "trained with a single point"): (30.91, 253.73, 38.21),
            ("", "LeviTor"): (25.41, 190.44, 25.97),
        },
        sets={"": "multi"},
        engines={
            "trained with a single point": EngineRow(
                engine="levitor", options=SINGLE_POINT, checkpoint=True
            ),
            "LeviTor": EngineRow(engine="levitor"),
        },
    ),
    Recipe(
        name="sgi2v-1",
        title="zero-shot and trained engines along DragAnything's trajectories",
        source=f"{SGI2V}, table 1",
        needs=VIPSEG,
        metrics=FID_FVD_OBJMC,
        rows={
            ("trained", "Image Conductor"): (48.81, 463.21, 21.07),
            ("trained", "DragNUWA v1.5"): (30.73, 253.57, 10.84),
            ("trained", "DragAnything"): (30.81, 268.47, 11.64),
            ("zero-shot", "SVD, no control"): (30.50, 340.52, 39.59),
            ("zero-shot", "FreeTraj, adapted"): (46.61, 394.14, 36.43),
            ("zero-shot", "MOFT, adapted"): (30.76, 402.09, 33.58),
            ("zero-shot", "DragDiffusion, adapted"): (30.93, 458.29, 31.49),
            ("zero-shot", "SG-I2V"): (28.87, 298.10, 14.43),
        },
        sets={"": "circle"},
        frames=14,
        through_256=True,
        regions=True,
    ),
    Recipe(
        name="sgi2v-2",
        title="SG-I2V's weight within a box",
        source=f"{SGI2V}, table 2",
        needs=VIPSEG,
        metrics=FID_FVD_OBJMC,
        rows={
            ("", "Gaussian"): (28.87, 298.10, 14.43),
            ("", "uniform"): (28.88, 300.20, 14.72),
        },
        sets={"": "circle"},
        frames=14,
        through_256=True,
        regions=True,
    ),
    Recipe(
        name="conductor-1",
        title="ten camera and ten object trajectories; CamMC is ObjMC of camera motion",
        source=f"{CONDUCTOR}, table 1",
        needs="its 10 + 10 trajectories, 5,000 videos of WebVid; Inception, I3D and CoTracker",
        metrics=("FID", "FVD", "CamMC", "ObjMC"),
        rows={
            ("", "DragNUWA"): (237.26, 1283.85, 48.72, 51.24),
            ("", "DragAnything"): (243.17, 1287.15, 66.54, 60.97),
            ("", "Image Conductor"): (209.74, 1116.17, 33.49, 42.38),
        },
        sets={CAMERA: "", OBJECT: ""},
        only={"CamMC": CAMERA, "ObjMC": OBJECT},
        reference=True,
    ),
    Recipe(
        name="thesis-4.1",
        title="the choice of a baseline",
        source=f"{THESIS_SOURCE}, table 4.1",
        needs="DAVIS in 16-frame windows, 23 of them for tests; Inception, I3D",
        metrics=("FID", "SSIM", "FVD"),
        rows={
            ("", "Traj-Disco I2I"): (144.65, 0.439, 2194.79),
            ("", "Traj-Disco I2V"): (188.59, 0.587, 3067.11),
            ("", "Ft-SVD 256x256"): (67.60, 0.782, 1294.29),
            ("", "Ft-SVD 320x576"): (46.60, 0.866, 1148.72),
        },
    ),
    Recipe(
        name="thesis-4.2",
        title="objects seen in training, and others",
        source=f"{THESIS_SOURCE}, table 4.2",
        needs=BLENDER_SET,
        metrics=THESIS,
        rows={
            (SEEN, "Traj-Disco"): (77.10, 0.812, 336.02, 0.151),
            (SEEN, "Ft-SVD"): (108.36, 0.892, 212.14, 0.143),
            (SEEN, "the thesis"): (101.54, 0.904, 180.17, 0.098),
            (UNSEEN, "Traj-Disco"): (122.65, 0.801, 440.44, 0.176),
            (UNSEEN, "Ft-SVD"): (122.16, 0.880, 265.01, 0.186),
            (UNSEEN, "the thesis"): (114.62, 0.895, 235.40, 0.122),
        },
        sets={SEEN: "", UNSEEN: ""},
        ours=SYNTHETIC,
    ),
    Recipe(
        name="thesis-4.3",
        title="without the spatial loss, without finetuning in two stages",
        source=f"{THESIS_SOURCE}, table 4.3",
        needs=BLENDER_SET,
        metrics=THESIS,
        rows={
            (SEEN, "full"): (101.54, 0.904, 180.17, 0.098),
            (SEEN, "without spatial loss"): (102.73, 0.901, 182.14, 0.095),
            (SEEN, "without two-stage finetuning"): (118.70, 0.897, 261.38, 0.140),
        },
        sets={SEEN: ""},
        ours=SYNTHETIC,
    ),
    Recipe(
        name="thesis-4.4",
        title="with boxes as a condition, with 3D stages",
        source=f"{THESIS_SOURCE}, table 4.4",
        needs=BLENDER_SET,
        metrics=THESIS,
        rows={
            (SEEN, "Ft-SVD"): (108.36, 0.892, 212.14, 0.143),
            (SEEN, "+ bbox condition"): (117.56, 0.891, 205.43, 0.136),
            (SEEN, "+ 3D two-stage"): (101.54, 0.904, 180.17, 0.098),
            (SEEN, "+ both"): (110.92, 0.898, 196.01, 0.105),
        },
        sets={SEEN: ""},
        ours=SYNTHETIC,
    ),
    Recipe(
        name="thesis-4.5",
        title="5, 10 and 15 clips for each of 50 objects (its columns are FVD and Motion-Diff, "
        "whatever its header says)",
        source=f"{THESIS_SOURCE}, table 4.5",
        needs=BLENDER_SET,
        metrics=THESIS,
        rows={
            (SEEN, "small, 250 clips"): (105.03, 0.896, 201.13, 0.128),
            (SEEN, "medium, 500 clips"): (110.84, 0.899, 204.52, 0.099),
            (SEEN, "large, 750 clips"): (101.54, 0.904, 180.17, 0.098),
            (UNSEEN, "small, 250 clips"): (130.72, 0.890, 269.37, 0.142),
            (UNSEEN, "medium, 500 clips"): (115.63, 0.893, 262.12, 0.107),
            (UNSEEN, "large, 750 clips"): (114.62, 0.895, 235.40, 0.122),
        },
        sets={SEEN: "", UNSEEN: ""},
        ours=SYNTHETIC,
    ),
    Recipe(
        name="thesis-4.6",
        title="the trajectory sampler off and on",
        source=f"{THESIS_SOURCE}, table 4.6",
        needs=BLENDER_SET,
        metrics=THESIS,
        rows={
            (SEEN, "sampler off"): (111.85, 0.900, 217.66, 0.124),
            (SEEN, "sampler on"): (101.54, 0.904, 180.17, 0.098),
            (UNSEEN, "sampler off"): (116.75, 0.892, 237.86, 0.155),
            (UNSEEN, "sampler on"): (114.62, 0.895, 235.40, 0.122),
        },
        sets={SEEN: "", UNSEEN: ""},
        ours=SYNTHETIC,
    ),
)


def recipe_of(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ShotError: there is none.
    """
    for recipe in RECIPES:
        if recipe.name == name:
            return recipe
    known = ", ".join(recipe.name for recipe in RECIPES)
    raise ShotError("recipe", f"There is no recipe '{name:.40}'.", f"There are {known}.")
