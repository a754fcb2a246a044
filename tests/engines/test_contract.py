"""The contract that every engine keeps; one row an engine of the registry."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from dataclasses import replace

import pytest
import torch
from torch import nn

from backend import pipeline
from backend.contracts import AnnotatedClip, Cancelled, Motion
from backend.control.preview import Look
from backend.control_sources import ClipControl, ShotControl, shot_masks
from backend.engines import registry
from backend.resources import MEMORY, Resources
from backend.weights.table import NAMES as WEIGHTS
from protocol.errors import ShotError
from tests.geometry.scenes import motion, shot_of, translation, turn_y, two_instances
from tests.toy.spec import SPEC as TOY

FRAMES = 5


SECOND_CPU = "cpu:1"
"""To torch another device than "cpu": going there copies, as going to a GPU does."""
QUICK = {"levitor": {"width": 64, "height": 64, "steps": 2}}
"""Options with which an engine's tiny networks answer at once; its defaults are tested as such."""


@pytest.fixture
def toy(monkeypatch):
    """The registry has the toy engine too."""
    row = (TOY, "tests.toy.signal", "tests.toy.engine:ToyEngine")
    monkeypatch.setitem(registry._ENGINES, TOY.name, row)


NAMES = pytest.mark.parametrize("name", [spec.name for spec in registry.specs()])
WITH_TOY = pytest.mark.parametrize("name", [*(spec.name for spec in registry.specs()), TOY.name])


@WITH_TOY
def test_the_module_has_encode_show_notes_and_shown(name, toy):
    module = registry.signals(name)
    wanted = ("encode", "show", "notes", "shown")
    lacking = [one for one in wanted if not callable(getattr(module, one, None))]
    assert not lacking, (
        f"{module.__name__} has no function {', '.join(lacking)}: the signal's module of an engine "
        f"has {', '.join(wanted)}, see backend.engines.base.Signals."
    )


@NAMES
def test_weights_that_it_may_need_are_in_the_table(name):
    """At the default of every option, and at each value of those that have few."""
    spec = registry.spec_of(name)
    needed = set(spec.needs({}))
    for option in spec.options:
        values = (False, True) if isinstance(option.default, bool) else option.choices
        for value in values:
            needed |= set(spec.needs({option.name: value}))
    strange = needed - set(WEIGHTS)
    assert not strange, (
        f"engine '{name}' needs {sorted(strange)}, and backend/weights/table.py has "
        f"{', '.join(WEIGHTS)}."
    )


@WITH_TOY
def test_an_engine_that_was_just_made_holds_no_network(name, toy, tiny_resources):
    """A session makes an engine before it releases the one before: both would rarely fit."""
    engine = registry.load(name, Resources(weights=tiny_resources.weights))  # of its own
    assert not weights_of(engine), (
        f"engine '{name}' loads networks in __init__; it is to load them in the first sample, see "
        "backend.engines.base.Engine."
    )


@pytest.fixture(params=[spec.name for spec in registry.specs()])
def engine(request, tiny_resources):
    return registry.load(request.param, tiny_resources)


def weights_of(engine):
    """Parameters of every network that an engine holds, in whatever it keeps them."""
    networks, seen, ahead = [], set(), [engine]
    while ahead:
        held = ahead.pop()
        if id(held) in seen:
            continue
        seen.add(id(held))
        if isinstance(held, nn.Module):
            networks.append(held)
        elif isinstance(held, dict):
            ahead += held.values()
        elif isinstance(held, list | tuple | set):
            ahead += held
        elif held is engine or type(held).__module__.startswith("backend."):
            slots = [getattr(held, name) for name in getattr(type(held), "__slots__", ())]
            ahead += [*getattr(held, "__dict__", {}).values(), *slots]
    return list({id(value): value for one in networks for value in one.parameters()}.values())


def a_shot(engine, **options):
    lift, ids = two_instances()
    options = QUICK.get(engine.spec.name, {}) | options
    frames = FRAMES
    path = [
        [turn_y(0.1 * i, (-1.4, 0.0, 5.0)), translation(x=-0.2 * i, z=-0.1 * i)]
        for i in range(frames)
    ]
    shot = shot_of(lift, ids, motion(lift.camera, path), **options)
    return replace(shot, engine=engine.spec.name)


def render(engine, shot, on_step=lambda *step: None):
    return pipeline.render(shot, engine, on_step)


def test_frames_have_the_shape_and_range_the_spec_promises(engine):
    frames = render(engine, a_shot(engine)).frames
    quick = QUICK.get(engine.spec.name)
    size = (quick["height"], quick["width"]) if quick else (40, 60)
    assert frames.shape == (FRAMES, 3, *size)
    assert frames.dtype == torch.float32
    assert float(frames.min()) >= 0.0
    assert float(frames.max()) <= 1.0


def test_the_same_shot_gives_the_same_frames(engine):
    """On several threads too, as artists have them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, second = (render(engine, a_shot(engine)).frames for _ in range(2))
    finally:
        torch.set_num_threads(threads)
    assert bool((first == second).all())


def test_another_seed_gives_other_frames_exactly_if_the_spec_says_so(engine):
    shot = a_shot(engine)
    first, second = (render(engine, replace(shot, seed=seed)).frames for seed in (1, 2))
    assert bool((first != second).any()) == engine.spec.stochastic


def test_every_step_is_told_in_order(engine):
    told = []
    render(engine, a_shot(engine), lambda *step: told.append(step))
    own = [(done, total) for phase, done, total in told if phase == engine.spec.name]
    assert own == [(i + 1, own[0][1]) for i in range(own[0][1])]


def test_cancelling_stops_at_once_and_leaves_the_engine_usable(engine):
    steps = []

    def stop_at_second(phase, done, total):
        if phase == engine.spec.name:
            steps.append(done)
            if done == 2:
                raise Cancelled

    with pytest.raises(Cancelled):
        render(engine, a_shot(engine), stop_at_second)
    assert steps == [1, 2]
    assert len(render(engine, a_shot(engine)).frames)


def test_what_it_needs_is_loaded_in_a_phase_of_its_own_and_once(tiny_resources, monkeypatch):
    """Steps are expected at some pace, loading and compiling are not."""
    engine = registry.load("levitor", tiny_resources)
    monkeypatch.setattr("backend.engines.svd.pipeline.Compiled", lambda network: network)

    def phases(**options):
        told = []
        render(engine, a_shot(engine, **options), lambda *step: told.append(step[0]))
        return list(dict.fromkeys(told))

    assert phases() == ["control", "loading weights", "encoding the photo", "levitor"]
    assert phases() == ["control", "encoding the photo", "levitor"]
    compiled = ["control", "encoding the photo", "compiling", "levitor"]
    assert phases(compile=True) == compiled


def test_a_bug_in_its_notes_costs_no_take_and_stands_in_them_instead(engine, monkeypatch, caplog):
    frames = render(engine, a_shot(engine)).frames

    def buggy(control, options):
        raise KeyError("scripted")

    monkeypatch.setattr(registry.signals(engine.spec.name), "notes", buggy)
    take = render(engine, a_shot(engine))
    assert torch.equal(take.frames, frames)
    (note,) = take.notes
    assert "KeyError: 'scripted'" in note
    assert "the take itself is whole" in note
    assert [r.exc_info[0] for r in caplog.records if r.levelname == "ERROR"] == [KeyError]


def test_what_a_take_shows_is_known_before_a_step_is_made(engine, monkeypatch):
    """Found out after it, a bug there would cost the frames."""
    told = []

    def buggy(control, options):
        raise KeyError("scripted")

    monkeypatch.setattr(registry.signals(engine.spec.name), "shown", buggy)
    with pytest.raises(KeyError):
        render(engine, a_shot(engine), lambda *step: told.append(step[0]))
    assert engine.spec.name not in told


def test_its_notes_are_made_before_a_step_is_and_may_be_cancelled(engine, monkeypatch):
    told = []

    def stopped(control, options):
        raise Cancelled

    monkeypatch.setattr(registry.signals(engine.spec.name), "notes", stopped)
    with pytest.raises(Cancelled):
        render(engine, a_shot(engine), lambda *step: told.append(step[0]))
    assert engine.spec.name not in told


@pytest.mark.parametrize(
    ("memory", "ours"),
    [
        *(pytest.param(memory, True, id=memory) for memory in MEMORY),
        pytest.param("high", False, id="called in an inference mode"),
    ],
)
@pytest.mark.parametrize("name", [spec.name for spec in registry.specs()])
def test_after_a_take_a_backward_through_the_weights_works(tiny_resources, name, memory, ours):
    """Wherever its networks were moved on the way, as on a GPU: an engine that is told by
    gradients, and a training on the same base, go on from them."""
    engine = registry.load(name, replace(tiny_resources, device=SECOND_CPU, memory=memory))
    shot = a_shot(engine)
    if any(option.name == "channels_last" for option in engine.spec.options):
        shot = replace(shot, options=shot.options | {"channels_last": True})
    with torch.inference_mode(not ours):
        render(engine, shot)
        before = {id(value): value.data_ptr() for value in weights_of(engine)}
        frames = render(engine, shot).frames
    assert not frames.is_inference(), (  # a take may be compared with what is trained
        f"engine '{name}' was called in torch's inference mode and gives frames that can take part "
        "in no backward pass: decorate its sample with backend.autograd.without_gradients()."
    )
    weights = weights_of(engine)
    assert bool(weights) == bool(engine.spec.needs({}))
    if weights:
        assert any(before[id(value)] != value.data_ptr() for value in weights)  # they did move
        for value in weights:
            value.requires_grad_(True)
        torch.stack([(value.double() * value.double()).sum() for value in weights]).sum().backward()
        assert all(torch.equal(value.grad, 2 * value) for value in weights)


def controls(shot):
    """The same shot as a control, and as a clip that shows just what it shows."""
    masks = shot_masks(shot)
    clip = AnnotatedClip(
        frames=shot.lift.image.repeat(FRAMES, 1, 1, 1),
        instance=masks.instance.clamp(min=0),
        depth=torch.where(masks.depth.isfinite(), masks.depth, shot.lift.far),
        near=shot.lift.near,
        far=shot.lift.far,
        moving=masks.moving,
        static=masks.static,
        camera=shot.lift.camera,
    )
    return ShotControl(shot), ClipControl(clip)


@NAMES
def test_a_signal_needs_no_weights_and_is_made_of_a_shot_or_of_a_clip(name, tiny_resources):
    signals, spec = registry.signals(name), registry.spec_of(name)
    engine = registry.load(name, tiny_resources)
    shot = a_shot(engine)
    options = spec.completed(shot.options)
    for control in controls(shot):
        signal = signals.encode(control, options)
        shown = signals.show(control, signal, Look(under=control.image))
        assert shown.shape[0] == FRAMES
        for index in range(FRAMES):
            assert 0.0 <= float(shown[index].min()) <= float(shown[index].max()) <= 1.0
        assert all(note.endswith(".") for note in signals.notes(control, options))
        frames = engine.sample(control.image, signal, options, 0, lambda *step, **more: None)
        assert len(frames) == FRAMES


class Recorder:
    """A control, or options, that keeps what it was asked for."""

    def __init__(self, inner, asked, names):
        self._inner, self._asked, self._names = inner, asked, names

    def _note(self, name):
        if name in self._names:
            self._asked.add(name)

    def __getattr__(self, name):
        self._note(name)
        return getattr(self._inner, name)

    def __getitem__(self, name):
        self._note(name)
        return self._inner[name]


@WITH_TOY
def test_a_signal_is_made_of_exactly_what_the_spec_requires(name, toy, tiny_resources):
    """Of a shot and of a clip; a spec that asks for more than is used fails too."""
    spec, encode = registry.spec_of(name), registry.signals(name).encode
    shot = a_shot(registry.load(name, tiny_resources))
    for control in controls(shot):
        asked = set()
        options = Recorder(spec.completed(shot.options), asked, {"prompt"})
        encode(Recorder(control, asked, {"masks", "tracks", "boxes", "draft"}), options)
        assert asked == spec.requires


def test_a_signal_is_pure(engine):
    """Encoded twice, or drawn in between, it tells the engine the same."""
    shot = a_shot(engine)
    signals, options = registry.signals(engine.spec.name), engine.spec.completed(shot.options)
    takes = []
    for _ in range(2):
        control = ShotControl(shot)
        signal = signals.encode(control, options)
        signals.show(control, signal, Look())[0]
        takes.append(engine.sample(control.image, signal, options, 3, lambda *s, **m: None))
    assert torch.equal(*takes)


def test_what_was_released_is_gone_and_taken_again(engine):
    shot = a_shot(engine)
    first = render(engine, shot).frames
    held = [weakref.ref(value) for value in weights_of(engine)]
    engine.release()
    gc.collect()
    assert not any(ref() is not None for ref in held)
    assert torch.equal(render(engine, shot).frames, first)


def test_without_a_server_a_shot_is_refused_by_the_same_rules(toy):
    engine = registry.load("toy")
    shot = a_shot(engine, which="1,3")
    with pytest.raises(ShotError, match="'which' names instance 3; the shot has 1, 2"):
        render(engine, shot)
    motion = shot.motion
    four = Motion(
        moved_from_rest=motion.moved_from_rest[:4],
        camera_from_world=motion.camera_from_world[:4],
        intrinsics=motion.intrinsics[:4],
    )
    short = replace(shot, motion=four, options={})
    for asked in (
        lambda: render(engine, short),
        lambda: pipeline.preview(short, "photo", Look(), lambda *step: None),
    ):
        with pytest.raises(ShotError, match=r"makes 1, 5, 9 \.\.\. 81 frames, the shot has 4"):
            asked()


def test_options_are_completed_and_reported(engine):
    take = render(engine, a_shot(engine))
    defaults = {option.name: option.default for option in engine.spec.options}
    assert take.options == defaults | QUICK.get(engine.spec.name, {})


def test_an_unknown_option_is_refused_with_the_known_ones(engine):
    with pytest.raises(ShotError, match=r"no option 'colour'\. Its options are: \w"):
        render(engine, a_shot(engine, colour=1))


def test_every_default_keeps_to_its_own_range(engine):
    for option in engine.spec.options:
        assert engine.spec.completed({option.name: option.default})
        assert option.help
        assert option.label


def test_an_unknown_engine_is_refused_with_the_known_ones():
    with pytest.raises(ShotError, match=r"no engine 'nothing' here. Choose one of: draft, levitor"):
        registry.load("nothing")


def test_specifications_can_be_read_without_torch():
    code = (
        "import sys; import backend.engines.registry as r; r.infos(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
