"""Augmentation is a pure function of (seed, epoch, key), and does what it says."""

import pytest
import torch

from backbones.augmentation import augment

IMAGES = torch.arange(1, 1 + 6 * 3 * 8 * 8).remainder(251).add(1).to(torch.uint8).view(6, 3, 8, 8)
KEYS = torch.arange(6) * 1000
ALL = {"crop": 2, "flip": True, "cutout": 3}


def test_the_same_seed_epoch_and_key_give_the_same_image_in_any_batch():
    whole = augment(IMAGES, KEYS, seed=1, epoch=2, **ALL)
    order = torch.tensor([4, 0, 3])
    assert torch.equal(augment(IMAGES[order], KEYS[order], seed=1, epoch=2, **ALL), whole[order])


@pytest.mark.parametrize("change", [{"seed": 3}, {"epoch": 3}])
def test_another_seed_or_epoch_gives_other_images(change):
    one = augment(IMAGES, KEYS, seed=1, epoch=2, **ALL)
    other = augment(IMAGES, KEYS, **{"seed": 1, "epoch": 2, **change}, **ALL)
    assert not torch.equal(one, other)


def test_without_options_images_stay():
    out = augment(IMAGES, KEYS, seed=0, epoch=0)
    assert torch.equal(out, IMAGES)
    assert out.dtype == torch.uint8


def test_half_of_the_images_are_mirrored():
    images = IMAGES[:1].expand(2000, -1, -1, -1)
    out = augment(images, torch.arange(2000), seed=0, epoch=0, flip=True)
    mirrored = (out == images.flip(3)).all((1, 2, 3))
    same = (out == images).all((1, 2, 3))
    assert bool((mirrored ^ same).all())
    assert 900 < int(mirrored.sum()) < 1100


def test_a_crop_is_a_shift_of_at_most_the_padding_and_reaches_each():
    images = IMAGES[:1].expand(600, -1, -1, -1)
    out = augment(images, torch.arange(600), seed=0, epoch=0, crop=1, fill=(7, 8, 9))
    padded = torch.tensor([7, 8, 9], dtype=torch.uint8).view(1, 3, 1, 1).repeat(1, 1, 10, 10)
    padded[:, :, 1:-1, 1:-1] = IMAGES[:1]
    shifts = [padded[:, :, y : y + 8, x : x + 8] for y in range(3) for x in range(3)]
    hits = torch.stack([(out == shift).all(3).all(2).all(1) for shift in shifts])
    assert bool((hits.sum(0) == 1).all())
    assert bool((hits.sum(1) > 30).all())


def test_cutout_paints_a_square_that_may_stick_out():
    images = IMAGES[:1].expand(500, -1, -1, -1)
    painted = augment(images, torch.arange(500), seed=0, epoch=0, cutout=4) == 0
    assert torch.equal(painted[:, 0], painted[:, 2])
    areas = painted[:, 0].sum((1, 2))
    assert areas.max() == 16
    assert areas.min() == 4
    rows, columns = painted[:, 0].any(2).sum(1), painted[:, 0].any(1).sum(1)
    assert torch.equal(rows * columns, areas)
