"""Random changes of one cloud that PyG does not have; see the package for those it has."""

from __future__ import annotations

from typing import Any

import torch
from torch_geometric.data import Data

from mgic_geo.errors import DataError
from mgic_geo.transforms._base import Transform

from .batched import augment_clouds


class RandomAugment(Transform):
    """Scales, mirrors, rotates, shifts and jitters ``data.pos``.

    It is :func:`augment_clouds` for one cloud, and takes the same options. ``data.normal`` turns
    along.

    Args:
        generator: Source of all draws; torch's global one if not given. A ``DataLoader`` with
            workers copies a generator into each of them, so leave it out there.
        **options: Those of :func:`augment_clouds`.

    Shapes:
        ``data.pos [N, 3]`` -> ``[N, 3]``, and ``data.normal [N, 3]`` if it is there.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from mgic_geo.transforms import RandomAugment
        >>> augment = RandomAugment(torch.Generator().manual_seed(0), rotate_degrees=180)
        >>> pos = torch.rand(8, 3)
        >>> turned = augment(Data(pos=pos)).pos
        >>> torch.allclose(turned[:, 2], pos[:, 2]), torch.allclose(turned[:, 0], pos[:, 0])
        (True, False)
    """

    def __init__(self, generator: torch.Generator | None = None, **options: Any) -> None:
        self.generator = generator
        self.options = options
        augment_clouds(torch.zeros(0, 0, 3), **options)  # complain now, not in the first epoch

    def forward(self, data: Data) -> Data:
        if "normal" not in data:
            data.pos = augment_clouds(data.pos[None], self.generator, **self.options)[0]
            return data
        both = torch.cat([data.pos, data.normal.to(data.pos)], dim=1)
        both = augment_clouds(both[None], self.generator, normals=0, **self.options)[0]
        data.pos, data.normal = both[:, :3].contiguous(), both[:, 3:].contiguous()
        return data

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        return f"{type(self).__name__}({options})"


class RandomScaleAxes(RandomAugment):
    """Scales each axis of ``data.pos`` by its own factor (PyG's ``RandomScale`` has one for all).

    Args:
        low: Smallest factor, above 0.
        high: Largest factor.
        generator: See :class:`RandomAugment`.

    Shapes:
        ``data.pos [N, 3]`` -> ``[N, 3]``.

    Raises:
        DataError: Not ``0 < low <= high``.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from mgic_geo.transforms import RandomScaleAxes
        >>> factors = RandomScaleAxes(0.8, 1.25)(Data(pos=torch.ones(1, 3))).pos
        >>> bool(((factors >= 0.8) & (factors <= 1.25)).all())
        True
    """

    def __init__(self, low: float, high: float, generator: torch.Generator | None = None) -> None:
        super().__init__(generator, scale=(low, high))


class RandomShift(RandomAugment):
    """Shifts the whole cloud, along each axis by up to ``shift``.

    PyG's ``RandomJitter`` moves each point by itself.

    Args:
        shift: Largest absolute shift, in the units of ``data.pos``.
        generator: See :class:`RandomAugment`.

    Shapes:
        ``data.pos [N, 3]`` -> ``[N, 3]``.

    Raises:
        DataError: ``shift`` is negative.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from mgic_geo.transforms import RandomShift
        >>> pos = RandomShift(0.1)(Data(pos=torch.zeros(4, 3))).pos
        >>> bool((pos == pos[0]).all()), bool((pos.abs() <= 0.1).all())  # all points alike
        (True, True)
    """

    def __init__(self, shift: float, generator: torch.Generator | None = None) -> None:
        super().__init__(generator, shift=shift)


class GaussianJitter(RandomAugment):
    """Moves each point by clipped normal noise (PyG's ``RandomJitter`` is uniform).

    Args:
        sigma: Standard deviation, in the units of ``data.pos``.
        clip: Largest absolute noise along an axis.
        generator: See :class:`RandomAugment`.

    Shapes:
        ``data.pos [N, 3]`` -> ``[N, 3]``.

    Raises:
        DataError: ``sigma`` is negative.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from mgic_geo.transforms import GaussianJitter
        >>> noise = GaussianJitter(sigma=0.01, clip=0.05)(Data(pos=torch.zeros(100, 3))).pos
        >>> bool(noise.abs().max() <= 0.05)
        True
    """

    def __init__(
        self, sigma: float, clip: float | None = None, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(generator, jitter=sigma, clip=clip)


class RandomPointDropout(Transform):
    r"""Removes a random share :math:`r \sim U(0, r_{\max})` of the points; one at least stays.

    The points are really removed, with all that belongs to them: overwriting them with copies of
    another point, as is common, would fill a kNN graph with edges of length zero.

    Args:
        max_ratio: Largest share, in [0, 1].
        generator: Source of all draws; torch's global one if not given.

    Shapes:
        ``data.pos [N, 3]`` -> ``[N', 3]`` with :math:`(1 - r_{\max}) N \le N' \le N`; edges to
        removed points go too.

    Raises:
        DataError: ``max_ratio`` out of range.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from mgic_geo.transforms import RandomPointDropout
        >>> kept = RandomPointDropout(max_ratio=0.5)(Data(pos=torch.rand(100, 3))).pos
        >>> 50 <= len(kept) <= 100
        True
    """

    def __init__(self, max_ratio: float, generator: torch.Generator | None = None) -> None:
        if not 0.0 <= max_ratio <= 1.0:
            raise DataError(f"max_ratio must be between 0 and 1, got {max_ratio}")
        self.max_ratio = max_ratio
        self.generator = generator

    def forward(self, data: Data) -> Data:
        pos = data.pos
        device = pos.device if self.generator is None else self.generator.device
        ratio = self.max_ratio * float(torch.rand((), generator=self.generator, device=device))
        order = torch.rand(pos.size(0), generator=self.generator, device=device).argsort()
        keep = torch.ones(pos.size(0), dtype=torch.bool, device=pos.device)
        keep[order[: int(ratio * pos.size(0))].to(pos.device)] = False  # ratio < 1: one stays
        return data.subgraph(keep)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.max_ratio})"
