"""Synaptic operations equal a count by loops over every synapse: borders, strides, groups, missing weights."""

import itertools

import pytest
import torch
from torch import nn

import backbones as bb
from backbones.energy import EnergyModel, Metered, count_operations
from backbones.energy.fan_out import ExactDot, fan_out
from backbones.energy.operations import OperationCounter
from backbones.networks import IF
from backbones.networks.neurons.converted import ConvertedIF
from tests.helpers.recorded import small_backbone


def reached_by_loops(weight, x, stride, padding, dilation, groups):
    """Synapses (weights other than 0) of inputs other than 0 of one row: `[C, H, W]`, one by one."""
    outputs, _, kh, kw = weight.shape
    channels, height, width = x.shape
    rows = (height + 2 * padding - dilation * (kh - 1) - 1) // stride + 1
    columns = (width + 2 * padding - dilation * (kw - 1) - 1) // stride + 1
    count = 0
    for o, i, j, c, u, v in itertools.product(
        range(outputs), range(rows), range(columns), range(channels // groups), range(kh), range(kw)
    ):
        group = o // (outputs // groups)
        y, z = i * stride + u * dilation - padding, j * stride + v * dilation - padding
        if 0 <= y < height and 0 <= z < width:
            count += int(x[group * (channels // groups) + c, y, z] != 0 and weight[o, c, u, v] != 0)
    return count


def counted(network, *inputs):
    with count_operations(network) as counter:
        network(*inputs)
        return counter.take()


class TwoLayers(nn.Module):
    """Conv 1→2, 3×3, stride 2, padding 1 on 4×4; neurons; linear 8→3."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, stride=2, padding=1)
        self.neuron = IF(v_threshold=1.0)
        self.linear = nn.Linear(8, 3)
        with torch.no_grad():
            self.conv.weight.fill_(0.6)
            self.conv.weight[1] = 0.3
            self.conv.bias.zero_()

    def forward(self, x):
        current = self.conv(x)
        spikes, _ = self.neuron(current, torch.zeros_like(current))
        return self.linear(spikes.flatten(1))


def test_a_two_layer_network_worked_by_hand_to_the_last_operation():
    # Output (i, j) sees input rows 2i-1…2i+1 and columns 2j-1…2j+1: along one axis the inputs 0, 1, 2, 3 reach
    # 1 (output 0), 2 (outputs 0 and 1), 1 (output 1), 1 (output 1); the fan-out is the product, times 2 channels.
    along = torch.tensor([1, 2, 1, 1])
    network = TwoLayers()
    assert torch.equal(fan_out(network.conv, torch.Size((1, 4, 4)))[0], 2 * along[:, None] * along)
    x = torch.zeros(4, 1, 4, 4)
    x[0, 0, 1, 1] = 1  # reaches 2·2 places in 2 channels: 8. Currents 0.6 and 0.3: nothing fires.
    x[1, 0, 0, 0] = x[1, 0, 1, 1] = 1  # 2·1 + 2·4 = 10. At (0, 0) 1.2 in channel 0 fires, 0.6 in channel 1 does not.
    x[2] = 1  # 2·5·5 = 50. Along an axis an output sees 2 or 3 inputs: 4, 6, 6, 9 inputs in all.
    x[3, 0, 1, 1] = 0.5  # not a spike: the same 8 synapses, multiplied. 0.3 and 0.15: nothing fires.
    # Row 2: 2.4, 3.6, 3.6, 5.4 in channel 0, half of it in channel 1: all above 1, 8 spikes, each to 3 outputs.
    found = counted(network, x)
    assert found.effective_acs.tolist() == [8, 10 + 3, 50 + 24, 0]
    assert found.effective_macs.tolist() == [0, 0, 0, 8]
    assert found.dense.tolist() == [50 + 24] * 4
    assert found.spikes.tolist() == [0, 1, 8, 0]
    assert found.metrics() == {"Effective_MACs": 2.0, "Effective_ACs": 95 / 4, "Dense": 74.0}
    assert EnergyModel().energy_pj(found).tolist() == pytest.approx([7.2, 11.7, 66.6, 36.8])
    loops = [reached_by_loops(network.conv.weight, row, 2, 1, 1, 1) for row in x]
    assert loops == [8, 10, 50, 8]


@pytest.mark.parametrize("seed", range(12))
def test_random_convolutions_are_counted_as_loops_count_them(seed):
    rng = torch.Generator().manual_seed(seed)

    def draw(low, high):
        return int(torch.randint(low, high + 1, (), generator=rng))

    groups, stride, padding, dilation = draw(1, 2), draw(1, 3), draw(0, 2), draw(1, 2)
    layer = nn.Conv2d(2 * groups, 3 * groups, (draw(1, 3), draw(1, 3)), stride, padding, dilation, groups)
    if seed % 2:
        with torch.no_grad():
            layer.weight[torch.rand(layer.weight.shape, generator=rng) < 0.4] = 0
    x = (torch.rand(3, 2 * groups, draw(5, 7), draw(5, 7), generator=rng) < 0.3).float()
    x[2] *= 0.5
    found = counted(nn.Sequential(layer), x)
    loops = [reached_by_loops(layer.weight, row, stride, padding, dilation, groups) for row in x]
    assert found.effective_acs.tolist() == [*loops[:2], 0]
    assert found.effective_macs.tolist() == [0, 0, loops[2]]
    ones = reached_by_loops(torch.ones_like(layer.weight), torch.ones_like(x[0]), stride, padding, dilation, groups)
    assert found.dense.tolist() == [ones] * 3
    turned = counted(nn.Sequential(layer), x.to(memory_format=torch.channels_last))
    assert torch.equal(turned.counts, found.counts)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(2, 3, 3, padding=1), (2, 5)),
        (nn.Conv3d(1, 2, 2, stride=2), (1, 4, 4, 4)),
        (nn.Conv2d(2, 2, 3, padding="same", padding_mode="circular"), (2, 4, 4)),
        (nn.ConvTranspose2d(2, 3, 3, stride=2, output_padding=1), (2, 3, 3)),
        (nn.Linear(5, 4), (3, 5)),
    ],
)
def test_any_layer_counts_each_input_as_the_outputs_that_it_alone_reaches(layer, shape):
    with torch.no_grad():
        layer.weight.uniform_(0.5, 1.0)
        layer.bias.zero_()
    reached = fan_out(layer, torch.Size(shape))
    for place in itertools.product(*map(range, shape)):
        alone = torch.zeros(1, *shape)
        alone[(0, *place)] = 1
        with torch.no_grad():
            assert int(reached[place]) == int((layer(alone) > 0).sum())


def test_sums_beyond_the_precision_of_float32_are_exact():
    numbers = torch.randint(0, 100_000, (200_000,), generator=torch.Generator().manual_seed(0))
    selected = torch.rand(3, len(numbers), generator=torch.Generator().manual_seed(1)) < 0.7
    exact = [int(numbers[row].sum()) for row in selected]
    assert min(exact) > 2**30
    with torch.autocast("cpu", torch.bfloat16):
        assert ExactDot(numbers, torch.device("cpu"))(selected).tolist() == exact
    assert ExactDot(numbers, torch.device("cpu"))(selected.bfloat16()).tolist() == exact


@pytest.mark.parametrize("strange", [-1.0, 0.5, 1 + 2**-23, 1 - 2**-24, 1e-30, 2.0, float("nan"), float("inf")])
def test_one_value_besides_minus_one_zero_and_one_makes_a_row_multiply(strange):
    layer = nn.Sequential(nn.Linear(40_000, 3))
    x = (torch.arange(80_000).view(2, -1) % 2).float()
    x[1, 39_999] = strange
    found = counted(layer, x)
    multiplied = 0 if strange == -1.0 else 60_000
    assert found.effective_macs.tolist() == [0, multiplied]
    assert found.effective_acs.tolist() == [60_000, 60_000 - multiplied]


def test_spikes_that_are_overwritten_are_counted_anew():
    class Halved(TwoLayers):
        def forward(self, x):
            spikes, _ = self.neuron(self.conv(x), torch.zeros(len(x), 2, 2, 2))
            return self.linear(spikes.mul_(0.5).view(len(x), -1))

    class Kept(nn.Module):
        """The neuron's own output goes into the next convolution, after it was halved."""

        def __init__(self):
            super().__init__()
            self.neuron, self.conv = IF(), nn.Conv2d(1, 1, 1)

        def forward(self, x):
            spikes, _ = self.neuron(x, torch.zeros_like(x))
            return self.conv(spikes.mul_(0.5))

    with torch.no_grad():
        assert counted(Halved(), torch.ones(1, 1, 4, 4)).effective_macs.tolist() == [24]
        assert counted(Kept(), torch.full((1, 1, 2, 2), 3.0)).effective_macs.tolist() == [4]


@pytest.mark.parametrize("name", ["small", "resnet9", "resnet18", "vgg11"])
def test_rows_sum_to_the_batch_and_move_with_it(name):
    options = {} if name == "small" else {"width": 8}
    network = bb.build(
        name, num_classes=3, timesteps=2, input_shape=(2, 9, 9), neuron={"type": "lif", "v_threshold": 0.3}, **options
    )
    x = torch.rand(6, 2, 9, 9, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight *= 8  # it shall spike without training

    def run(images, metered=None):
        metered = metered or Metered(network)
        state = metered.start(images)
        for _ in range(2):
            logits, state = metered.step(state)
        return logits, state.operations.counts

    logits, counts = run(x)
    assert (counts > 0).all()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert torch.equal(run(x[order])[1], counts[order])
    alone = torch.cat([run(row[None])[1] for row in x])
    assert (alone - counts).abs().max() <= 0.01 * counts.max()  # a spike may flip: another batch shape
    # Spikes recognised because a neuron fired them are counted like those that were looked at.
    looked_at = Metered(network)
    looked_at._counter._fired = type("Forgetful", (dict,), {"__setitem__": lambda *_: None})()
    assert torch.equal(run(x, looked_at)[1], counts)

    total = torch.zeros(2, dtype=torch.float64)

    def add(layer, args):
        spiking = ((args[0] == 0) | (args[0] == 1)).flatten(1).all(1)
        shape = [1] * (args[0].dim() - 1)
        for place, chosen in enumerate((~spiking, spiking)):
            some = args[0].double() * chosen.view(-1, *shape) != 0
            if isinstance(layer, nn.Linear):
                total[place] += some.sum() * layer.out_features
            else:
                ones = torch.ones_like(layer.weight, dtype=torch.float64)
                out = nn.functional.conv2d(some.double(), ones, None, layer.stride, layer.padding)
                total[place] += out.sum()

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_pre_hook(add)
    state = network.start(x)
    for _ in range(2):
        again, state = network.step(state)
    assert total.tolist() == counts[:, :2].sum(0).tolist()
    assert torch.equal(again, logits)


def test_a_metered_backbone_keeps_the_contract_and_refilled_rows_count_from_zero():
    network = small_backbone(encoding="direct")
    x = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    metered = Metered(network)
    bb.check_backbone(metered, x)
    assert metered.fingerprint == network.fingerprint

    def counts(images, steps):
        state = metered.start(images)
        for _ in range(steps):
            _, state = metered.step(state)
        return state

    rows, new = torch.tensor([2, 5]), torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    state = metered.refill(counts(x, 2), rows, new)
    assert torch.equal(state.operations.counts[rows], metered.start(new).operations.counts)
    assert (state.operations.effective_macs == 4 * (3 * 8 - 2) ** 2).all()  # the stem, once an image, all pixels lit
    for _ in range(2):
        _, state = metered.step(state)
    mixed = x.clone()
    mixed[rows] = new
    assert torch.equal(state.operations.counts[rows], counts(mixed, 2).operations.counts[rows])
    others = [0, 1, 3, 4, 6, 7]
    assert torch.equal(state.operations.counts[others], counts(x, 4).operations.counts[others])


def test_a_static_stem_counts_once_an_image_and_a_spiking_one_every_timestep():
    def stem_of(encoding):
        network = bb.build("small", num_classes=10, timesteps=3, input_shape=(1, 8, 8), width=4, encoding=encoding)
        for neuron in (network.body.first, network.body.second):
            neuron.v_threshold = 1e9  # nothing after the stem
        metered = Metered(network)
        state, found = metered.start(torch.ones(2, 1, 8, 8) * 0.999), []
        for _ in range(3):
            _, state = metered.step(state)
            found.append(state.operations.counts[0, :2].tolist())
        return found

    whole = 4 * 22 * 22
    assert stem_of("direct") == [[whole, 0]] * 3
    spiking = stem_of("poisson")
    assert all(macs == 0 for macs, _ in spiking)
    assert 0 < spiking[0][1] < spiking[1][1] < spiking[2][1] <= 3 * whole


def test_counting_draws_no_random_numbers():
    network = TwoLayers()
    before = torch.random.get_rng_state()
    counted(network, torch.ones(2, 1, 4, 4))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_hooks_are_removed_when_the_counting_ends_or_fails():
    network = TwoLayers()
    counter = OperationCounter(network)
    with pytest.raises(RuntimeError), counter:
        network(torch.zeros(1, 3, 4, 4))
    assert not network.conv._forward_pre_hooks
    assert not network.neuron._forward_hooks
    with counter:
        network(torch.zeros(2, 1, 4, 4))
        assert counter.take().effective_acs.tolist() == [0, 0]
        assert counter.rows is None


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 4)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Linear(3, 3), Recurrent()), r"got weight_ih \[12, 3\] of the GRUCell '1.cell'"),
        (nn.Sequential(nn.ReLU()), "Expected a network of linear layers and convolutions .* has none"),
        (object(), "Expected a network that is a torch.nn.Module"),
    ],
)
def test_a_module_that_cannot_be_counted_is_refused_by_name(network, message):
    with pytest.raises(bb.InputError, match=message):
        Metered(network) if hasattr(network, "timesteps") else OperationCounter(network)


def test_inputs_without_rows_and_rows_that_change_are_refused():
    with pytest.raises(bb.InputError, match=r"Expected inputs of rows \[B, …\] at a Linear, got \[3\]"):
        counted(nn.Sequential(nn.Linear(3, 2)), torch.ones(3))
    network = nn.Sequential(nn.Linear(3, 2))
    with count_operations(network):
        network(torch.ones(4, 3))
        with pytest.raises(bb.InputError, match="to see the 4 rows along its first dimension"):
            network(torch.ones(5, 3))


@pytest.mark.parametrize("constants", [{"pj_per_ac": 0.0}, {"pj_per_mac": float("nan")}, {"pj_per_ac": float("inf")}])
def test_constants_out_of_range_are_refused(constants):
    with pytest.raises(bb.InputError, match="to be a number above 0"):
        EnergyModel(**constants)


def test_spikes_of_any_height_count_as_one_and_accumulate():
    layer = nn.Sequential(ConvertedIF(v_threshold=0.75), nn.Linear(40, 3))
    with count_operations(layer) as counter:
        spikes, _ = layer[0](torch.rand(5, 40, generator=torch.Generator().manual_seed(0)), torch.zeros(5, 40))
        layer[1](spikes)
    found, fired = counter.take(), (spikes != 0).sum(1)
    assert fired.min() > 0
    assert torch.equal(found.spikes, fired)
    assert torch.equal(found.effective_acs, 3 * fired)
    assert not found.effective_macs.any()
