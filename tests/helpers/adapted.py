"""The checks that every adapter of a framework passes."""

import numpy as np
import torch
from torch import nn

import backbones as bb
import seenn_env
from backbones import contract
from backbones.contract import make_keys

T, BATCH = 4, 64


def digits_as_floats(samples):
    return torch.from_numpy(samples.images).float() / 255, torch.from_numpy(samples.labels)


def train(module, run, splits, *, epochs=4, learning_rate=1e-2):
    """A few epochs on the mean output; `run(images) -> [T, B, K]` is the framework's own loop."""
    images, labels = digits_as_floats(splits.train)
    optimizer = torch.optim.Adam(module.parameters(), learning_rate)
    rng = torch.Generator().manual_seed(0)
    module.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(images), generator=rng).split(50):
            loss = nn.functional.cross_entropy(4 * run(images[rows]).mean(0), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    module.eval()
    with torch.no_grad():
        right = run(images).mean(0).argmax(1) == labels
    assert right.float().mean() > 0.85, "the network has to have learned something"
    return module


def running_mean(outputs):
    """`[T, B, K]` outputs to `[B, T, K]` logits, added up one by one."""
    total, found = torch.zeros_like(outputs[0]), []
    for t, output in enumerate(outputs, 1):
        total = total + output
        found.append(total / t)
    return torch.stack(found, 1)


def recorded_like_its_own_loop(backbone, run, samples):
    """`seenn_env.record` and the framework's loop, padded to the same batches, agree to the bit."""
    some = samples.select(np.arange(100))
    traces = seenn_env.record(backbone, some, batch_size=BATCH)
    images, _ = digits_as_floats(some)
    expected = []
    with torch.no_grad():
        for begin in range(0, len(images), BATCH):
            rows = np.minimum(np.arange(begin, begin + BATCH), len(images) - 1)
            expected.append(running_mean(run(images[rows])))
    logits = torch.from_numpy(np.array(traces.logits))
    assert logits.shape == (100, T, 10)
    assert torch.unique(logits).numel() >= T
    assert torch.equal(logits, torch.cat(expected)[: len(images)])


def logits_of(backbone, images, refills=()):
    """`[T', B, K]`; `refills` are (before which timestep, rows, images), and add timesteps till all are through."""
    state, found = backbone.start(images), []
    last = max([moment for moment, _, _ in refills], default=0)
    for t in range(last + backbone.timesteps):
        for moment, rows, new in refills:
            if moment == t:
                state = backbone.refill(state, rows, new)
        logits, state = backbone.step(state)
        found.append(logits)
    return torch.stack(found)


def logits(backbone, images):
    """`[B, T, K]` of a whole run."""
    return logits_of(backbone, images).transpose(0, 1)


def refilled_rows_run_afresh(backbone, images):
    """Rows 2 and 5 of 8, refilled mid-run, are fresh runs; the others do not notice. To the bit."""
    old, new, rows, moment = images[:8], images[8:10], torch.tensor([2, 5]), 2
    others = torch.tensor([0, 1, 3, 4, 6, 7])
    replaced = old.clone()
    replaced[rows] = new
    mixed = logits_of(backbone, old, [(moment, rows, new)])
    fresh, undisturbed = logits_of(backbone, replaced), logits_of(backbone, old)
    assert torch.equal(mixed[moment : moment + T, rows], fresh[:, rows])
    assert torch.equal(mixed[:T, others], undisturbed[:, others])
    assert not torch.equal(fresh[:, rows], undisturbed[:, rows])


def keeps_every_promise(backbone, run, splits):
    """The contract, recording, refills and accuracy of a wrapped network."""
    images = torch.from_numpy(splits.test.images)
    bb.check_backbone(backbone, images[:8])
    recorded_like_its_own_loop(backbone, run, splits.test)
    refilled_rows_run_afresh(backbone, images)
    accuracy = contract.accuracy(backbone, splits.test.images, splits.test.labels, make_keys(splits.test.index))
    assert accuracy[-1] > 0.75


def small_graph(tau, r):
    """A NIR graph: linear - LIF - linear."""
    import nir

    rng = np.random.default_rng(0)
    weight, bias, out = (rng.normal(size=size).astype(np.float32) for size in ((32, 64), 32, (10, 32)))
    values = {"tau": tau, "r": r, "v_leak": 0, "v_threshold": 0.3}
    lif = nir.LIF(**{name: np.full(32, value, np.float32) for name, value in values.items()})
    return nir.NIRGraph.from_list(nir.Affine(0.4 * weight, bias), lif, nir.Affine(out, np.zeros(10, np.float32)))
