from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from mgic_geo.errors import DataError
from mgic_geo.testing import assert_permutation_equivariant, random_clouds
from mgic_geo.transforms import DepthViews, normalize_sphere, render_depth


def clouds(num_clouds: int = 3, num_points: int = 60) -> Tensor:
    pos, _ = random_clouds(num_clouds, num_points, dtype=torch.float64)
    return normalize_sphere(pos.view(num_clouds, num_points, 3))


def turn(pos: Tensor, degrees: float, up: int = 2) -> Tensor:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    first, second = (up + 1) % 3, (up + 2) % 3
    out = pos.clone()
    out[..., first] = cos * pos[..., first] - sin * pos[..., second]
    out[..., second] = sin * pos[..., first] + cos * pos[..., second]
    return out


def test_images_worked_out_by_hand() -> None:
    # z up: the front is at -y, so the first viewer sees x to the right and -y nearest
    pos = torch.tensor([[0.75, -1.0, 0.75], [-0.75, 1.0, -0.25], [-0.75, 0.25, -0.25]])
    # row, column and nearness 1 - 3/8 (1 - t) of the pixels that are not empty
    expected = [
        {(0, 3): 1.0, (2, 0): 0.53125},  # the second point hides behind the third
        {(0, 0): 0.90625, (2, 3): 0.34375, (2, 2): 0.34375},  # from the right
        {(0, 0): 0.25, (2, 3): 1.0},  # from the back the second one is seen
        {(0, 3): 0.34375, (2, 0): 0.90625, (2, 1): 0.90625},  # from the left
        {(3, 3): 0.90625, (0, 0): 0.53125, (1, 0): 0.53125},  # from above, the front at the bottom
    ]
    images = render_depth(pos, 4, 4, radius=0, above=True)
    assert images.shape == (1, 5, 1, 4, 4)
    for image, pixels in zip(images[0, :, 0], expected, strict=True):
        found = {(int(r), int(c)): float(image[r, c]) for r, c in image.nonzero()}
        assert found == pytest.approx(pixels)
    assert torch.equal(images[:, :1], render_depth(pos, 1, 4, radius=0))


@pytest.mark.parametrize(("up", "views"), [(0, 3), (1, 4), (2, 5)])
@pytest.mark.parametrize("elevation", [0.0, 30.0])
def test_turning_the_cloud_moves_the_views_on(up: int, views: int, elevation: float) -> None:
    pos, options = clouds(), {"azimuth": 17.0, "elevation": elevation, "up": up}
    before = render_depth(pos, views, 16, **options)  # type: ignore[arg-type]
    after = render_depth(turn(pos, 360 / views, up), views, 16, **options)  # type: ignore[arg-type]
    torch.testing.assert_close(after, before.roll(1, dims=1))
    assert not torch.equal(before, before.roll(1, dims=1))


def test_each_pixel_shows_its_nearest_point_and_the_rest_is_empty() -> None:
    pos, size = clouds(2), 8
    expected = torch.zeros(2, 1, 1, size, size, dtype=pos.dtype)
    for cloud, points in enumerate(pos.tolist()):
        for x, y, z in points:
            column, row = int((x + 1) / 2 * size), int((1 - z) / 2 * size)
            pixel = expected[cloud, 0, 0, row]
            pixel[column] = max(float(pixel[column]), 1 - 0.375 * (1 + y))
    torch.testing.assert_close(render_depth(pos, 1, size, radius=0), expected)


def test_points_are_discs() -> None:
    drawn = {r: render_depth(torch.zeros(1, 1, 3), 1, 9, radius=r)[0, 0, 0] for r in range(3)}
    for radius, image in drawn.items():
        rows, columns = torch.meshgrid(torch.arange(9) - 4, torch.arange(9) - 4, indexing="ij")
        disc = rows**2 + columns**2 <= radius**2
        assert torch.equal(image, torch.where(disc, 0.625, 0.0))
    # a nearer disc covers a farther one, and the border of the frame cuts discs off
    pos = torch.tensor([[-0.99, -1.0, 0.99], [-0.6, 0.0, 0.99]])
    image = render_depth(pos, 1, 8, radius=1)[0, 0, 0]
    assert image[0, :4].tolist() == [1.0, 1.0, 0.625, 0.0]
    assert image[1, :4].tolist() == [1.0, 0.625, 0.0, 0.0]
    assert int((image > 0).sum()) == 5


def test_what_is_outside_of_the_frame() -> None:
    nan, inf = math.nan, math.inf
    for point in ([1.01, 0, 0], [0, 0, -1.01], [nan, 0, 0], [0, nan, 0], [0, 0, inf], [0, -inf, 0]):
        assert not render_depth(torch.tensor([[point]]), 1, 8, radius=0).any()
    for y, nearness in ((-5.0, 1.0), (5.0, 0.25)):
        image = render_depth(torch.tensor([[[0.0, y, 0.0]]]), 1, 8, radius=0)
        assert image.max() == nearness
    corner = render_depth(torch.tensor([[[1.0, 0.0, -1.0]]]), 1, 8, radius=0)
    assert corner.nonzero().tolist() == [[0, 0, 0, 7, 7]]
    wide = render_depth(torch.tensor([[[1.5, 0.0, 0.0]]]), 1, 8, extent=2.0)
    assert wide.any()
    pos = clouds()
    torch.testing.assert_close(render_depth(2.0 * pos, extent=2.0), render_depth(pos))


def test_values_are_nearness() -> None:
    images = render_depth(clouds(), above=True)
    assert images.shape == (3, 4, 1, 32, 32)
    drawn = images[images > 0]
    assert drawn.min() >= 0.25
    assert drawn.max() <= 1.0
    assert 0.05 < drawn.numel() / images.numel() < 0.6


def test_points_have_no_order_and_clouds_no_neighbours() -> None:
    pos, batch = random_clouds(4, 50, ragged=True)
    pos = 2 * pos - 1
    together = render_depth(pos, batch=batch)
    assert together.shape == (4, 3, 1, 32, 32)
    for i in range(4):
        assert torch.equal(render_depth(pos[batch == i])[0], together[i])
    assert_permutation_equivariant(
        lambda pos: render_depth(pos, batch=batch), pos, batch=batch, invariant=True, rtol=0, atol=0
    )
    dense = clouds().float()
    flat = render_depth(dense.view(-1, 3), batch=torch.arange(3).repeat_interleave(60))
    assert torch.equal(flat, render_depth(dense))
    assert render_depth(torch.zeros(0, 5, 3)).shape == (0, 3, 1, 32, 32)


def test_as_a_transform_of_data() -> None:
    transform = DepthViews(4, 16, radius=0, above=True)
    items = [transform(Data(pos=pos)) for pos in clouds(2).float()]
    batch = Batch.from_data_list(items)
    expected = render_depth(clouds(2).float(), 4, 16, radius=0, above=True)
    assert torch.equal(batch.views, expected)
    assert repr(transform) == "DepthViews(4, 16, radius=0, above=True)"


@pytest.mark.parametrize(
    "options",
    [{"views": 0}, {"size": 0}, {"radius": -1}, {"extent": 0.0}, {"extent": math.nan}, {"up": 3}],
    ids=str,
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="views and size must be >= 1"):
        render_depth(torch.zeros(1, 1, 3), **options)
    with pytest.raises(DataError):
        DepthViews(**options)


def test_shapes_that_are_no_clouds() -> None:
    batch = torch.zeros(5, dtype=torch.long)
    for pos, given, message in [
        (torch.zeros(5, 2), None, r"pos must be \[B, n, 3\].* got \[5, 2\]"),
        (torch.zeros(3), None, r"got \[3\]"),
        (torch.zeros(1, 5, 3), batch, r"or \[N, 3\] with batch, got \[1, 5, 3\]"),
        (torch.zeros(4, 3), batch, r"there are 4 points, but batch is \[5\]"),
    ]:
        with pytest.raises(DataError, match=message):
            render_depth(pos, batch=given)
