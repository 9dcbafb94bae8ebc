from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.transforms import BaseTransform, Compose

from mgic_geo.transforms import KNNGraph, NormalizeSphere, SampleSurface

POINTS = np.random.default_rng(0).normal(size=(30, 3))


def test_clouds_and_meshes_of_open3d_and_trimesh() -> None:
    open3d = pytest.importorskip("open3d", reason="Open3D (extra mesh) is not installed")
    trimesh = pytest.importorskip("trimesh", reason="trimesh (extra mesh) is not installed")
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(POINTS))
    cloud.normals = open3d.utility.Vector3dVector(POINTS[::-1])
    data = Compose([NormalizeSphere(), KNNGraph(4)])(cloud)
    assert data.edge_index.shape == (2, 120)
    assert float(data.pos.norm(dim=1).max()) == pytest.approx(1.0)
    torch.testing.assert_close(data.normal, torch.from_numpy(POINTS[::-1].copy()).float())
    assert "color" not in data
    box = trimesh.creation.box((1, 2, 3))
    solid = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(box.vertices), open3d.utility.Vector3iVector(box.faces)
    )
    one, two = (SampleSurface(50)(mesh).pos for mesh in (box, solid))
    assert torch.equal(one, two)
    assert isinstance(SampleSurface(50), BaseTransform)
