"""PyG transforms that turn a mesh or a cloud into a cloud of a given size."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch_geometric.data import Data

from mgic_geo.errors import DataError
from mgic_geo.transforms._base import Transform

from .farthest import farthest_point_sample
from .sampling import Floats, poisson_disk, surface_places


class _Resample(Transform):
    """A number of points, and a seed (the same draw on every call) or a generator (a new one)."""

    def __init__(self, num_points: int, seed: int | torch.Generator = 0) -> None:
        if num_points < 1:
            raise DataError(f"num_points must be at least 1, got {num_points}")
        self.num_points = num_points
        self.seed = seed

    def _draw_seed(self) -> int:
        if isinstance(self.seed, int):
            return self.seed
        return int(torch.randint(2**62, (), generator=self.seed, device=self.seed.device))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_points})"


Places: TypeAlias = "tuple[npt.NDArray[np.int64], Floats]"


class _FromMesh(_Resample):
    @abstractmethod
    def _sample(self, vertices: Floats, faces: Floats, seed: int) -> tuple[Floats, Places | None]:
        """Points, and the face of each with its place there, if that is known."""

    def forward(self, data: Data) -> Data:
        if data.face is None:
            raise DataError(f"{type(self).__name__} needs a mesh: data.face [3, F] is missing")
        vertices = data.pos.detach().cpu().double().numpy()
        faces = data.face.t().cpu().numpy()
        points, places = self._sample(vertices, faces, self._draw_seed())
        for key in [key for key in data.node_attrs() if key != "pos"]:
            if places is None or not data[key].is_floating_point():
                del data[key]  # of the vertices, which are gone
            else:
                data[key] = _between(data[key], faces, places, unit=key == "normal")
        data.pos = torch.from_numpy(points).to(data.pos)
        data.face = None
        return data


def _between(values: Tensor, faces: Floats, places: Places, unit: bool) -> Tensor:
    """Values at points on faces from those at the corners; ``unit`` gives them length 1."""
    face, weights = places
    corners = values[torch.as_tensor(faces[face], device=values.device)]
    found = torch.einsum("nc...,nc->n...", corners, torch.from_numpy(weights).to(corners))
    return torch.nn.functional.normalize(found, dim=-1) if unit else found


class SampleSurface(_FromMesh):
    """Replaces a mesh by points drawn uniformly by area, see :func:`sample_surface`.

    PyG's ``SamplePoints`` does the same from torch's global generator in single precision; this
    one repeats itself, and refuses a mesh without area instead of returning NaN.

    Args:
        num_points: Number of points.
        seed: An integer gives a mesh the same points on every call, a generator new ones.

    Shapes:
        ``data.pos [V, 3]``, ``data.face [3, F]`` -> ``data.pos [num_points, 3]``, no face; real
        attributes of the vertices, such as ``normal``, ``color`` and ``x``, are taken between
        those of the corners.

    Raises:
        DataError: See :func:`sample_surface`.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from mgic_geo.transforms import SampleSurface
        >>> pos = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        >>> SampleSurface(num_points=16)(Data(pos=pos, face=torch.tensor([[0], [1], [2]])))
        Data(pos=[16, 3])
    """

    def _sample(self, vertices: Floats, faces: Floats, seed: int) -> tuple[Floats, Places | None]:
        points, face, weights = surface_places(vertices, faces, self.num_points, seed)
        return points, (face, weights)


class PoissonDiskSampling(_FromMesh):
    """Replaces a mesh by evenly spread random points, see :func:`poisson_disk` (extra ``mesh``).

    Args:
        num_points: Number of points.
        seed: An integer gives a mesh the same points on every call, a generator new ones.

    Shapes:
        ``data.pos [V, 3]``, ``data.face [3, F]`` -> ``data.pos [num_points, 3]``, no face and no
        other attributes of the vertices.

    Raises:
        DataError: See :func:`poisson_disk`.
        ImportError: Open3D is missing.

    Example:
        It needs Open3D, which is an extra and takes seconds to import. ::

            from torch_geometric.transforms import Compose
            from mgic_geo.transforms import NormalizeSphere, PoissonDiskSampling

            transform = Compose([PoissonDiskSampling(1024), NormalizeSphere()])
            transform(mesh)  # Data(pos=[1024, 3])
    """

    def _sample(self, vertices: Floats, faces: Floats, seed: int) -> tuple[Floats, Places | None]:
        return poisson_disk(vertices, faces, self.num_points, seed), None


class FarthestPointSampling(_Resample):
    """Keeps points that are far from each other, see :func:`farthest_point_sample`.

    PyG has the operator (``torch_geometric.nn.fps``, with ``pyg-lib``) but no transform. The
    points come in the order of picking, so that any first part of them is well spread too.

    Args:
        num_points: Number of points to keep.
        seed: Decides the first point: the same on every call for an integer, else a new one.

    Shapes:
        ``data.pos [N, D]`` -> ``[num_points, D]``, and all other node attributes with it.

    Raises:
        DataError: See :func:`farthest_point_sample`.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from mgic_geo.transforms import FarthestPointSampling
        >>> cloud = Data(pos=torch.rand(100, 3), normal=torch.rand(100, 3))
        >>> FarthestPointSampling(num_points=16)(cloud)
        Data(pos=[16, 3], normal=[16, 3])
    """

    def forward(self, data: Data) -> Data:
        seed = self._draw_seed()
        index = farthest_point_sample(data.pos, self.num_points, seed, data.batch)
        return data.subgraph(index)
