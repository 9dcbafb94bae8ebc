"""Any random transform, made reproducible."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from mgic_geo.transforms._base import Transform


class Seeded(Transform):
    """Runs a transform on random numbers of its own and leaves the global generators untouched.

    PyG's transforms draw from Python's, NumPy's or torch's global generator. Here the call number
    ``i`` of a transform sees all three seeded from ``(seed, i)``; inside a ``DataLoader`` worker
    also from the worker's seed, which the loader's ``generator`` decides and which changes with
    every epoch, so that epochs differ and runs repeat. Random numbers on a GPU are not covered.

    Args:
        transform: Any callable on ``Data``, such as PyG's ``RandomRotate`` or a ``Compose``.
        seed: Decides everything.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from torch_geometric.transforms import RandomRotate
        >>> from mgic_geo.transforms import Seeded
        >>> pos = torch.rand(8, 3)
        >>> first, again = (
        ...     Seeded(RandomRotate(180, axis=2), seed=3)(Data(pos=pos)).pos for _ in range(2)
        ... )
        >>> torch.equal(first, again)
        True
    """

    def __init__(self, transform: Callable[[Any], Any], seed: int = 0) -> None:
        self.transform = transform
        self.seed = seed
        self.calls = 0

    def forward(self, data: Any) -> Any:
        worker = get_worker_info()
        entropy = [self.seed, self.calls, *(() if worker is None else (worker.seed,))]
        words = [int(word) for word in np.random.SeedSequence(entropy).generate_state(3)]
        self.calls += 1

        python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
        try:
            with torch.random.fork_rng(devices=[]):
                random.seed(words[0])
                np.random.seed(words[1])  # noqa: NPY002
                torch.default_generator.manual_seed(words[2])  # the CPU one only
                return self.transform(data)
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.transform}, seed={self.seed})"
