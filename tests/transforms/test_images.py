from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mgic_geo.errors import DataError
from mgic_geo.transforms.images import (
    color_jitter,
    normalize,
    random_crop,
    random_erase,
    random_flip,
    random_resized_crop,
    resize_center_crop,
    scale_jitter_crop,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pixels(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator(seed))


RANDOM: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "random_crop": lambda x, g: random_crop(x, 2, g),
    "random_flip": lambda x, g: random_flip(x, g),
    "random_erase": lambda x, g: random_erase(x, g),
    "color_jitter": lambda x, g: color_jitter(x, g, brightness=2, contrast=2, saturation=2),
    "random_resized_crop": lambda x, g: random_resized_crop(x[0], 7, g),
    "scale_jitter_crop": lambda x, g: scale_jitter_crop(x[0], x[0, 0].long(), 7, g)[0],
}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("name", RANDOM)
def test_the_generator_decides_and_type_and_range_stay(name: str, dtype: torch.dtype) -> None:
    images = pixels(4, 3, 12, 10)
    if dtype != torch.uint8:
        images = images.to(dtype) / 255
    before = images.clone()
    state = torch.get_rng_state()
    out = [RANDOM[name](images, generator(seed)) for seed in range(20)]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images, before)
    assert torch.equal(out[3], RANDOM[name](images, generator(3)))
    assert any(not torch.equal(out[0], other) for other in out[1:])
    assert {x.dtype for x in out} == {dtype}
    assert min(x.min() for x in out) >= 0
    assert max(x.max() for x in out) <= (255 if dtype == torch.uint8 else 1)


def test_erasing_covers_one_rectangle_of_the_announced_size() -> None:
    images = pixels(500, 3, 24, 20).clamp(max=250)
    fill = (1.0, 1.0, 1.0)
    covered = (random_erase(images, generator(), 1.0, area=(0.1, 0.4), fill=fill) == 255).all(1)
    high, wide = covered.any(2).sum(1), covered.any(1).sum(1)
    assert torch.equal(covered.sum((1, 2)), high * wide)  # a whole rectangle, and nothing else
    share = high * wide / (24 * 20)
    assert 0.08 < share.min() < 0.15
    assert 0.33 < share.max() < 0.43
    assert (high / wide).log().mean().abs() < 0.1
    assert ((high / wide).max() > 2.0) & ((high / wide).min() < 0.5)
    # every pixel has its turn, and nothing happens to the other images
    assert covered.any(0).all()
    assert torch.equal(random_erase(images, generator(), 0.0), images)
    some = random_erase(images, generator(), 0.3, fill=fill)
    assert 0.2 < (some != images).flatten(1).any(1).float().mean() < 0.4
    square = random_erase(images, generator(), 1.0, area=(0.3, 0.3), aspect=1.0, fill=fill)
    assert {(12, 12)} == set(
        zip(
            (square == 255).all(1).any(2).sum(1).tolist(),
            (square == 255).all(1).any(1).sum(1).tolist(),
        )
    )


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
def test_normalize_is_the_formula(dtype: torch.dtype) -> None:
    images = pixels(2, 3, 5, 4).to(memory_format=torch.channels_last)
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.3, 0.4)
    given = images if dtype == torch.uint8 else images.to(dtype) / 255
    out = normalize(given, mean, std)
    expected = torch.stack(
        [(images[:, i].double() / 255 - mean[i]) / std[i] for i in range(3)], dim=1
    )
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-6)
    assert out.dtype == (torch.float32 if dtype == torch.uint8 else dtype)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(normalize(given[0], mean, std), out[0])


def test_a_crop_is_a_slice_of_the_padded_image() -> None:
    images, padding = pixels(60, 3, 6, 5), 2
    out = random_crop(images, padding, generator())
    places = set()
    for image, crop in zip(images, out):
        padded = torch.zeros(3, 10, 9, dtype=torch.uint8)
        padded[:, 2:8, 2:7] = image
        fits = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if torch.equal(padded[:, top : top + 6, left : left + 5], crop)
        ]
        assert len(fits) == 1
        places.add(fits[0])
    assert {top for top, _ in places} == {left for _, left in places} == set(range(5))
    assert torch.equal(random_crop(images, 0, generator()), images)
    assert random_crop(images[0], padding, generator()).shape == (3, 6, 5)


def test_flipping_twice_is_the_identity_and_masks_follow() -> None:
    images = pixels(40, 3, 4, 5)
    masks = images[:, 0].long()
    once, flipped = random_flip(images, generator(), masks=masks)
    assert torch.equal(once[:, 0].long(), flipped)
    twice, back = random_flip(once, generator(), masks=flipped)
    assert torch.equal(twice, images)
    assert torch.equal(back, masks)
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(once, images)]
    assert all(torch.equal(a, b) or m for a, b, m in zip(once, images, mirrored))
    assert 10 < sum(mirrored) < 30
    assert torch.equal(random_flip(images, generator(), 1.0), images.flip(-1))
    assert torch.equal(random_flip(images, generator(), 0.0), images)
    one, mask = random_flip(images[0], generator(), 1.0, masks=masks[0])
    assert torch.equal(one[0].long(), mask)


def test_color_options_do_what_they_say() -> None:
    images = torch.rand(50, 3, 6, 6, dtype=torch.float64) / 2 + 0.2
    assert torch.equal(color_jitter(images, generator()), images)

    brighter = color_jitter(images, generator(), brightness=0.2)
    ratio = brighter / images
    assert (ratio - ratio[:, :1, :1, :1]).abs().max() < 1e-12  # one factor an image
    assert 0.8 <= ratio.min() < 0.85
    assert 1.15 < ratio.max() <= 1.2

    luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(3, 1, 1)
    grey = (images * luma).sum(1, keepdim=True)
    for option, reference in (
        ("contrast", grey.mean((2, 3), keepdim=True)),
        ("saturation", grey),
    ):
        changed = color_jitter(images, generator(), **{option: 0.2})
        factor = (changed - reference) / (images - reference)
        assert (factor - factor[:, :1, :1, :1]).abs().max() < 1e-6
        assert factor.flatten(1)[:, 0].unique().numel() == 50
        assert factor.min() >= 0.8 - 1e-6
        assert factor.max() <= 1.2 + 1e-6

    eight = pixels(8, 3, 6, 6)
    options = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4}
    exact = color_jitter(eight.double() / 255, generator(), **options) * 255
    assert (color_jitter(eight, generator(), **options) - exact).abs().max() < 0.51


def test_resized_crops_keep_to_scale_and_ratio() -> None:
    rows = torch.linspace(0, 1, 64, dtype=torch.float64).view(1, -1, 1).expand(1, 64, 96)
    columns = torch.linspace(0, 1, 96, dtype=torch.float64).view(1, 1, -1).expand(1, 64, 96)
    ramps = torch.cat([rows, columns])
    draws = generator()
    shares = []
    for _ in range(60):
        out = random_resized_crop(ramps, (32, 32), draws, (0.3, 0.6), (0.5, 2.0))
        assert out.shape == (2, 32, 32)
        # the slope of each ramp tells the length of the side
        height = (out[0, 30, 8] - out[0, 1, 8]).item() * 63 * 32 / 29
        width = (out[1, 8, 30] - out[1, 8, 1]).item() * 95 * 32 / 29
        assert 0.45 < width / height < 2.2
        shares.append(height * width / (64 * 96))
    assert 0.27 < min(shares) < 0.36
    assert 0.54 < max(shares) < 0.65


def test_whole_images_and_impossible_ratios() -> None:
    image = pixels(3, 9, 9)
    whole = random_resized_crop(image, 9, generator(), (1.0, 1.0), (1.0, 1.0))
    assert torch.equal(whole, image)
    strip = torch.zeros(1, 4, 100)
    strip[:, :, 48:52] = 1.0  # a square in the middle is all that there is
    assert random_resized_crop(strip, 4, generator(), (0.9, 1.0), (1.0, 1.0)).min() == 1.0


def test_center_crop_resizes_by_one_factor() -> None:
    image = torch.zeros(3, 40, 80)
    image[:, 15:25, 35:45] = 1.0  # a square in the middle stays one
    out = resize_center_crop(image, 32, 32)
    assert out.shape == (3, 32, 32)
    torch.testing.assert_close(out, out.flip(-1))
    torch.testing.assert_close(out, out.transpose(1, 2))
    torch.testing.assert_close(out.sum(), 3 * torch.tensor(8.0**2), rtol=1e-4, atol=0)
    smaller = resize_center_crop(image, 28)  # of 32 by default, as 224 of 256
    torch.testing.assert_close(smaller, out[:, 2:-2, 2:-2])
    assert torch.equal(resize_center_crop(image[:, :, :40], 40, 40), image[:, :, :40])
    assert resize_center_crop(image, (7, 30)).shape == (3, 7, 30)


def test_antialiasing() -> None:
    stripes = torch.zeros(1, 64, 64)
    stripes[:, :, ::2] = 1.0
    out = resize_center_crop(stripes, 14, 18)
    assert (out - 0.5).abs().max() < 0.05


def test_image_and_mask_stay_together_at_scale_one() -> None:
    image = pixels(3, 20, 30)
    mask = image[0].long()
    for seed in range(10):
        out, classes = scale_jitter_crop(image, mask, (8, 9), generator(seed), (1.0, 1.0))
        assert torch.equal(out[0].long(), classes)
        assert out.shape == (3, 8, 9)
        assert classes.dtype == torch.int64
    everything, classes = scale_jitter_crop(image, mask, (20, 30), generator(), (1.0, 1.0))
    assert torch.equal(everything, image)
    assert torch.equal(classes, mask)


def test_image_and_mask_stay_together_at_any_scale() -> None:
    values = torch.tensor([0.0, 1.0])
    mask = pixels(10, 12).gt(127).long().repeat_interleave(6, 0).repeat_interleave(6, 1)
    image = values[mask].expand(3, -1, -1)
    sizes, agreement = set(), []
    for seed in range(40):
        out, classes = scale_jitter_crop(image, mask, 48, generator(seed), ignore_index=255, fill=2)
        assert torch.equal(classes == 255, out[0] == 2)
        covered = classes != 255
        agreement.append(((out[0] > 0.5) == (classes == 1))[covered].float().mean().item())
        inner = covered & ((out[0] == 0) | (out[0] == 1))
        assert inner.float().mean() > 0.1
        assert torch.equal(out[0][inner].long(), classes[inner])
        sizes.add(int(covered.sum()))
    # bilinear values lean to the class whose centre is nearest; a shift of half a pixel shows
    assert sum(agreement) / 40 > 0.98
    assert min(sizes) < 48 * 48 == max(sizes)  # some are padded, some are not


def test_small_images_lie_anywhere_in_the_crop() -> None:
    image, mask = torch.ones(3, 4, 4), torch.zeros(4, 4, dtype=torch.uint8)
    corners = set()
    for seed in range(40):
        out, classes = scale_jitter_crop(image, mask, 6, generator(seed), (1, 1), 11)
        found = (classes == 0).nonzero()
        assert len(found) == 16
        assert torch.equal(out[0] == 1, classes == 0)
        assert classes.unique().tolist() == [0, 11]
        corners.add(tuple(found[0].tolist()))
    assert len(corners) == 9


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x, g: random_crop(x, -1, g), "padding must be at least 0, got -1"),
        (lambda x, g: random_crop(x[0, 0], 1, g), r"\[B, C, H, W\] or \[C, H, W\], got \[8, 8\]"),
        (lambda x, g: random_crop(x.long(), 1, g), "uint8 or floating-point, got torch.int64"),
        (lambda x, g: random_erase(x, g, -0.1), "p must be between 0 and 1, got -0.1"),
        (lambda x, g: random_erase(x, g, area=(0.5, 0.2)), "area must be 0 < smallest"),
        (lambda x, g: random_erase(x, g, aspect=0.5), "aspect must be at least 1, got 0.5"),
        (lambda x, g: random_erase(x, g, fill=(0.0,)), "fill must have a value for each of 3"),
        (lambda x, g: random_flip(x, g, 1.5), "p must be between 0 and 1, got 1.5"),
        (lambda x, g: random_flip(x, g, masks=x[:, 0, 1:]), "masks .* do not fit images"),
        (lambda x, g: color_jitter(x, g, contrast=-0.1), "must be at least 0, got 0.0, -0.1, 0.0"),
        (lambda x, g: color_jitter(x[:, :1], g), "must have 3 channels, got 1"),
        (lambda x, g: normalize(x, (0, 0), (1, 1)), "one mean and std for each channel"),
        (lambda x, g: normalize(x, (0, 0, 0), (1, 0, 1)), "std must be positive"),
        (lambda x, g: random_resized_crop(x, 4, g), r"image must be \[C, H, W\]"),
        (lambda x, g: random_resized_crop(x[0], 0, g), "size must be at least 1, got 0"),
        (lambda x, g: random_resized_crop(x[0], 4, g, (0, 1)), "scale must be 0 < low"),
        (lambda x, g: random_resized_crop(x[0], 4, g, ratio=(2, 1)), "ratio must be 0 < low"),
        (lambda x, g: resize_center_crop(x[0], 8, 4), "resize must be at least size, got 4 for 8"),
        (lambda x, g: scale_jitter_crop(x[0], x[0, 0, 1:], 4, g), "does not fit image"),
        (lambda x, g: scale_jitter_crop(x[0], x[0, 0], 4, g, (2, 1)), "scales must be 0 < low"),
    ],
)
def test_wrong_arguments(call: Callable[[Tensor, torch.Generator], Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        call(pixels(2, 3, 8, 8), generator())
