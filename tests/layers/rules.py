"""The tables: who may import what, and what nobody may do. A rule is a row."""

from tests.layers.checker import Ban, Zone

NO_THREADS = frozenset({"asyncio", "concurrent", "multiprocessing", "threading", "_thread"})
NO_WORLD = frozenset({"http", "shutil", "socket", "sqlite3", "subprocess", "tempfile", "urllib"})
PURE = NO_THREADS | NO_WORLD | {"random"}
NUMPY = frozenset({"numpy"})
TENSORS = NUMPY | {"torch"}
FITTING = TENSORS | {"sklearn", "scipy", "threadpoolctl"}
IMAGING = frozenset({"cv2", "skimage", "PIL", "av", "OpenEXR"})
MODELS = FITTING | IMAGING | {"accelerate", "diffusers", "safetensors", "transformers"}
OPTIONAL_IN_TRAINING = frozenset({"bitsandbytes", "tensorboardX", "wandb"})
BLENDER = NUMPY | {"bpy", "bpy_extras", "mathutils", "gpu", "gpu_extras", "blf", "addon_utils"}

ATOMIC = "backend.files.atomic"
RESOURCES = "backend.resources"
NETWORKS = ("backend.autograd", "backend.networks", "backend.tiles")
PIXELS = "backend.pixels"
VALUES = ("backend.cancelled", "backend.contracts", "backend.geometry", "backend.control")
ADDON_PURE = ("blender_addon.core", "blender_addon.link.wire")
ADDON_SCENE = (*ADDON_PURE, "blender_addon.prefs", "blender_addon.scene")
ADDON_PROPS = ("blender_addon.props", "blender_addon.props_kinds", "blender_addon.props_lift")
ADDON_BANNED = NO_THREADS | {"socket", "subprocess"}

METRICS = ("__init__", "frechet", "intervals", "metrics")
MEASURING = ("distances", "features", "flow", "lpips", "trackers", "weights_file")
DRAWN = ("random_paths", "shots", "synthetic", "textures")
DRAWING = ("compose", "control_sources", "convert", "datasets", "files", "pixels", "seeds")

# The first zone whose pattern matches a file is the file's, so narrow ones come first.
ZONES = (
    Zone(
        name="the protocol", files=("protocol/*",), libraries=NUMPY, own=("protocol",), banned=PURE
    ),
    Zone(
        name="the extension's core",
        files=("blender_addon/core/*",),
        libraries=NUMPY,
        own=ADDON_PURE,
        banned=PURE,
    ),
    Zone(
        name="the extension's one import of the protocol",
        files=("blender_addon/link/wire.py",),
        own=("blender_addon.protocol", "protocol"),
        banned=PURE,
    ),
    Zone(
        name="the extension's client",
        files=("blender_addon/link/[!p]*.py",),  # all of it but the pump
        libraries=NUMPY | {"zmq"},
        own=(*ADDON_PURE, "blender_addon.link"),
        banned=NO_THREADS,
    ),
    Zone(
        name="the extension's pump",
        files=("blender_addon/link/pump.py",),
        libraries=BLENDER,
        own=(*ADDON_SCENE, "blender_addon.link"),
        banned=ADDON_BANNED,
    ),
    Zone(
        name="what the extension's timer and handlers do",
        files=(
            "blender_addon/scene/deletion_watch.py",
            "blender_addon/scene/live_preview.py",
            "blender_addon/scene/panel_state.py",
            "blender_addon/scene/save_as.py",
        ),
        libraries=BLENDER,
        own=(*ADDON_SCENE, "blender_addon.link"),
        banned=ADDON_BANNED,
    ),
    Zone(
        name="the extension's scene",
        files=("blender_addon/scene/*",),
        libraries=BLENDER,
        own=ADDON_SCENE,
        banned=ADDON_BANNED,
    ),
    Zone(
        name="the extension's properties",
        files=("blender_addon/props*.py", "blender_addon/prefs.py"),
        libraries=BLENDER,
        own=(*ADDON_SCENE, "blender_addon.link", *ADDON_PROPS),
        banned=ADDON_BANNED,
    ),
    Zone(
        name="the extension's panels",
        files=("blender_addon/ui/*",),
        libraries=BLENDER,
        own=(*ADDON_SCENE, "blender_addon.link", "blender_addon.props_kinds", "blender_addon.ui"),
        banned=ADDON_BANNED,
    ),
    Zone(
        name="the extension's operators",
        files=("blender_addon/ops/*",),
        libraries=BLENDER,
        own=(*ADDON_SCENE, "blender_addon.link", *ADDON_PROPS, "blender_addon.ops"),
        banned=ADDON_BANNED,
    ),
    Zone(
        name="the extension's registration",
        files=("blender_addon/__init__.py", "blender_addon/registration.py"),
        libraries=BLENDER,
        own=("blender_addon",),
        banned=ADDON_BANNED,
    ),
    Zone(name="the cancellation exception", files=("backend/cancelled.py",), banned=PURE),
    Zone(name="OpenMP settings", files=("backend/threads.py",), banned=PURE),
    Zone(
        name="resources",
        files=("backend/resources.py",),
        own=("protocol",),
        banned=PURE,
    ),
    Zone(
        name="where weights lie",
        files=(
            "backend/config.py",
            "backend/weights/__init__.py",
            "backend/weights/record.py",
            "backend/weights/search.py",
            "backend/weights/table.py",
        ),
        own=(ATOMIC, RESOURCES, "backend.config", "backend.weights.table", "protocol"),
        banned=NO_THREADS | {"http", "socket", "subprocess", "urllib"},
    ),
    Zone(
        name="the one that downloads",
        files=("backend/weights/fetch.py",),
        libraries=frozenset({"huggingface_hub"}),
        own=("backend.weights", "protocol"),
        banned=NO_THREADS | {"http", "socket", "subprocess", "urllib"},
    ),
    Zone(
        name="the device",
        files=("backend/device.py",),
        libraries=frozenset({"torch"}),
        own=("protocol",),
        banned=PURE,
    ),
    Zone(
        name="work without gradients",
        files=("backend/autograd.py",),
        libraries=frozenset({"torch"}),
        banned=PURE,
    ),
    Zone(
        name="seeds",
        files=("backend/seeds.py",),
        libraries=frozenset({"torch"}),
        banned=PURE,
    ),
    Zone(
        name="networks and their files",
        files=("backend/networks.py",),
        libraries=frozenset({"torch"}),
        own=("protocol",),
        banned=PURE,
    ),
    Zone(
        name="overlapping tiles",
        files=("backend/tiles.py",),
        libraries=frozenset({"torch"}),
        banned=PURE,
    ),
    Zone(
        name="contracts",
        files=("backend/contracts.py",),
        libraries=TENSORS,
        own=("backend.cancelled", "backend.contracts"),
        banned=PURE,
    ),
    Zone(name="pixels", files=("backend/pixels.py",), libraries=TENSORS, banned=PURE),
    Zone(
        name="messages to contracts",
        files=("backend/convert.py",),
        libraries=TENSORS,
        own=(*VALUES, PIXELS, "protocol"),
        banned=PURE,
    ),
    Zone(
        name="the reference rasteriser",
        files=("backend/geometry/splat_pytorch3d.py",),
        libraries=TENSORS | {"pytorch3d"},  # optional: imported when a frame is asked for
        own=("backend.contracts", "backend.geometry"),
        banned=PURE,
    ),
    Zone(
        name="geometry",
        files=("backend/geometry/*",),
        libraries=TENSORS,
        own=("backend.contracts", "backend.geometry"),
        banned=PURE,
    ),
    Zone(
        name="LeviTor's signal",
        files=("backend/control/levitor.py",),
        libraries=FITTING | {"cv2"},  # a stamp is what OpenCV's resize makes of it
        own=VALUES,
        banned=PURE,
    ),
    Zone(name="control", files=("backend/control/*",), libraries=FITTING, own=VALUES, banned=PURE),
    Zone(
        name="draft compositing",
        files=("backend/compose/*",),
        libraries=TENSORS,
        own=(*VALUES, "backend.compose"),
        banned=PURE,
    ),
    Zone(
        name="control sources",
        files=("backend/control_sources.py",),
        libraries=TENSORS,
        own=(*VALUES, "backend.compose"),
        banned=PURE,
    ),
    Zone(
        name="perception's cache on disk",
        files=("backend/perception/cache.py",),
        libraries=NUMPY,
        own=(ATOMIC, "backend.perception"),
        banned=PURE,
    ),
    Zone(
        name="perception",
        files=("backend/perception/*",),
        libraries=MODELS,
        own=(*VALUES, *NETWORKS, RESOURCES, "backend.perception", "protocol"),
        banned=PURE,
    ),
    Zone(
        name="engines",
        files=("backend/engines/*",),
        libraries=MODELS,
        own=(*VALUES, *NETWORKS, RESOURCES, "backend.engines", "protocol"),
        banned=PURE,
    ),
    Zone(
        name="what `levitor bench` times",
        files=("backend/benchmark/*",),
        libraries=MODELS,
        own=(*NETWORKS, "backend.benchmark", "backend.engines.svd"),
        banned=PURE,
    ),
    Zone(
        name="the pipeline",
        files=("backend/pipeline.py",),
        libraries=TENSORS,
        own=(
            *VALUES,
            PIXELS,
            RESOURCES,
            "backend.engines",
            "backend.perception",
            "backend.control_sources",
            "protocol",
        ),
        banned=PURE,
    ),
    Zone(
        name="the session",
        files=("backend/session.py",),
        libraries=TENSORS,
        own=(
            *VALUES,
            RESOURCES,
            "backend.convert",
            "backend.device",
            "backend.engines",
            "backend.evaluation",
            "backend.files.video",
            "backend.images",
            "backend.perception",
            "backend.pipeline",
            "protocol",
        ),
        banned=PURE,
    ),
    Zone(
        name="files that are written whole",
        files=("backend/files/__init__.py", "backend/files/atomic.py"),
        banned=NO_THREADS | {"socket", "subprocess"},
    ),
    Zone(
        name="videos",
        files=("backend/files/video.py",),
        libraries=TENSORS | {"av"},
        own=("backend.contracts", PIXELS, "protocol"),
        banned=PURE,
    ),
    Zone(
        name="picture files",
        files=("backend/images/*",),
        libraries=NUMPY | {"PIL", "cv2", "imagecodecs", "OpenEXR", "pillow_heif", "tifffile"},
        own=(
            "backend.files.exif",
            "backend.geometry.camera",
            "backend.images",
            RESOURCES,
            "protocol",
        ),
        banned=NO_THREADS | {"socket", "subprocess"},
    ),
    Zone(
        name="what EXIF data say",
        files=("backend/files/exif.py",),
        libraries=frozenset({"PIL"}),
        own=("backend.geometry.camera",),
        banned=PURE,
    ),
    Zone(
        name="shot files",
        files=("backend/files/shot.py",),
        libraries=NUMPY,
        own=("protocol",),
        banned=NO_THREADS | {"socket", "subprocess"},
    ),
    Zone(name="scene files", files=("backend/files/scene.py",), libraries=NUMPY, banned=PURE),
    Zone(
        name="the training loop",
        files=tuple(
            f"backend/training/{name}.py"
            for name in (
                *("averages", "base", "checkpoints", "config", "faults", "journal", "loader"),
                *("optimizer", "progress", "random_states", "report", "run_folder", "schedule"),
                *("samples", "step", "trainer", "watch"),
            )
        ),
        libraries=TENSORS | {"accelerate", "safetensors"} | OPTIONAL_IN_TRAINING,
        own=(
            "backend.autograd",
            "backend.files.atomic",
            "backend.files.video",
            RESOURCES,
            "backend.seeds",
            "backend.training",
            "protocol",
        ),
        banned=frozenset({"asyncio", "threading", "http", "socket", "subprocess", "urllib"}),
    ),
    Zone(
        name="training",
        files=("backend/training/*",),
        libraries=TENSORS | {"PIL", "safetensors"},
        own=(
            *VALUES,
            *NETWORKS,
            PIXELS,
            RESOURCES,
            "backend.autograd",
            "backend.control_sources",
            "backend.datasets",
            "backend.engines.svd",
            "backend.files.atomic",
            "backend.perception",
            "backend.training",
            "protocol",
        ),
        banned=frozenset({"asyncio", "threading", "http", "socket", "subprocess", "urllib"}),
    ),
    Zone(
        name="datasets that are drawn",
        files=tuple(f"backend/datasets/{name}.py" for name in DRAWN),
        libraries=TENSORS,
        own=(*VALUES, *(f"backend.{name}" for name in DRAWING), "protocol"),
        banned=PURE,
    ),
    Zone(
        name="datasets",
        files=("backend/datasets/*",),
        libraries=TENSORS | {"PIL", "av", "cv2"},
        own=("backend.contracts", "backend.datasets", "protocol"),
        banned=NO_THREADS | {"http", "socket", "subprocess", "urllib"},
    ),
    Zone(
        name="metrics",
        files=tuple(f"backend/evaluation/{name}.py" for name in METRICS),
        libraries=TENSORS | {"threadpoolctl"},
        own=tuple(f"backend.evaluation.{name}" for name in METRICS[1:]),
        banned=PURE,
    ),
    Zone(
        name="features on the disk",
        files=("backend/evaluation/feature_file.py",),
        libraries=TENSORS,
        own=("backend.evaluation.frechet",),
        banned=PURE - {"tempfile"},
    ),
    Zone(
        name="networks that measure",
        files=tuple(f"backend/evaluation/{name}.py" for name in MEASURING),
        libraries=TENSORS | {"cv2"},
        own=("backend.evaluation", "backend.networks", RESOURCES, "protocol"),
        banned=PURE,
    ),
    Zone(
        name="how a trained control is obeyed",
        files=("backend/evaluation/control_run.py",),
        libraries=TENSORS,
        own=(
            "backend.autograd",
            "backend.contracts",
            "backend.datasets",
            "backend.evaluation",
            "backend.networks",
            "backend.training",
            "protocol",
        ),
        banned=PURE,
    ),
    Zone(
        name="clips that tables are measured on",
        files=tuple(
            f"backend/evaluation/{name}.py"
            for name in ("prepared_clips", "prepare_clips", "same_settings")
        ),
        libraries=TENSORS | {"cv2"},
        own=(*VALUES, ATOMIC, "backend.datasets", "backend.evaluation", "protocol"),
        banned=NO_THREADS | {"http", "socket", "subprocess", "urllib"},
    ),
    Zone(
        name="the papers' tables",
        files=("backend/evaluation/recipes/*",),
        libraries=TENSORS | {"PIL", "av", "cv2", "matplotlib"},
        own=(
            *VALUES,
            PIXELS,
            ATOMIC,
            RESOURCES,
            "backend.control_sources",
            "backend.engines.base",
            "backend.engines.registry",
            "backend.evaluation",
            "backend.perception",
            "backend.seeds",
            "protocol",
        ),
        banned=frozenset({"asyncio", "threading", "http", "socket", "subprocess", "urllib"}),
    ),
    Zone(
        name="how a take obeyed its shot",
        files=("backend/evaluation/*",),
        libraries=TENSORS | {"PIL", "av", "cv2"},
        own=(
            *VALUES,
            PIXELS,
            "backend.files.video",
            "backend.compose",
            "backend.control_sources",
            "backend.evaluation",
            "protocol",
        ),
        banned=PURE,
    ),
    Zone(
        name="the server's job states",
        files=("backend/server/jobs.py",),
        own=("protocol",),
        banned=PURE,
    ),
    Zone(
        name="what the server's workers run",
        files=("backend/server/handlers.py",),
        libraries=TENSORS,
        own=(
            "backend.control.preview",
            "backend.convert",
            "backend.pipeline",
            "backend.session",
            "protocol",
        ),
        banned=PURE,
    ),
    # A worker names its handlers as text, so that the loop's process never imports torch.
    Zone(
        name="the server",
        files=("backend/server/*",),
        libraries=NUMPY | {"zmq"},
        own=(
            ATOMIC,
            "backend.cancelled",
            "backend.engines.base",
            "backend.engines.options",
            "backend.engines.registry",
            "backend.perception.model_names",
            "backend.resources",
            "backend.server",
            "backend.weights",
            "protocol",
        ),
    ),
    Zone(
        name="the one command that serves",
        files=("backend/cli/serve.py",),
        own=("backend", "protocol"),
        banned=NO_THREADS,
    ),
    Zone(
        name="the command line",
        files=("backend/cli/*", "backend/__main__.py", "backend/__init__.py"),
        libraries=TENSORS | IMAGING | {"matplotlib", "sklearn", "tqdm", "zmq"},
        own=("backend", "protocol", "build_addon"),
        never=("backend.server",),
    ),
)

EVERYWHERE = ("protocol/*", "backend/*", "blender_addon/*")
BANS = (
    Ban(name="print outside the command line", files=EVERYWHERE, spare=("backend/cli/*",)),
    Ban(name="pickle"),
    Ban(name="torch.load without weights_only=True"),
    Ban(name="eval or exec"),
    Ban(name="an edit of sys.path or sys.modules"),
    Ban(name="star import"),
    Ban(
        name="randomness from a hidden generator",
        spare=("backend/training/random_states.py",),  # sets and keeps them for a run
    ),
    Ban(
        name="an inference mode, whose weights can never be trained",
        files=EVERYWHERE,
        spare=("backend/autograd.py",),
    ),
    Ban(
        name="a judgement of its own on what is a lack of memory",
        files=EVERYWHERE,
        spare=("backend/resources.py",),
    ),
    Ban(name="a Python thread or process in the extension", files=("blender_addon/*",)),
    Ban(
        name="an absolute import of own code in the extension",
        files=("blender_addon/*",),
        spare=("blender_addon/link/wire.py",),
    ),
)

LONGEST_FILE = 400
LONGER = {
    "protocol/messages.py": "every message of the wire is to be found in one place",
    "tests/layers/rules.py": "who may import what is one table, and the first match counts",
}
