"""Images for modules that are traced, and modules whose weights are drawn from one seed."""

import torch

IMAGES = torch.randint(256, (8, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def seeded(make, *arguments, **settings):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make(*arguments, **settings)


def logits(network, images=IMAGES):
    return network.step(network.start(images))[0]
