"""The base of the package's transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform


class Transform(BaseTransform):
    """A transform of PyG that takes clouds and meshes of Open3D and trimesh for ``Data``, too."""

    def __call__(self, data: Any) -> Any:
        return super().__call__(as_data(data))


def as_data(shape: Any) -> Any:
    """``Data`` with ``pos``, and ``normal``, ``color`` or ``face`` where the shape has them.

    Args:
        shape: An ``open3d.geometry.PointCloud`` or ``TriangleMesh``, or a ``trimesh.Trimesh``;
            anything else is returned as it is.
    """
    points, vertices = (getattr(shape, name, None) for name in ("points", "vertices"))
    if getattr(shape, "pos", None) is not None or (points is None and vertices is None):
        return shape
    if points is not None:
        data = Data(pos=_tensor(points))
        for own, name in (("normals", "normal"), ("colors", "color")):
            values = getattr(shape, own, None)
            if values is not None and len(values) == len(data.pos):
                data[name] = _tensor(values)
        return data
    faces = getattr(shape, "faces", None)
    faces = getattr(shape, "triangles", ()) if faces is None else faces
    corners = torch.as_tensor(np.asarray(faces, np.int64).reshape(-1, 3).copy())
    return Data(pos=_tensor(vertices), face=corners.t().contiguous())


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))
