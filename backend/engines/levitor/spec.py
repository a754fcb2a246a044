"""What a client may know of the LeviTor engine. No torch here: the server's loop reads it."""

from backend.engines.base import EngineSpec
from protocol.frames import FrameRule
from protocol.messages import EngineOption

FRAMES = 16
LONG_SIDE, SHORT_SIDE = 512, 288
"""What it was trained on, upright; a landscape photo gets the same sides the other way round."""

SPEC = EngineSpec(
    name="levitor",
    label="LeviTor",
    help="Stable Video Diffusion with LeviTor's ControlNet, as in the paper; 16 frames.",
    frames=FrameRule(min=2, max=64, default=FRAMES),
    requires=frozenset({"masks"}),
    weights=("svd-xt", "levitor"),
    options=(
        EngineOption(
            name="steps",
            label="Steps",
            help="Denoising steps; more take longer and are a little cleaner",
            default=25,
            low=1,
            high=200,
        ),
        EngineOption(
            name="guidance_min",
            label="Guidance, First Frame",
            help="How strictly the first frame keeps to the photo; 1 is no guidance, less counts "
            "as 1 where the last frame has none",
            default=1.0,
            low=0.0,
            high=20.0,
        ),
        EngineOption(
            name="guidance_max",
            label="Guidance, Last Frame",
            help="The same for the last frame; 1 in both halves the time",
            default=3.0,
            low=0.0,
            high=20.0,
        ),
        EngineOption(
            name="motion_bucket",
            label="Motion",
            help="How much motion the network is told to expect",
            default=100.0,
            low=1.0,
            high=255.0,
        ),
        EngineOption(
            name="fps",
            label="Told Frame Rate",
            help="Frames a second the network is told; the take's own rate is the scene's",
            default=6,
            low=2,
            high=30,
        ),
        EngineOption(
            name="noise_augmentation",
            label="Photo Noise",
            help="Noise put over the photo; more lets the video depart from it",
            default=0.02,
            low=0.0,
            high=1.0,
        ),
        EngineOption(
            name="control_scale",
            label="Control",
            help="How strongly the trajectories pull; 0 leaves the network alone",
            default=1.0,
            low=0.0,
            high=10.0,
        ),
        EngineOption(
            name="point_ratio",
            label="Control Points",
            help="More or fewer points an instance; few suit what bends, many what is rigid",
            default=1.0,
            low=0.1,
            high=4.0,
        ),
        EngineOption(
            name="fit",
            label="Fit",
            help="How the photo fills the network's frame",
            default="crop",
            choices=("crop", "pad", "squash"),
        ),
        EngineOption(
            name="width",
            label="Width",
            help="Of the network's frame in pixels, a multiple of 8; 0 is 512 or 288, as the "
            "photo lies",
            default=0,
            low=0,
            high=2048,
        ),
        EngineOption(
            name="height",
            label="Height",
            help="Likewise; it was trained on 512 x 288 and 288 x 512 alone",
            default=0,
            low=0,
            high=2048,
        ),
        EngineOption(
            name="schedule",
            label="Noise Levels",
            help="'tuned' places few steps (about 10) better; another take than 'usual'",
            default="usual",
            choices=("usual", "tuned"),
        ),
        EngineOption(
            name="reuse",
            label="Reuse Deep Features",
            help="Compute the coarse layers only every so many steps: 2 takes two thirds of the "
            "time and changes fine detail, 3 and more change motion too; 1 computes all",
            default=1,
            low=1,
            high=5,
        ),
        EngineOption(
            name="legacy_cfg_context",
            label="As the Release",
            help="Mix guided and unguided context as the published demo did, by mistake",
            default=False,
        ),
        EngineOption(
            name="compile",
            label="Compile",
            help="Spend minutes once to make every further step faster; same take up to rounding",
            default=False,
        ),
        EngineOption(
            name="channels_last",
            label="Channels Last",
            help="Another order in memory, faster on some devices; same take up to rounding",
            default=False,
        ),
    ),
)
