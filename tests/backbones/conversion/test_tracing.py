"""Torch modules become graphs with the same logits, or are refused by the path of the offending part."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, prune
from torchvision.models import resnet18

import backbones as bb
from backbones.conversion.converter import convert
from backbones.conversion.tracing import trace
from tests.helpers.traced import IMAGES, logits, seeded


class Block(nn.Module):
    """A residual block, with a ReLU used twice as torchvision's."""

    def __init__(self, norm=True):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6) if norm else nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.conv2(self.relu(self.norm(self.conv1(x))))
        out += x
        return self.relu(out)


class Net(nn.Module):
    """A module as users write it: modules, functions, a view, dropout."""

    def __init__(self, pool=None, middle=None):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.block = Block()
        self.middle = nn.Sequential(nn.Identity(), middle or nn.Identity())
        self.pool = pool or nn.AvgPool2d(2)
        self.fc1, self.fc2 = nn.Linear(6 * 6 * 6, 20), nn.Linear(20, 4)

    def forward(self, x):
        x = F.relu(self.conv(x))
        x = self.pool(self.middle(self.block(x)))
        x = F.dropout(x.view(x.size(0), -1), 0.5, self.training)
        return self.fc2(torch.relu(self.fc1(x)))


def test_a_module_and_its_graph_give_the_same_logits_and_the_module_is_left_alone():
    module = seeded(Net).train()
    network = trace(module, IMAGES, mean=[0.4, 0.5, 0.6], std=0.25)
    assert all(part.training for part in module.modules())
    inputs = (IMAGES / 255 - torch.tensor([0.4, 0.5, 0.6]).view(-1, 1, 1)) / 0.25
    torch.testing.assert_close(logits(network), module.eval()(inputs).detach())
    bb.check_backbone(network, IMAGES)
    assert [node["name"] for node in network.stem.nodes] == ["conv"]
    assert [node["name"] for node in network.head.nodes] == ["fc2"]


def test_a_converted_module_approaches_it_keeps_the_contract_and_is_saved(tmp_path):
    module = seeded(Net).eval()
    network = convert(module, IMAGES, timesteps=128, method="max")
    wanted = module(IMAGES / 255).detach()
    state, error = network.start(IMAGES), []
    for _ in range(128):
        found, state = network.step(state)
        error.append(float((found - wanted).abs().max() / wanted.std()))
    assert error[127] < 0.1
    assert error[127] < error[0] / 4
    assert {name: value.shape[1] for name, value in network.probe(state).items()} == {"hidden": 20, "membrane": 20}
    bb.check_backbone(convert(module, IMAGES, timesteps=5), IMAGES)
    bb.save(network, tmp_path / "net.safetensors")
    again = bb.load(tmp_path / "net.safetensors")
    assert again.fingerprint == network.fingerprint
    assert torch.equal(logits(again), logits(network))


def test_a_shortcut_around_the_first_relu_is_part_of_the_body():
    class PreAct(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.inner = nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Conv2d(16, 16, 1)
            self.fc = nn.Linear(16, 4)

        def forward(self, x):
            x = self.conv(x)
            x = x + self.inner(self.norm(x).relu())
            return self.fc(x.mean([2, 3]))

    module = seeded(PreAct).eval()
    network = trace(module, IMAGES)
    assert [node["name"] for node in network.stem.nodes] == ["conv"]
    assert [node["layer"] for node in network.head.nodes] == ["mean", "linear"]
    torch.testing.assert_close(logits(network), module(IMAGES / 255).detach())
    bb.check_backbone(convert(module, IMAGES, timesteps=4), IMAGES)


def test_torchvisions_resnet_is_traced_as_it_is():
    module = seeded(resnet18, num_classes=4).eval()
    images = IMAGES[:2].repeat(1, 1, 3, 3)
    network = trace(module, images, max_pool="spikes")
    assert sum(node["layer"] == "neuron" for node in network.body.nodes) == 17
    assert [node["name"] for node in network.head.nodes] == ["avgpool", "flatten", "fc"]
    torch.testing.assert_close(logits(network, images), module(images / 255).detach(), rtol=1e-3, atol=1e-3)


class FunctionalPool(nn.Module):
    def forward(self, x):
        return F.max_pool2d(x, 2)


@pytest.mark.parametrize("pool", [nn.MaxPool2d, FunctionalPool])
def test_max_pooling_of_spikes_is_refused_or_replaced_or_kept(pool):
    module = seeded(Net, pool() if pool is FunctionalPool else pool(2))
    with pytest.raises(bb.InputError, match=r"no max-pooling of spikes, got one at .*pool.*: pass max_pool='average'"):
        convert(module, IMAGES)
    replaced = seeded(Net)
    network = trace(module, IMAGES, max_pool="average")
    torch.testing.assert_close(logits(network), replaced.eval()(IMAGES / 255).detach())
    kept = trace(module, IMAGES, max_pool="spikes")
    torch.testing.assert_close(logits(kept), module.eval()(IMAGES / 255).detach())
    bb.check_backbone(convert(module, IMAGES, max_pool="spikes", timesteps=4), IMAGES)
    with pytest.raises(bb.InputError, match=r"max_pool, got 'median'. Known: average, refuse, spikes"):
        convert(module, IMAGES, max_pool="median")


def test_max_pooling_before_anything_spikes_is_exact_and_kept():
    module = seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(100, 3))
    )
    network = convert(module, IMAGES, timesteps=64, method="max")
    assert [node["layer"] for node in network.stem.nodes] == ["conv", "max-pool"]


class Branching(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)) if x.sum() > 0 else x.amax((2, 3))


class Doubling(nn.Module):
    def forward(self, x):
        return x * 2


class ShiftedRelu(nn.Module):
    """Changes a value in place after it was taken."""

    def forward(self, x):
        taken = x + x
        F.relu(x, inplace=True)
        return taken + x


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda: Net(middle=nn.Softplus()), "got Softplus at middle.1: put another layer in its place"),
        (lambda: Net(middle=nn.ReLU6()), "got ReLU6 at middle.1"),
        (lambda: Net(middle=Doubling()), "got the function mul at middle.1.mul"),
        (lambda: Net(middle=nn.BatchNorm2d(6, track_running_stats=False)), "without running statistics at middle.1"),
        (
            lambda: Net(middle=nn.Conv2d(6, 6, 3, padding=1, padding_mode="circular")),
            "padding_mode='circular' at middle.1",
        ),
        (lambda: Branching(), "a module that torch.fx can trace, but"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(432, 4)), "graph in which nothing spikes"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), r"that gives logits \[B, K\], got \[8, 4, 10, 10\]"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(7, 4)), "a module that takes images"),
        (
            lambda: Net(middle=nn.Sequential(nn.Conv2d(6, 6, 1), ShiftedRelu())),
            "whose graph gives its own logits, got others",
        ),
    ],
)
def test_a_module_that_a_graph_cannot_hold_is_refused_by_its_path(module, message):
    with pytest.raises(bb.InputError, match=message):
        convert(seeded(module), IMAGES)


class Shared(nn.Module):
    """Changes a shortcut in place after a pool."""

    def __init__(self, pool, inplace):
        super().__init__()
        self.stem, self.pool, self.act = nn.Conv2d(3, 8, 3), pool, nn.ReLU(inplace=inplace)
        self.mid, self.block, self.fc = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1), nn.Linear(8, 5)

    def forward(self, x):
        x = self.mid(self.pool(torch.relu(self.stem(x))))
        return self.fc((self.block(self.act(x)) + x).mean((2, 3)))


def test_a_module_whose_pools_are_replaced_is_compared_with_one_of_averages():
    network = trace(seeded(Shared, nn.MaxPool2d(2), False), IMAGES, max_pool="average")
    averages = seeded(Shared, nn.AvgPool2d(2), False).eval()
    torch.testing.assert_close(logits(network), averages(IMAGES / 255).detach())
    with pytest.raises(bb.InputError, match="whose graph gives its own logits, got others"):
        trace(seeded(Shared, nn.MaxPool2d(2), True), IMAGES, max_pool="average")


def test_differences_that_no_image_shows_are_found_on_noise():
    module = seeded(Net, middle=nn.Sequential(nn.Conv2d(6, 6, 1), ShiftedRelu()))
    with torch.no_grad():
        for name, value in module.named_parameters():
            if name.endswith("bias"):
                value.zero_()  # a black image has logits of 0, however the graph goes
    with pytest.raises(bb.InputError, match="whose graph gives its own logits, got others"):
        trace(module, torch.zeros_like(IMAGES))


def test_code_outside_the_layers_is_noticed():
    module = seeded(Net)
    module.register_forward_hook(lambda module, inputs, output: output * 2)
    with pytest.raises(bb.InputError, match="whose graph gives its own logits, got others"):
        trace(module, IMAGES)


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
        lambda layer: prune.ln_structured(layer, "weight", 0.5, n=2, dim=0),
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        parametrizations.orthogonal,
    ],
    ids=[
        "pruned",
        "pruned channels",
        "weight norm",
        "spectral norm",
        *("new weight norm", "new spectral norm"),
        "orthogonal",
    ],
)
def test_weights_that_are_computed_of_others_are_copied_as_they_are_in_evaluation(change):
    module = seeded(Net)
    seeded(change, module.block.conv1)
    seeded(change, module.fc1)
    module(IMAGES / 255)  # in training: spectral norms move
    module.eval()
    with torch.no_grad():
        wanted = module(IMAGES / 255)
    torch.testing.assert_close(logits(trace(module, IMAGES)), wanted)


def test_means_are_arrays_too():
    module, mean = seeded(Net), [0.4, 0.5, 0.6]
    networks = [trace(module, IMAGES, mean=kind(mean), std=np.float32(0.25)) for kind in (list, np.array, torch.tensor)]
    for network in networks[1:]:
        torch.testing.assert_close(logits(network), logits(networks[0]))
        assert network.fingerprint


def test_arrays_and_splits_are_images_too(digits):
    module = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10)))
    frozen = digits.train.images[:64].copy()
    frozen.flags.writeable = False
    samples = digits.train.select(slice(64))
    found = {convert(module, given, timesteps=4).fingerprint for given in (torch.tensor(frozen), frozen, samples)}
    assert len(found) == 1
    with pytest.raises(bb.InputError, match=r"Expected images to be a tensor or .*, got 'digits'"):
        convert(module, "digits")


def test_names_that_a_layer_cannot_have_and_other_settings_of_modules():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.image, self.keys, self.values, self.fc = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ReLU(), nn.Linear(36, 5)

        def forward(self, x):
            x = self.values(F.avg_pool2d(self.keys(self.image(x)), 3, 3, 0, True, True, 2))
            return self.fc(F.adaptive_avg_pool2d(x, 3).flatten(1))

    module = seeded(Named).eval()
    torch.testing.assert_close(logits(trace(module, IMAGES)), module(IMAGES / 255).detach())
    double = copy.deepcopy(module).double()
    torch.testing.assert_close(logits(trace(double, IMAGES)), double(IMAGES.double() / 255).float().detach())


class Lengthwise(nn.Module):
    def forward(self, x):
        return x.view(len(x), -1)


class OverBatch(nn.Module):
    def forward(self, x):
        return x + x.mean(0, keepdim=True)


class Returns(nn.Module):
    def __init__(self, what):
        super().__init__()
        self.net, self.what = Net(), what

    def forward(self, x):
        return self.what(self.net(x))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda: Net(middle=Lengthwise()), "torch.fx can trace, but: 'len' is not supported"),
        (lambda: Net(middle=OverBatch()), "the layer 'mean' over the batch at middle.1.mean"),
        (lambda: Returns(lambda y: (y, y)), "logits"),
        (lambda: Returns(lambda y: {"logits": y}), "logits"),
        (lambda: Returns(lambda y: torch.cat([y, y])), "over the batch"),
        (lambda: Returns(lambda y: y.argmax(1)), "the function argmax"),
        (lambda: Returns(lambda y: y[:, :2]), "the function getitem"),
        (lambda: Returns(lambda y: list(y)), "torch.fx can trace"),
        (lambda: Returns(lambda y: y if y.requires_grad else -y), "torch.fx can trace"),
        (lambda: Returns(lambda y: np.asarray(y)), "torch.fx can trace"),
        (lambda: Returns(lambda y: y.numpy()), "the function numpy"),
        (lambda: Returns(lambda y: 1 / 0), "torch.fx can trace, but: division by zero"),
        (lambda: Returns(lambda y: F.dropout(y)), "others"),
        (lambda: nn.DataParallel(Net()), "Expected"),
        (lambda: nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4)), "Lazy"),
        (lambda: torch.relu, "Expected ann to be a Module, got a builtin"),
        (lambda: None, "Expected ann to be a Module, got None"),
    ],
)
def test_a_module_that_cannot_be_traced_is_one_sentence(module, message):
    with pytest.raises(bb.InputError, match=message):
        convert(seeded(module), IMAGES)


@pytest.mark.parametrize(
    ("images", "settings", "message"),
    [
        (IMAGES / torch.nan, {}, "finite logits on the first images|NaN"),
        (IMAGES[:, :1], {}, "a module that takes images"),
        (IMAGES, {"mean": [0.1, 0.2]}, "a module that takes images"),
        (IMAGES, {"mean": "grey"}, "Expected mean to be a number or .*, got 'grey'"),
        (IMAGES, {"std": 0.0}, "finite logits on the first images"),
        (IMAGES, {"timesteps": 2.5}, "Expected timesteps to be a whole number of 1 or more, got 2.5"),
        (IMAGES, {"batch_size": 0}, "batch_size to be a whole number of 1 or more, got 0"),
        (IMAGES[:0], {}, "images .N, C, H, W., got"),
        (None, {}, "to set a module's thresholds on, got none"),
    ],
)
def test_wrong_arguments_beside_a_module_are_one_sentence(images, settings, message):
    with pytest.raises(bb.InputError, match=message):
        convert(seeded(Net), images, **settings)


def test_settings_of_modules_are_refused_for_networks_that_have_their_own():
    network = trace(seeded(Net), IMAGES)
    for settings in ({"mean": 0.5}, {"std": np.ones(3)}, {"max_pool": "average"}, {"activations": {}}):
        with pytest.raises(bb.InputError, match=f"Expected {next(iter(settings))} for a torch module only"):
            convert(network, IMAGES, **settings)
    with pytest.raises(bb.InputError, match="a plain network to convert, got one of form"):
        convert(network.optimize(), IMAGES)
    assert convert(network, IMAGES, timesteps=np.int64(3)).timesteps == 3
