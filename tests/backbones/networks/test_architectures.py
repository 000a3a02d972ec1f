"""Networks for images: sizes known from the literature, the contract, one answer from both forms."""

import pytest
import torch

import backbones as bb
from backbones.networks import SpikingNetwork
from backbones.networks.neurons.neuron import LIF, PLIF

IMAGES = torch.randint(256, (6, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
NARROW = {
    "resnet9": 4,
    "resnet18": 4,
    "resnet19": 4,
    "resnet20": 4,
    "resnet34": 4,
    "vgg11": 4,
    "vgg16": 4,
    "vggsnn": 4,
}
ALL = pytest.mark.parametrize("name", NARROW)


def narrow(name: str, **settings) -> SpikingNetwork:
    neuron = settings.pop("neuron", {"type": "lif", "v_threshold": 0.5})
    return warm(
        bb.build(
            name,
            num_classes=5,
            timesteps=3,
            input_shape=(3, 16, 16),
            neuron=neuron,
            mean=0.5,
            std=0.25,
            width=NARROW[name],
            **settings,
        )
    )


def warm(network: SpikingNetwork) -> SpikingNetwork:
    """Norm statistics of these images, so that no layer is silent."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(IMAGES)
    return network.eval()


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("name", "count", "layers"),
    [
        ("resnet9", 4_378_122, 10),
        # SEENN's released network at 128 channels; see below for the 12.63 million of others
        ("resnet19", 12_569_226, 17),
        # torchvision's 11,689,512, with a 3×3 stem (-7,680) and 10 classes (-507,870)
        ("resnet18", 11_173_962, 17),
        # torchvision's 21,797,672, likewise
        ("resnet34", 21_282_122, 33),
        # He et al. 2016: 0.27 million (here with 1×1 shortcuts)
        ("resnet20", 272_474, 19),
        # torchvision's vgg11_bn and vgg16_bn: their features without convolution biases, and 5,130 of the readout
        ("vgg11", 9_228_362, 8),
        ("vgg16", 14_723_136 - 4_224 + 5_130, 13),
    ],
)
def test_sizes_are_the_known_ones(name, count, layers):
    network = bb.build(name, num_classes=10, timesteps=4)
    assert parameters(network) == count
    assert sum(isinstance(module, LIF) for module in network.modules()) == layers


def resnet19_by_hand(stem: int, head: tuple[int, ...]) -> int:
    """Weights of convolutions without biases, norms of two each a channel, and linear layers with biases."""
    count, before = 9 * 3 * stem + 2 * stem, stem
    for channels, blocks in ((128, 3), (256, 3), (512, 2)):
        for _ in range(blocks):
            count += 9 * before * channels + 9 * channels**2 + 4 * channels
            if before != channels:
                count += before * channels + 2 * channels  # the 1×1 shortcut
            before = channels
    for features in head:
        count += before * features + features
        before = features
    return count


def test_the_two_published_sizes_of_resnet19_differ_by_stem_and_head():
    assert resnet19_by_hand(stem=128, head=(10,)) == 12_569_226
    other = resnet19_by_hand(stem=64, head=(256, 10))
    assert other == 12_630_858  # the 12.63 million of later papers' tables
    assert other - 12_569_226 == 128_768 - 67_136  # a hidden layer of 256, less 64 channels of stem and first block


def test_vggsnn_takes_event_frames():
    network = bb.build("vggsnn", num_classes=10, timesteps=2, input_shape=(2, 48, 48))
    assert network.head[-1].in_features == 512 * 3 * 3
    assert sum(isinstance(module, LIF) for module in network.modules()) == 8
    assert network(torch.rand(1, 2, 48, 48)).shape == (2, 1, 10)


@ALL
def test_every_network_keeps_the_contract(name):
    bb.check_backbone(narrow(name), IMAGES)


@ALL
def test_both_forms_give_the_same_logits(name):
    network = narrow(name)
    outputs = network(IMAGES)
    assert outputs.shape == (3, 6, 5)
    state = network.start(IMAGES)
    for t in range(3):
        logits, state = network.step(state)
        torch.testing.assert_close(logits, outputs[: t + 1].mean(0))


@ALL
def test_every_weight_gets_a_gradient(name):
    network = narrow(name).train()
    network(IMAGES).square().mean().backward()
    silent = [weight for weight, value in network.named_parameters() if value.grad is None]
    assert silent == []


def test_fewer_timesteps_are_the_first_of_more():
    network = narrow("resnet9")
    torch.testing.assert_close(network(IMAGES, timesteps=1), network(IMAGES)[:1])


def test_a_large_stem_quarters_the_image():
    assert narrow("resnet18", stem="large").start(IMAGES).source.shape[2:] == (4, 4)
    with pytest.raises(bb.InputError, match=r"stem, got 'huge'. Known: large, small"):
        narrow("resnet18", stem="huge")


def test_an_odd_side_is_rounded_up_in_the_shortcut_too():
    network = bb.build("resnet20", num_classes=5, timesteps=1, input_shape=(3, 13, 13), width=4)
    assert network(torch.rand(2, 3, 13, 13)).shape == (1, 2, 5)


@pytest.mark.parametrize("v_threshold", [0.5, 2.0])
def test_tdbn_follows_the_threshold_of_the_neurons(v_threshold):
    network = bb.build(
        "resnet9", num_classes=5, timesteps=1, width=4, neuron={"type": "lif", "v_threshold": v_threshold}
    )
    assert network.stem[1].scale == v_threshold


def test_a_learned_leak_starts_at_its_setting_and_learns():
    network = narrow("resnet9", neuron={"type": "plif", "decay": 0.7, "v_threshold": 0.5})
    bb.check_backbone(network, IMAGES)
    neuron = network.body.neuron
    assert isinstance(neuron, PLIF)
    assert neuron.leak().item() == pytest.approx(0.7)
    network.train()(IMAGES).square().mean().backward()
    assert neuron.w.grad.abs() > 0
    with pytest.raises(bb.InputError, match="to learn from, got 1"):
        PLIF(decay=1.0)


def test_a_learned_leak_moves_as_the_fixed_one_does():
    current, v = torch.tensor([0.25]), torch.tensor([0.5])
    for one, other in zip(PLIF(decay=0.5)(current, v), LIF(decay=0.5)(current, v), strict=True):
        assert torch.equal(one, other)
