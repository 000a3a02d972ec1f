"""sinabs' modules as backbones. Needs the extra `sinabs`: `make test-adapters` runs this."""

import pytest

pytest.importorskip("sinabs", reason="the extra 'sinabs' is optional, and wants an older nir: make test-adapters")

import sinabs
import sinabs.layers as sl
import torch
from sinabs.activation import MembraneReset, SingleSpike
from torch import nn

import backbones as bb
from backbones.adapters import wrap
from tests.helpers.adapted import T, keeps_every_promise, logits, refilled_rows_run_afresh, running_mean, train


def squeezed(timesteps=T):
    """The framework's usual form for convolutions: batch and time in one axis."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False),
        sl.IAFSqueeze(num_timesteps=timesteps, min_v_mem=-1.0),
        nn.Flatten(),
        nn.Linear(128, 32),
        sl.LIFSqueeze(tau_mem=5.0, num_timesteps=timesteps, norm_input=False),
        nn.Linear(32, 10),
    )


def reset(net):
    for part in net.modules():
        if isinstance(part, sl.StatefulLayer):
            part.zero_grad()
            part.reset_states()


def own_loop(net):
    """The whole sequence in one call, as the framework runs it; states first at the batch's size."""

    def run(images):
        for part in net.modules():
            if isinstance(part, sl.StatefulLayer) and part.is_state_initialised():
                part.init_state_with_shape((len(images), *part.v_mem.shape[1:]))
        outputs = net(images.repeat_interleave(T, 0))
        reset(net)
        return outputs.unflatten(0, (-1, T)).transpose(0, 1)

    return run


def steps(net):
    """The framework's loop a timestep at a time: batch-independent layers see the batches that the adapter's do."""

    def run(images):
        layers = [part for part in net.modules() if isinstance(part, sl.SqueezeMixin)]
        reset(net)
        for part in net.modules():
            if isinstance(part, sl.StatefulLayer) and part.is_state_initialised():
                part.init_state_with_shape((len(images), *part.v_mem.shape[1:]))
        for layer in layers:
            layer.batch_size, layer.num_timesteps = -1, 1
        outputs = torch.stack([net(images) for _ in range(T)])
        for layer in layers:
            layer.batch_size, layer.num_timesteps = -1, T
        reset(net)
        return outputs

    return run


@pytest.fixture(scope="module")
def trained(digits):
    net = squeezed()
    return train(net, own_loop(net), digits)


def test_a_trained_network_keeps_every_promise(trained, digits):
    keeps_every_promise(wrap(trained, digits.train.images[:8], T), steps(trained), digits)


def test_the_framework_s_own_call_over_the_whole_sequence_gives_the_same_logits(trained, images):
    backbone = wrap(trained, images[:8], T)
    with torch.no_grad():
        expected = running_mean(own_loop(trained)(images / 255))
    torch.testing.assert_close(logits(backbone, images), expected)


def timed(*layers):
    """Layers for [B, T, …]."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(2), nn.Linear(64, 64), *layers, nn.Linear(64, 10)).eval()
    with torch.no_grad():
        net[1].weight *= 4
    return net


@pytest.mark.parametrize(
    "make",
    [
        lambda: sl.IAF(),
        lambda: sl.LIF(tau_mem=4.0, tau_syn=2.0, norm_input=False),
        lambda: sl.LIF(tau_mem=4.0, reset_fn=MembraneReset(0.1), spike_fn=SingleSpike),
        lambda: sl.ALIF(tau_mem=4.0, tau_adapt=4.0, norm_input=False),
        lambda: sl.ExpLeak(tau_mem=4.0),
    ],
)
def test_other_layers_over_time_are_stepped_on_their_time_axis(make, images):
    net = timed(make())
    backbone = wrap(net, images[:8], T)
    refilled_rows_run_afresh(backbone, images)
    reset(net)
    for part in net.modules():
        if isinstance(part, sl.StatefulLayer):
            part.init_state_with_shape((10, 64))
    with torch.no_grad():
        expected = net((images / 255).unsqueeze(1).repeat_interleave(T, 1)).transpose(0, 1)
    torch.testing.assert_close(logits(backbone, images), running_mean(expected))


def test_a_potential_at_the_threshold_fires_as_in_the_framework():
    backbone = wrap(nn.Sequential(sl.IAF()).eval(), torch.eye(4), 2, check=False)
    now, _ = backbone.step(backbone.start(torch.tensor([[1.0, 0.99, 0.0, 2.0]])))
    assert now.tolist() == [[1.0, 0.0, 0.0, 2.0]]


def test_a_network_converted_by_the_framework_is_a_backbone(images):
    torch.manual_seed(0)
    ann = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    network = sinabs.from_torch.from_model(ann, batch_size=1, spike_threshold=torch.tensor(0.2)).eval()
    refilled_rows_run_afresh(wrap(network.spiking_model, images[:8], T), images)


def test_the_module_is_left_as_it_was_found(trained, images):
    own_loop(trained)(torch.rand(3, 1, 8, 8))
    layer = trained[1]
    layer.v_mem = torch.rand(3, 8, 4, 4)
    before = layer.v_mem.clone()
    logits(wrap(trained, images[:8], T), images)
    assert torch.equal(layer.v_mem, before)
    assert (layer.batch_size, layer.num_timesteps) == (-1, T)


def test_the_fingerprint_is_of_the_weights_and_not_of_the_state(images):
    net = squeezed().eval()
    backbone = wrap(net, images[:8], T, check=False)
    first = backbone.fingerprint
    net(torch.rand(2 * T, 1, 8, 8))
    assert backbone.fingerprint == first == wrap(net, images[:8], T, check=False).fingerprint
    with torch.no_grad():
        net[4].tau_mem += 1
    assert backbone.fingerprint != first


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Sequential(nn.Flatten(2), sl.Merge(), nn.Linear(64, 10)).eval(), "without any"),
        (lambda: nn.Sequential(sl.SpikingMaxPooling2dLayer(2), squeezed()).eval(), "got 0, a pooling that sums"),
        (
            lambda: timed(sl.LIFRecurrent(4.0, nn.Linear(64, 64))),
            "got 2, a LIFRecurrent: it drops its recurrent spikes",
        ),
        (lambda: timed(sl.IAF()).train(), r"call \.eval\(\) first"),
    ],
)
def test_a_module_that_cannot_be_stepped_row_by_row_is_refused_by_name(make, message, images):
    with pytest.raises(bb.InputError, match=message):
        wrap(make(), images[:8], T)
