"""Augmentation is a pure function of (seed, epoch, key), and its operations are those of their names."""

import numpy as np
import pytest
import torch

from backbones import InputError
from backbones.data.transforms import auto_augment
from backbones.data.transforms.augmentation import augment
from backbones.data.transforms.auto_augment import UNIFORMS
from backbones.keyed_random import hash_uniform

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


def test_all_frames_of_a_row_change_in_the_same_way():
    still = IMAGES[:, None].expand(-1, 4, -1, -1, -1)
    one = augment(IMAGES, KEYS, seed=1, epoch=2, roll=2, fill=(7, 8, 9), **ALL)
    over_time = augment(still, KEYS, seed=1, epoch=2, roll=2, fill=(7, 8, 9), **ALL)
    assert over_time.shape == (6, 4, 3, 8, 8)
    assert all(torch.equal(over_time[:, t], one) for t in range(4))
    floats = augment(still.float() - 0.5, KEYS, seed=1, epoch=2, roll=2, flip=True)
    assert torch.equal(floats + 0.5, augment(still, KEYS, seed=1, epoch=2, roll=2, flip=True).float())


def test_a_roll_loses_nothing_and_reaches_each_shift():
    images = IMAGES[:1].expand(600, -1, -1, -1)
    out = augment(images, torch.arange(600), seed=0, epoch=0, roll=1)
    shifts = [IMAGES[0].roll((y, x), (1, 2)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    hits = torch.stack([(out == shift).all(3).all(2).all(1) for shift in shifts])
    assert bool((hits.sum(0) == 1).all())
    assert bool((hits.sum(1) > 30).all())


def test_more_choices_keep_the_draws_of_the_others():
    uniform = hash_uniform(1, KEYS, torch.full_like(KEYS, 2), 5)
    assert torch.equal(hash_uniform(1, KEYS, torch.full_like(KEYS, 2), 12)[:, :5], uniform)


PICTURES = torch.from_numpy(np.random.default_rng(0).integers(256, size=(64, 3, 12, 12), dtype=np.uint8))


def test_auto_augment_is_a_function_of_seed_epoch_and_key_in_any_batch():
    keys = torch.arange(64) * 7
    whole = augment(PICTURES, keys, seed=1, epoch=2, auto=True, crop=2)
    for rows in (torch.tensor([40]), torch.randperm(64)[:9], torch.arange(63, -1, -1)):
        assert torch.equal(augment(PICTURES[rows], keys[rows], seed=1, epoch=2, auto=True, crop=2), whole[rows])
    other = augment(PICTURES, keys, seed=1, epoch=3, auto=True, crop=2)
    assert not torch.equal(other, whole)


def test_auto_augment_draws_every_policy_by_its_chance_and_strength():
    N = 40_000
    uniform = hash_uniform(0, torch.arange(N), torch.zeros(N, dtype=torch.int64), UNIFORMS)
    calls: dict[tuple[str, int, int], int] = {}

    def count(operation, images, strength, sign, fill):
        key = (operation, strength, sign)
        calls[key] = calls.get(key, 0) + len(images)
        return images

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auto_augment, "apply", count)
        auto_augment.auto_augment(torch.zeros(N, 3, 1, 1, dtype=torch.uint8), uniform, [0, 0, 0])
    each = N / 25
    assert calls["rotate", 2, 1] == pytest.approx(0.7 * each / 2, rel=0.15)
    assert calls["rotate", 2, -1] == pytest.approx(0.7 * each / 2, rel=0.15)
    assert calls["translate_y", 9, 1] == pytest.approx((0.7 + 0.9 + 0.7 + 0.7) * each / 2, rel=0.1)
    # Cubuk et al., table 7: Equalize is in 9 policies' steps, Invert in three, one of them with chance 0.
    assert calls["equalize", 0, 1] == pytest.approx(
        (0.9 + 0.6 + 0.5 + 0.3 + 0.2 + 0.2 + 0.6 + 0.6 + 0.8) * each, rel=0.05
    )
    assert calls["invert", 0, 1] == pytest.approx((0.1 + 0.0 + 0.1) * each, rel=0.2)
    assert not any(operation in ("posterize", "solarize") and sign < 0 for operation, _, sign in calls)


@pytest.mark.parametrize(
    ("operation", "strength", "sign", "expected"),
    [
        ("invert", 0, 1, lambda x: 255 - x),
        ("posterize", 7, 1, lambda x: x & 0b11111000),  # 8 - round(4·7/9) = 5 bits
        ("solarize", 3, 1, lambda x: torch.where(x >= 170, 255 - x, x)),
        ("brightness", 9, -1, lambda x: (0.1 * x).to(torch.uint8)),
        ("translate_x", 9, 1, lambda x: torch.cat([torch.full_like(x[..., :5], 9), x[..., :-5]], -1)),
        ("translate_y", 3, -1, lambda x: torch.cat([x[..., 1:, :], torch.full_like(x[..., :1, :], 9)], -2)),
        ("color", 0, 1, lambda x: x),
    ],
)
def test_operations_are_those_of_their_names(operation, strength, sign, expected):
    made = auto_augment.apply(operation, PICTURES, strength, sign, [9, 9, 9])
    assert (made.int() - expected(PICTURES).int()).abs().max() <= 1


@pytest.mark.parametrize("images", [PICTURES[:, :2], PICTURES.float(), PICTURES[:, None]])
def test_auto_augment_refuses_images_that_it_has_no_operations_for(images):
    with pytest.raises(InputError, match="1 or 3 channels to change by AutoAugment, got"):
        augment(images, torch.arange(64), seed=0, epoch=0, auto=True)
