from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

import mgic_geo.transforms as T
from mgic_geo.errors import DataError


def planes() -> torch.Tensor:
    """Three clouds, each on a plane, with a colour and the plane's normal behind the points."""
    normal = torch.nn.functional.normalize(torch.randn(3, 1, 3), dim=2)
    points = torch.randn(3, 30, 3)
    points = points - (points * normal).sum(dim=2, keepdim=True) * normal
    return torch.cat([points, torch.rand(3, 30, 2), 2.0 * normal.expand(3, 30, 3)], dim=2)


def test_normals_stay_normal_to_what_is_changed() -> None:
    clouds = planes()
    changed = T.augment_clouds(
        clouds, scale=(0.5, 2.0), shift=0.3, rotate_degrees=180.0, flip=0.5, normals=2
    )
    pos, normal = changed[..., :3], changed[..., 5:]
    assert not torch.allclose(normal, clouds[..., 5:], atol=0.05)
    offset = pos - pos[:, :1]
    torch.testing.assert_close((offset * normal).sum(dim=2), torch.zeros(3, 30), atol=1e-4, rtol=0)
    torch.testing.assert_close(normal.norm(dim=2), torch.full((3, 30), 2.0))
    assert torch.equal(changed[..., 3:5], clouds[..., 3:5])


def test_features_draw_nothing_and_change_no_points() -> None:
    clouds, options = planes(), {"scale": (0.9, 1.1), "rotate_degrees": 20.0, "jitter": 0.01}

    def change(clouds: torch.Tensor, **more: int) -> torch.Tensor:
        return T.augment_clouds(clouds, torch.Generator().manual_seed(1), **options, **more)

    assert torch.equal(change(clouds, normals=2)[..., :3], change(clouds[..., :3]))


def test_a_mixed_cloud_keeps_points_and_features_together() -> None:
    pos = torch.randn(4, 20, 3)
    packed = torch.cat([pos, 2.0 * pos], dim=2)
    draw = torch.Generator().manual_seed(1)
    mixed, partner, share = T.cut_mix_clouds(packed, draw)
    assert torch.equal(mixed[..., 3:], 2.0 * mixed[..., :3])
    draw.manual_seed(1)
    alone = T.cut_mix_clouds(pos, draw)
    assert torch.equal(alone[0], mixed[..., :3])
    assert torch.equal(alone[1], partner)
    assert alone[2] == share


def test_a_cloud_of_pyg_turns_its_normals() -> None:
    clouds = planes()
    data = Data(pos=clouds[0, :, :3], normal=clouds[0, :, 5:], color=torch.rand(30, 3))
    colors = data.color.clone()
    changed = T.RandomAugment(scale=(0.5, 2.0), rotate_degrees=180.0)(data)
    offset = changed.pos - changed.pos[:1]
    torch.testing.assert_close((offset * changed.normal).sum(1), torch.zeros(30), atol=1e-4, rtol=0)
    assert torch.equal(changed.color, colors)


def test_a_sampled_mesh_has_what_its_vertices_had() -> None:
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    data = Data(
        pos=corners,
        face=torch.tensor([[0], [1], [2]]),
        x=corners.clone(),
        normal=torch.tensor([[0.0, 0, 1], [0, 0.6, 0.8], [0.6, 0, 0.8]]),
        number=torch.arange(3),
    )
    out = T.SampleSurface(50, seed=1)(data)
    torch.testing.assert_close(out.x, out.pos)
    torch.testing.assert_close(out.normal.norm(dim=1), torch.ones(50))
    assert "number" not in out
    kept = T.FarthestPointSampling(10)(out)
    torch.testing.assert_close(kept.x, kept.pos)


def test_columns_that_are_not_there_are_named() -> None:
    with pytest.raises(DataError, match="normals = 3: there are 5 features"):
        T.augment_clouds(planes(), normals=3)
