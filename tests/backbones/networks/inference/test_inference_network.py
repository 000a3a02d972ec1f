"""The inference form of a network: the same answers, faster, in memory that is there already."""

import numpy as np
import pytest
import torch
from torch import nn

import backbones as bb
from backbones.contract import accuracy, make_keys, run
from backbones.conversion.converter import convert
from backbones.energy import Metered
from backbones.networks.inference.optimization import agrees, compare_forms
from backbones.networks.norms import TimestepBatchNorm2d
from backbones.state_tree import leaves_of


def images(count=8, side=8, channels=1):
    values = torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(0))
    return values * (values > 0.4)


def make(network="small", encoding="direct", **settings):
    """With norms that have seen something, so that folding has something to do."""
    settings = {"neuron": {"type": "lif", "v_threshold": 0.3}, "width": 4, **settings}
    channels, side = (1, 8) if network == "small" else (3, 16)
    built = bb.build(
        network, num_classes=10, timesteps=4, encoding=encoding, input_shape=(channels, side, side), **settings
    )
    generator = torch.Generator().manual_seed(0)
    for module in built.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1, generator)
            nn.init.uniform_(module.running_var, 0.1, 0.6, generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator)
            nn.init.normal_(module.bias, 0.1, 0.1, generator)
    return built


def logits_of(network, inputs, keys=None):
    state, found = network.start(inputs, keys), []
    for _ in range(network.timesteps):
        logits, state = network.step(state)
        found.append(logits)
    return torch.stack(found)


@pytest.mark.parametrize("network", ["small", "resnet9", "resnet18", "vgg11"])
@pytest.mark.parametrize("stem", ["small", "large"])
def test_folded_norms_change_nothing_but_the_rounding(network, stem):
    if network == "small" and stem == "large":
        stem = None  # it has no other
    settings = {} if network == "small" or stem is None else {"stem": stem}
    plain = make(network, **settings)
    fast = plain.optimize()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.modules())
    channels, side = plain.input_shape[0], plain.input_shape[1]
    inputs = images(16, side, channels)
    difference = (logits_of(plain, inputs) - logits_of(fast, inputs)).abs()
    assert difference.median() < 1e-5  # where a rounding flips a spike it is more
    agreement = (logits_of(plain, inputs).argmax(-1) == logits_of(fast, inputs).argmax(-1)).float().mean()
    assert agreement > 0.95


@pytest.mark.parametrize("encoding", ["direct", "poisson", "latency"])
@pytest.mark.parametrize("neuron", [{"type": "lif", "v_threshold": 0.3}, {"type": "if", "v_init": 0.2}])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_form_keeps_the_contract(encoding, neuron, dtype):
    fast = make(encoding=encoding, neuron=neuron).optimize(dtype=dtype, min_agreement=None)
    bb.check_backbone(fast, images(8))


def test_advancing_gives_the_bits_of_stepping_in_the_memory_of_the_state():
    fast, inputs = make("resnet9").optimize(), images(70, 16, 3)
    stepped, advanced = fast.start(inputs), fast.start(inputs)
    for _ in range(4):
        one, stepped = fast.step(stepped)
        before = [v.data_ptr() for v in advanced.membranes]
        other, advanced = fast.advance(advanced)
        assert torch.equal(one, other)
        assert before in ([], [v.data_ptr() for v in advanced.membranes])


def test_logits_do_not_depend_on_the_number_of_slots_where_it_is_a_multiple_of_the_rows_at_once():
    fast, inputs = make("resnet9").optimize(), images(128, 16, 3)
    whole = logits_of(fast, inputs)
    assert torch.equal(logits_of(fast, inputs[:64]), whole[:, :64])
    assert torch.equal(logits_of(fast, inputs.flip(0)), whole.flip(1))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("norm", ["tdbn", "tdbn-per-timestep"])
@pytest.mark.parametrize(
    "neuron",
    [
        {"type": "lif", "v_threshold": 0.3},
        {"type": "lif", "decay": 0.7, "v_reset": None, "v_threshold": 0.3},
        {"type": "if", "v_init": 0.2, "v_threshold": 0.4},
        {"type": "plif", "v_threshold": 0.3},
    ],
    ids=lambda neuron: "-".join(map(str, neuron.values())),
)
def test_a_pool_over_the_inference_form_gives_the_logits_of_whole_runs(dtype, norm, neuron):
    plain, inputs = make("resnet9", norm=norm, neuron=neuron), images(60, 16, 3)
    for module in plain.modules():
        if isinstance(module, TimestepBatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))
            module.running_var.uniform_(0.1, 0.6, generator=torch.Generator().manual_seed(2))
    fast = plain.optimize(dtype=dtype, min_agreement=None)
    expected = torch.cat([x for _, x in run(fast, inputs.numpy(), np.arange(60), batch_size=40)])
    assert len(expected.flatten(1).unique(dim=0)) > 20
    pool, shows, rng, fed = bb.SlotPool(fast, 40), np.arange(40), np.random.default_rng(0), 40
    pool.refill(shows, inputs[:40])
    for step in range(16):
        assert torch.equal(pool.step(), expected[shows, pool.timestep - 1])
        leave = np.flatnonzero((pool.timestep == 4) | (rng.random(40) < (0.2, 0.6, 0.9, 0)[step % 4]))
        shows[leave] = (fed + np.arange(len(leave))) % 60
        fed += len(leave)
        if step == 8:  # rows that are put in two goes, and a look at the state in between
            pool.refill(leave[:3], inputs[shows[leave[:3]]])
            assert all(len(leaf) == 40 for leaf in leaves_of(pool.state) if leaf is not None)
            leave = leave[3:]
        pool.refill(leave, inputs[shows[leave]])
    pool.refill(range(40), inputs[:40])
    assert all(len(leaf) == 40 for leaf in leaves_of(pool.state) if leaf is not None)
    for t in range(4):
        assert torch.equal(pool.step(), expected[:40, t])


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -3e38])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_image_that_is_not_finite_does_not_change_later_rows(poison, dtype):
    plain, inputs = make("resnet9", neuron={"type": "lif", "v_threshold": 0.3, "v_reset": None}), images(17, 16, 3)
    fast = plain.optimize(dtype=dtype, min_agreement=None)
    clean, dirty = bb.SlotPool(fast, 17), bb.SlotPool(fast, 17)
    clean.refill(range(17), inputs)
    dirty.refill(range(17), inputs)  # the first look at the values: a refill looks no more
    dirty.refill([0, 1], torch.full_like(inputs[:2], poison))
    for rows in ([0], [1], []):
        assert torch.equal(clean.step()[2:], dirty.step()[2:])
        for pool in (clean, dirty):
            pool.refill(rows, inputs[rows])
    for _ in range(3):
        assert torch.equal(clean.step(), dirty.step())


def test_a_tail_that_shrinks_continues_from_its_state():
    fast, inputs = make("resnet9").optimize(), images(8, 16, 3)
    pool, whole = bb.SlotPool(fast, 8), bb.SlotPool(fast, 8)
    for one in (pool, whole):
        one.refill(range(8), inputs)
        one.step()
    pool.shrink([6, 1, 3])
    for _ in range(3):
        torch.testing.assert_close(pool.step(), whole.step()[[6, 1, 3]])


def test_forms_have_fingerprints_of_their_own_and_the_plain_network_stays_as_it_is():
    plain = make()
    before = plain.fingerprint
    forms = [
        plain.optimize(),
        plain.optimize(channels_last=False),
        plain.optimize(dtype="bfloat16", min_agreement=None),
    ]
    prints = {before, *(form.fingerprint for form in forms)}
    assert len(prints) == 4
    assert plain.fingerprint == before
    assert plain.optimize().fingerprint == forms[0].fingerprint
    assert [form.form for form in forms] == [
        "folded+float32+channels_last",
        "folded+float32",
        "folded+bfloat16+channels_last",
    ]


def test_potentials_and_readout_stay_in_float32():
    fast = make().optimize(dtype="bfloat16", min_agreement=None)
    logits, state = fast.step(fast.start(images(4)))
    assert logits.dtype == state.readout.dtype == state.membranes[0].dtype == torch.float32
    assert state.source.dtype == torch.bfloat16


def test_a_check_on_calibration_data_is_reported_and_refuses_a_form_that_disagrees(digits, monkeypatch):
    plain, calibration = make(), digits.calibration.select(slice(40))
    report = plain.optimize(calibration=calibration).report
    assert report.samples == 40
    assert report.agreement.shape == (4,)
    assert report.agreement.min() > 0.999
    keys = make_keys(calibration.index)
    assert np.allclose(report.accuracy_before, accuracy(plain, calibration.images, calibration.labels, keys))
    other = make(seed=1)
    assert compare_forms(plain, other, calibration).agreement.min() < 0.9
    monkeypatch.setattr("backbones.networks.inference.optimization.InferenceNetwork", lambda *_, **__: other)
    other.form = "strange"
    with pytest.raises(bb.InputError, match=r"form 'strange' to agree on 0.9990 of 40 answers, got 0\.\d+ \(accuracy"):
        plain.optimize(calibration=calibration)
    assert plain.optimize(calibration=calibration, min_agreement=None).report.agreement.min() < 0.9
    for share in (2, -0.1):
        with pytest.raises(bb.InputError, match="min_agreement to be a number of 0 or more and of 1 or less or None"):
            plain.optimize(min_agreement=share)


@pytest.mark.parametrize(
    ("differ", "samples", "least", "fine"),
    [(1, 500, 0.999, True), (2, 500, 0.999, False), (1, 1000, 0.999, True), (2, 1000, 0.999, False),
     (2, 1024, 0.999, True), (1, 500, 1.0, False), (0, 500, 1.0, True)],
)  # fmt: skip
def test_one_sample_of_few_may_differ(differ, samples, least, fine):
    assert agrees(1 - differ / samples, least, samples) == fine


def test_bad_requests_are_one_sentence(digits, tmp_path):
    plain = make()
    fast = plain.optimize()
    for use, message in (
        (lambda: plain.optimize(dtype="int3"), "dtype, got 'int3'"),
        (lambda: plain.optimize(dtype=["float32"]), "Expected dtype to be 'float32' or 'bfloat16', got a list"),
        (
            lambda: plain.optimize(calibration=digits.calibration.images),
            "Expected calibration to be a Samples or None, got a ndarray",
        ),
        (lambda: plain.optimize(dtype="bfloat16"), "calibration samples to check bfloat16 on"),
        (lambda: plain.optimize(calibration=digits.test), "another split than 'test'"),
        (lambda: fast.optimize(), "plain network to optimize"),
        (lambda: Metered(fast), "plain network to meter"),
        (lambda: bb.save(fast, tmp_path / "fast"), "plain network to save"),
    ):
        with pytest.raises(bb.InputError, match=message):
            use()
    fast.body.norm = nn.BatchNorm2d(8).eval()
    plain.body.conv = nn.Sequential(plain.body.conv, nn.ReLU())
    with pytest.raises(bb.InputError, match="convolution of its own before every norm"):
        plain.optimize()


@pytest.mark.slow  # compiles C++
@pytest.mark.parametrize("encoding", ["direct", "poisson"])
def test_a_compiled_step_keeps_the_contract(encoding):
    plain = make(encoding=encoding)
    fast = plain.optimize(compile=True)
    bb.check_backbone(fast, images(8))
    torch.testing.assert_close(logits_of(fast, images(8)), logits_of(plain, images(8)), atol=0.05, rtol=0)


@pytest.mark.slow  # compiles C++
def test_a_compiled_step_of_a_network_of_linear_layers_answers_as_the_plain_one():
    plain, inputs = graph_of(lenet())
    fast = plain.optimize(compile=True)
    torch.testing.assert_close(logits_of(fast, inputs), logits_of(plain, inputs), rtol=1e-3, atol=1e-3)
    (_, one), (_, other) = plain.step(plain.start(inputs)), fast.step(fast.start(inputs))
    torch.testing.assert_close(fast.probe(other)["hidden"], plain.probe(one)["hidden"], rtol=1e-3, atol=1e-3)


@pytest.mark.slow  # compiles C++
def test_a_compiled_residual_network_answers_as_the_plain_one_and_can_be_refilled_by_rows():
    plain = make("resnet9", width=8)
    fast, inputs = plain.optimize(compile=True), images(24, 16, 3)
    expected = logits_of(plain, inputs[:8])
    found = logits_of(fast, inputs[:8])
    difference = (found - expected).abs()
    assert difference.median() < 1e-5  # where a rounding flips a spike it is more
    assert (found.argmax(-1) == expected.argmax(-1)).float().mean() > 0.95
    whole = torch.cat([x for _, x in run(fast, inputs.numpy(), np.arange(24), batch_size=8)])
    pool, shows, rng, fed = bb.SlotPool(fast, 8), np.arange(8), np.random.default_rng(0), 8
    pool.refill(shows, inputs[:8])
    for _ in range(10):
        assert torch.equal(pool.step(), whole[shows, pool.timestep - 1])
        leave = np.flatnonzero((pool.timestep == 4) | (rng.random(8) < 0.5))
        shows[leave] = (fed + np.arange(len(leave))) % 24
        fed += len(leave)
        pool.refill(leave, inputs[shows[leave]])
    assert fed > 24


def graph_of(module, side=12, **settings):
    """A spiking network of a torch module, its thresholds set on noise."""
    noise = torch.randint(256, (8, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return convert(module.eval(), noise, timesteps=4, max_pool="average", **settings), noise


def lenet(norm=nn.Identity):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), norm(6), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(150, 21), nn.BatchNorm1d(21), nn.ReLU(), nn.Linear(21, 5),
    )  # fmt: skip


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(432, 19), nn.ReLU(), nn.Linear(19, 5))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "make_module",
    [lenet, mlp, lambda: lenet(lambda c: nn.BatchNorm2d(c, affine=False))],
    ids=["lenet", "mlp", "norm without weights"],
)
def test_networks_whose_last_hidden_layer_is_fully_connected_have_a_form_for_inference(make_module, dtype):
    plain, inputs = graph_of(make_module())
    fast = plain.optimize(dtype=dtype, min_agreement=None)
    if dtype == "float32":
        torch.testing.assert_close(logits_of(fast, inputs), logits_of(plain, inputs), rtol=1e-4, atol=1e-4)
    pool = bb.SlotPool(fast, 8)
    pool.refill(range(8), inputs)
    pool.step()
    pool.refill([1, 4], inputs[[1, 4]])
    torch.testing.assert_close(pool.step()[[1, 4]], logits_of(fast, inputs)[0, [1, 4]])


@pytest.mark.parametrize("name", ["small", "resnet9", "resnet20", "vgg11", "vggsnn", "lenet", "mlp"])
def test_both_forms_probe_the_same_activity_of_the_last_hidden_layer(name):
    if name in ("lenet", "mlp"):
        plain, inputs = graph_of(lenet() if name == "lenet" else mlp())
    else:
        plain = make(name)
        inputs = images(8, *reversed(plain.input_shape[:2]))
    fast, found = plain.optimize(), []
    for network in (plain, fast):
        state = network.start(inputs)
        for _ in range(2):
            _, state = network.step(state)
        found.append(network.probe(state))
    assert found[0]["hidden"].max() > 0
    for probed in ("hidden", "membrane"):
        torch.testing.assert_close(found[1][probed], found[0][probed], rtol=1e-3, atol=1e-3)


class Shares(nn.Module):
    """A convolution, and what its output does besides feeding a norm."""

    def __init__(self, pool=None):
        super().__init__()
        self.conv, self.norm, self.pool = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), pool
        nn.init.normal_(self.norm.bias), nn.init.uniform_(self.norm.running_mean)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))

    def forward(self, x):
        x = self.conv(x)
        if self.pool is not None:
            return self.head(torch.relu(self.norm(self.pool(x))))
        return self.head(torch.relu(self.norm(x)) + x)


@pytest.mark.parametrize(
    "pool",
    [None, nn.AvgPool2d(3, 2, padding=1), nn.AvgPool2d(3, 2, divisor_override=4)],
    ids=["shortcut", "padded pool", "divisor"],
)
def test_a_norm_that_cannot_be_folded_is_refused_and_never_folded_wrongly(pool):
    torch.manual_seed(0)
    plain, _ = graph_of(Shares(pool))
    with pytest.raises(bb.InputError, match="to fold the norm"):
        plain.optimize()


@pytest.mark.parametrize("encoding", ["direct", "poisson"])
def test_a_current_that_others_need_too_is_not_written_over(encoding):
    conv = {"in_channels": 3, "out_channels": 4, "kernel_size": 3, "padding": 1}
    nodes = [
        ("conv", "conv", ["image"], conv),
        ("first", "neuron", ["conv"], {}),
        ("sum", "add", ["first", "conv"], {}),
        ("again", "conv", ["sum"], {**conv, "in_channels": 4}),
        ("second", "neuron", ["again"], {}),
        ("both", "add", ["second", "again"], {}),
        ("third", "neuron", ["both"], {}),
        ("flat", "flatten", ["third"], {}),
        ("readout", "linear", ["flat"], {"in_features": 256, "out_features": 5}),
    ]
    plain = bb.build(
        "graph", num_classes=5, timesteps=4, input_shape=(3, 8, 8), encoding=encoding,
        neuron={"type": "lif", "v_threshold": 0.2},
        nodes=[dict(zip(("name", "layer", "inputs", "settings"), node, strict=True)) for node in nodes],
    )  # fmt: skip
    inputs = images(8, 8, 3)
    torch.testing.assert_close(logits_of(plain.optimize(), inputs), logits_of(plain, inputs), rtol=1e-4, atol=1e-4)
