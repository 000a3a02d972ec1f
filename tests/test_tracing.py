"""Torch modules become graphs that compute what they do, or are refused by the path of what is in the way."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18

import backbones as bb
from backbones.conversion import convert
from backbones.tracing import trace

IMAGES = torch.randint(256, (8, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


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
    """What users write: modules, functions, a view, dropout."""

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


def seeded(make, *arguments, **settings):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make(*arguments, **settings)


def logits(network, images=IMAGES):
    return network.step(network.start(images))[0]


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
def test_what_a_graph_cannot_hold_is_refused_by_its_path(module, message):
    with pytest.raises(bb.InputError, match=message):
        convert(seeded(module), IMAGES)
