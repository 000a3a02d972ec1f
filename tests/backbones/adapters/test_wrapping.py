"""The parts that all adapters share, on small modules of no framework: state, contract, refusals, fingerprint."""

import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import agents
import backbones as bb
import seenn_env
from agents.main import main
from backbones.adapters import AdaptedBackbone, ProbedBackbone, wrap
from backbones.adapters.held_state import HeldState
from backbones.adapters.passed_state import PassedState
from backbones.adapters.stepping import Layout
from backbones.adapters.wrapping import FRAMEWORKS
from backbones.contract import BackboneError
from backbones.energy import Metered
from backbones.errors import InputError
from backbones.networks.inference.optimization import optimize
from backbones.training.loop import train
from tests.helpers.adapted import T, logits, refilled_rows_run_afresh, running_mean
from tests.helpers.modules import Access, Held
from tests.helpers.programs import ROOT, needs_onnx


def as_floats(images):
    return images[:8].float() / 255


def held(images, habit="", *, output=None, timesteps=T):
    module = Held(habit)
    with torch.no_grad():
        stepper = HeldState("toys", module, Access(module), Layout(None, output, timesteps), as_floats(images))
    return AdaptedBackbone(stepper, images[:8], timesteps, ("direct", 0), {})


class Passed(nn.Module):
    """`(inputs, state) -> (output, state)`, writing into the list that it is given."""

    def __init__(self, habit=""):
        super().__init__()
        self.held, self.habit = Held(), habit
        self.eval()

    def initial_state(self, inputs):
        return [torch.tensor(0.5 if self.habit == "says otherwise" else 0.25)]

    def forward(self, inputs, state=None):
        state = [0.25] if state is None or self.habit == "forgets" else state
        self.held.v = state[0]
        output = self.held(inputs)
        state[0], self.held.v = self.held.v, 0.25
        return output if self.habit == "keeps it" else (output, state)


def passed(images, habit=""):
    with torch.no_grad():
        stepper = PassedState("toys", Passed(habit), as_floats(images), Layout(None, None, T))
    return AdaptedBackbone(stepper, images[:8], T, ("direct", 0), {})


@pytest.mark.parametrize("make", [held, passed])
def test_both_kinds_of_state_keep_the_contract_and_give_the_module_s_own_logits(make, images):
    backbone = make(images)
    bb.check_backbone(backbone, images[:8])
    refilled_rows_run_afresh(backbone, images)
    module = Held()
    with torch.no_grad():
        own = torch.stack([module(images.float() / 255) for _ in range(T)])
    assert torch.equal(logits(backbone, images), running_mean(own))


def test_a_layer_that_writes_into_its_state_does_not_reach_ours(images):
    backbone = held(images, "writes")
    bb.check_backbone(backbone, images[:8])


def test_a_refilled_row_starts_from_the_reset_value(images):
    backbone = held(images)
    _, state = backbone.step(backbone.start(images))
    state = backbone.refill(state, torch.tensor([2]), images[:1])
    assert torch.equal(state.memory["v"][2], torch.full((32,), 0.25))
    assert int(state.timestep[2]) == 0
    assert torch.equal(state.readout[2], torch.zeros(10))


def test_the_module_s_own_state_is_left_as_it_was(images):
    module = Held()
    module.v = torch.rand(3, 32)
    kept = module.v.clone()
    stepper = HeldState("toys", module, Access(module), Layout(None, None, T), as_floats(images))
    logits(AdaptedBackbone(stepper, images[:8], T, ("direct", 0), {}), images)
    assert torch.equal(module.v, kept)


@pytest.mark.parametrize(
    ("make", "habit", "message"),
    [
        (held, "resets", "starts afresh in each call: remove the reset of its neurons from forward"),
        (held, "counts", "got clock, which went from 1 to 2 in one timestep: it belongs to the whole batch"),
        (held, "collects", "got seen, which changed in one timestep outside the framework's own state"),
        (held, "draws", "Expected v after one timestep to follow from its reset value"),
        (held, "averages", r"got v, a Tensor that changes with time"),
        (held, "pair", "got a tuple of 2: set output='spikes'"),
        (held, "one class", r"at least 2 classes, got \[8, 1\]"),
        (held, "whole", r"got 4 through itself .* cannot be stepped: remove the loop or the repeat over time"),
        (passed, "keeps it", r"Expected \(output, state\) of Passed\(inputs, state\), got Tensor"),
        (passed, "forgets", "starts afresh in each call"),
        (passed, "says otherwise", "Expected state.* after one timestep to follow from its reset value"),
    ],
)
def test_a_module_that_cannot_be_stepped_row_by_row_is_refused_in_a_sentence(make, habit, message, images):
    with pytest.raises(bb.InputError, match=message):
        make(images, habit)


def test_a_module_that_mixes_rows_breaks_the_contract(images):
    with pytest.raises(BackboneError, match="rows are independent"):
        bb.check_backbone(held(images, "mixes rows"), images[:8])


def test_a_part_of_a_tuple_is_chosen_by_name_or_by_a_function(images):
    chosen = held(images, "pair", output="membrane"), held(images, "pair", output=lambda given: given[1])
    assert torch.equal(logits(chosen[0], images), logits(chosen[1], images))
    assert held(images, "pair", output="spikes").num_classes == 32
    with pytest.raises(bb.InputError, match="for output='membrane', got a tensor"):
        held(images, output="membrane")


def test_the_fingerprint_covers_weights_settings_and_timesteps(images):
    first, same = held(images), held(images)
    others = held(images, "writes"), held(images, timesteps=T + 1)
    assert first.fingerprint == same.fingerprint
    assert len({each.fingerprint for each in (first, *others)}) == 3
    with torch.no_grad():
        same.module.fc.weight[0, 0] += 1
    assert first.fingerprint != same.fingerprint


def test_a_hidden_layer_is_probed(images):
    stepper = held(images).stepper
    backbone = ProbedBackbone("fc", stepper, images[:8], T, ("direct", 0), {})
    state = backbone.start(images)
    with pytest.raises(bb.InputError, match="before the first timestep"):
        backbone.probe(state)
    _, state = backbone.step(state)
    with torch.no_grad():
        assert torch.equal(backbone.probe(state)["hidden"], stepper.module.fc(images.flatten(1).float() / 255))


def test_inputs_of_another_shape_and_a_module_in_training_are_refused(images):
    backbone = held(images)
    with pytest.raises(bb.InputError, match=r"inputs \[B, 1, 8, 8\], got \[10, 8, 8\]"):
        backbone.start(images[:, 0])
    backbone.module.fc.train()
    with pytest.raises(bb.InputError, match=r"got its part 'fc' in training mode: call \.eval\(\) first"):
        backbone.start(images)


def test_a_state_that_its_module_does_not_use_is_no_spiking_layer(images):
    module = Held()
    module.forward = lambda inputs: module.out(module.fc(inputs.flatten(1)))
    with pytest.raises(bb.InputError, match="Expected Held to use its spiking layers, but none of v became"):
        HeldState("toys", module, Access(module), Layout(None, None, T), as_floats(images))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"module": nn.Linear(64, 10)}, "layers of SpikingJelly, snnTorch, Norse, sinabs, NIR, got Linear without any"),
        ({"module": 42}, "Expected a spiking torch module or a NIR graph, got int"),
        ({"module": bb.build("small", num_classes=10, timesteps=2)}, "got SpikingNetwork, a backbone already"),
        ({"time_axis": 2}, "Expected time_axis to be 'auto' or 0 or 1 or None, got 2"),
        ({"timesteps": 0}, "timesteps to be a whole number of 1 or more, got 0"),
        ({"example_inputs": torch.rand(3, 64)}, r"at least 4 example inputs \[B, …\], got \[3, 64\]"),
        ({"output": "potential"}, "output to be 'spikes' or 'membrane' or a function or None, got 'potential'"),
        ({"framework": "lava"}, "framework, got 'lava'. Known: .*spikingjelly"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(arguments, message):
    given = {"module": nn.Linear(64, 10), "example_inputs": torch.rand(8, 64), "timesteps": T, **arguments}
    with pytest.raises(bb.InputError, match=message):
        wrap(**given)


class Plain(nn.Module):
    """Of plain torch: its state is passed, and starts at zero or from `initial_state`."""

    def __init__(self, start=0.0, loop=1):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.out, self.start, self.loop = nn.Linear(64, 32), nn.Linear(32, 10), start, loop
        self.eval()

    def initial_state(self, inputs):
        return torch.full((1, 32), self.start)

    def forward(self, inputs, state=None):
        v = torch.full((len(inputs), 32), self.start) if state is None else state
        for _ in range(self.loop):
            v = 0.8 * v + 2 * self.fc(inputs.flatten(1))
            spikes = (v > 0.5).float()
            v = v - 0.5 * spikes
        return self.out(spikes), v


class Attributes(Plain):
    """Keeps its potential itself, and runs all timesteps in one call."""

    def forward(self, inputs):
        state = None
        for _ in range(T):
            output, state = super().forward(inputs, state)
        return output


@pytest.mark.parametrize("start", [0.0, 0.25])
def test_a_module_of_plain_torch_that_hands_its_state_on_is_wrapped(start, images):
    module = Plain(start)
    backbone = wrap(module, images[:8], T, framework="torch")
    refilled_rows_run_afresh(backbone, images)
    state, own = None, []
    with torch.no_grad():
        for _ in range(T):
            output, state = module(images / 255, state)
            own.append(output)
    assert torch.equal(logits(backbone, images), running_mean(torch.stack(own)))


def test_spiking_modules_of_plain_torch_are_not_called_anns(images):
    with pytest.raises(
        bb.InputError, match=r"a spiking one of plain torch run one timestep .* any loop over time outside"
    ):
        wrap(Attributes(), images[:8], T)


class Holder(nn.Module):
    """A neuron in a layer of its own, which keeps its state and may be called over and over."""

    def __init__(self, loop):
        super().__init__()
        self.body, self.loop = Held(), loop
        self.eval()

    def forward(self, inputs):
        for _ in range(self.loop):
            output = self.body(inputs)
        return output


class Inside(Access):
    def read(self):
        return {"body.v": self.module.body.v}

    def write(self, values):
        self.module.body.v = values["body.v"]

    def reset(self):
        self.module.body.reset()


def test_more_than_one_timestep_in_a_call_is_noticed(images):
    layout, shown = Layout(None, None, T), as_floats(images)
    with torch.no_grad():
        one, many = Holder(1), Holder(3)
        HeldState("toys", one, Inside(one), layout, shown)
        with pytest.raises(bb.InputError, match=r"one timestep in a call of Holder, got 3 through body \(Held\)"):
            HeldState("toys", many, Inside(many), layout, shown)


def test_wrapped_networks_are_recorded_and_classified_with_their_energy(images, digits):
    backbone = wrap(Plain(), images[:8], T, framework="torch")
    few = digits.test.select(np.arange(20))
    traces = seenn_env.record(backbone, few, energy=True, batch_size=8)
    macs = 32 * (few.images != 0).reshape(20, -1).sum(1)
    np.testing.assert_array_equal(traces.operations[:, :, 0], macs[:, None] * np.arange(1, T + 1))
    assert (traces.operations[:, -1, 1] % 10 == 0).all()
    assert traces.operations[:, -1, 1].sum() > 0
    found = agents.classify(few, backbone, agents.Margin(0.5), num_slots=8)
    assert found.energy.images == 20
    expected = seenn_env.evaluate(agents.Margin(0.5), traces)
    np.testing.assert_array_equal(found.timesteps, expected.exit_timesteps)
    np.testing.assert_allclose(found.energy.energy_pj, expected.energy_pj)
    metered = agents.classify(few, Metered(backbone), agents.Margin(0.5), num_slots=8)
    np.testing.assert_array_equal(metered.timesteps, found.timesteps)
    again = agents.classify(few.images, backbone, agents.Margin(0.5), num_slots=8, device="cpu")
    np.testing.assert_array_equal(again.timesteps, found.timesteps)


def test_names_of_classes_reach_recordings_answers_and_the_commands(images, digits, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [f"class {k}" for k in range(10)]
    backbone, bare = (wrap(Plain(), images[:8], T, framework="torch", **each) for each in ({"class_names": names}, {}))
    assert backbone.fingerprint == bare.fingerprint
    assert backbone.elsewhere(torch.device("cpu")).class_names == tuple(names)
    assert agents.classify(digits.test.images[:8], backbone, agents.Margin(), num_slots=4).class_names == tuple(names)
    for split in ("calibration", "test"):
        few = replace(digits[split].select(np.arange(40)), class_names=())
        seenn_env.record(backbone, few, f"{split}.safetensors", images=True)
    main(
        [
            "calibrate",
            "--traces",
            "calibration.safetensors",
            "--policy",
            "margin",
            "--target-timesteps",
            "2",
            "--output",
            "rule.st",
        ]
    )
    main(["compare", "--traces", "test.safetensors", "--policies", "rule=rule.st", "--output", "report"])
    main(["watch", "--traces", "test.safetensors", "--policy", "rule.st", "--row", "0", "--fps", "100"])
    assert "class 0" in (tmp_path / "report" / "report.html").read_text()
    assert "class 0" in capsys.readouterr().out
    with pytest.raises(InputError, match="Expected names of the module's 10 classes, got 2"):
        wrap(Plain(), images[:8], T, framework="torch", class_names=["cat", "dog"])


def test_a_network_that_cannot_be_counted_is_classified_without_its_energy(digits):
    class Odd(Plain):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(64, 64))

        def forward(self, inputs, state=None):
            return super().forward(inputs.flatten(1) @ self.weight, state)

    few = digits.test.select(np.arange(12))
    backbone = wrap(Odd(), few.images[:8], T, framework="torch")
    found = agents.classify(few, backbone, agents.Margin(0.5), num_slots=8)
    assert found.energy is None
    assert (found.timesteps > 0).all()
    with pytest.raises(bb.InputError, match="operations of it cannot be counted"):
        seenn_env.record(backbone, few, energy=True)


@needs_onnx
def test_operations_that_a_wrapped_network_lacks_are_refused_in_a_sentence(images, digits, tmp_path):
    backbone = wrap(Plain(), images[:8], T, framework="torch")
    with pytest.raises(
        bb.InputError, match="network of this package to optimize, got Plain of torch: a wrapped module"
    ):
        backbone.optimize()
    with pytest.raises(bb.InputError, match=r"Expected .*[Nn]etwork.*, got (an? )?AdaptedBackbone"):
        optimize(backbone)
    with pytest.raises(bb.InputError, match=r"Expected .*[Nn]etwork.*, got (an? )?AdaptedBackbone"):
        bb.save(backbone, tmp_path / "a.safetensors")
    with pytest.raises(bb.InputError, match=r"Expected .*[Nn]etwork.*, got (an? )?AdaptedBackbone"):
        agents.export(backbone, agents.Margin(0.5), tmp_path, num_slots=4)
    with pytest.raises(bb.InputError, match=r"Expected .*[Nn]etwork.*, got (an? )?AdaptedBackbone"):
        train(backbone, digits)
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_honoured_or_refused(images, digits):
    backbone = wrap(Plain(), images[:8], T, framework="torch")
    assert backbone.to("cpu") is backbone
    moved = backbone.elsewhere(torch.device("cpu"))
    assert moved.fingerprint == backbone.fingerprint
    assert moved.module is not backbone.module
    assert torch.equal(logits(moved, images), logits(backbone, images))
    with pytest.raises(bb.InputError, match="Expected a device that PyTorch finds here, got 'cuda:99'"):
        agents.classify(digits.test.images[:8], backbone, agents.Margin(0.5), device="cuda:99")

    class Bare:
        """A backbone that cannot be moved."""

        def __init__(self):
            self.start, self.step, self.refill = backbone.start, backbone.step, backbone.refill
            self.timesteps, self.num_classes, self.sample_shape = T, 10, (1, 8, 8)
            self.device = torch.device("meta")

    with pytest.raises(bb.InputError, match="Expected a backbone on cpu, or one that can be moved there"):
        agents.classify(digits.test.images[:8], Bare(), agents.Margin(0.5), device="cpu")


@pytest.mark.parametrize("name", ["spikingjelly", "snntorch", "norse", "sinabs", "nir"])
def test_a_framework_that_is_not_installed_is_named_with_its_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(bb.InputError, match=rf"to be installed, but {name} is not: pip install 'seenn-env\[{name}\]'"):
        wrap(nn.Linear(64, 10), torch.rand(8, 64), T, framework=name)


def test_a_path_is_a_nir_graph_s(monkeypatch):
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(bb.InputError, match="Expected NIR to be installed"):
        wrap("network.nir", torch.rand(8, 64), T)


def test_the_page_on_adapters_names_every_framework_and_its_links_lead_somewhere():
    docs = ROOT / "docs"
    page = (docs / "adapters.md").read_text()
    for name, (title, _) in FRAMEWORKS.items():
        assert f"| {title} | `seenn-env[{name}]` |" in page
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page):
        assert (docs / link).exists(), link


class Leaky(nn.Module):
    """Plain torch with the state that it is given."""

    def __init__(self, scale: float = 1.0):
        super().__init__()
        self.layer, self.scale = nn.Linear(16, 3), scale

    def forward(self, x, state=None):
        v = self.layer(x) if state is None else 0.5 * state + self.layer(x)
        return v * self.scale, v


class Stateless(nn.Linear):
    def forward(self, x):
        return super().forward(x)


class NamedState(Leaky):
    def forward(self, x, *, state=None):
        return super().forward(x, state)


def test_nan_is_named_and_not_taken_for_chance():
    inputs = torch.rand(8, 16)
    assert wrap(Leaky().eval(), inputs, T, framework="torch").num_classes == 3
    broken = Leaky().eval()
    with torch.no_grad():
        broken.layer.bias[1] = float("nan")
    with pytest.raises(InputError, match=r"finite weights of Leaky, got NaN or infinity in 'layer\.bias'"):
        wrap(broken, inputs, T, framework="torch")
    module = Held()
    module.register_parameter("odd", nn.Parameter(torch.tensor([float("nan")])))
    with torch.no_grad(), pytest.raises(InputError, match="finite weights of Held, got NaN or infinity in 'odd'"):
        HeldState("toys", module, Access(module), Layout(None, None, T), torch.rand(8, 1, 8, 8))
    for scale in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="finite outputs of Leaky, got NaN or infinity at the first timestep"):
            wrap(Leaky(scale).eval(), inputs, T, framework="torch")


@pytest.mark.parametrize("module", [Stateless(16, 3), NamedState()])
def test_a_module_of_plain_torch_that_takes_no_state_is_told_the_form_of_the_call(module):
    message = (
        rf"`outputs, state = module\(inputs, state\)`.* got {type(module).__name__}\.forward\(x.*\): let it take and"
    )
    with pytest.raises(InputError, match=message):
        wrap(module.eval(), torch.rand(8, 16), T, framework="torch")


def test_errors_of_a_module_s_own_forward_are_named_with_the_remedy(images):
    class Keyed(Plain):
        def forward(self, inputs, state=None):
            return super().forward(inputs, {}["v"] if state is None else state)

    for module, problem in (
        (Plain().double(), "its weights are float64, inputs float32: wrap module.float()"),
        (Keyed(), "it raised KeyError: 'v'; .* its state is None at first"),
    ):
        with pytest.raises(InputError, match=problem):
            wrap(module, images[:8], T, framework="torch")
