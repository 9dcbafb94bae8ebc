"""Random transforms whose draws follow from the item, not from who loads it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sized
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mgic_geo.errors import DataError


class Augmented(Dataset[tuple[Tensor, Any]]):
    """A data set whose items go through ``transform(image, target, generator)``.

    The generator of an item is seeded from ``(seed, epoch, index)``, so a loader gives the same
    images whatever its number of workers, and another run with the same seed repeats them.
    :meth:`set_epoch` reaches workers that live on (``persistent_workers``), too; call it before
    the loader is iterated over.

    Args:
        dataset: Items ``(image, target)``.
        transform: Gives the new image and target; all its draws must come from the generator.
        seed: At least 0; decides everything.

    Raises:
        DataError: ``seed``, or in :meth:`set_epoch` the epoch, is negative.

    Example:
        >>> import torch
        >>> from mgic_geo.transforms.images import Augmented
        >>> pixels = [(torch.zeros(3, 8, 8), 0), (torch.zeros(3, 8, 8), 1)]
        >>> noise = lambda image, target, generator: (
        ...     image + torch.rand(image.shape, generator=generator), target)
        >>> augmented = Augmented(pixels, noise, seed=3)
        >>> torch.equal(augmented[1][0], augmented[1][0])
        True
    """

    def __init__(
        self,
        dataset: Dataset[tuple[Tensor, Any]],
        transform: Callable[[Tensor, Any, torch.Generator], tuple[Tensor, Any]],
        seed: int = 0,
    ) -> None:
        if seed < 0:
            raise DataError(f"seed must be at least 0, got {seed}")
        self.dataset = dataset
        self.transform = transform
        self.seed = seed
        # in shared memory: workers that were started in an earlier epoch see the later ones
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Makes the draws those of an epoch, counted from 0."""
        if epoch < 0:
            raise DataError(f"epoch must be at least 0, got {epoch}")
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(cast(Sized, self.dataset))

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        index = range(len(self))[index]
        image, target = self.dataset[index]
        return self.transform(image, target, item_generator(self.seed, self.epoch, index))


def item_generator(seed: int, epoch: int, index: int) -> torch.Generator:
    """A generator that follows from three numbers, and from nothing else.

    Args:
        seed: Of the run, at least 0.
        epoch: Counted from 0.
        index: Number of the item in the data set.

    Returns:
        A generator on the CPU.

    Example:
        >>> import torch
        >>> from mgic_geo.transforms.images import item_generator
        >>> first, again, next_epoch = (
        ...     torch.rand(1, generator=item_generator(seed=0, epoch=epoch, index=7))
        ...     for epoch in (0, 0, 1)
        ... )
        >>> bool(first == again), bool(first == next_epoch)
        (True, False)
    """
    state = np.random.SeedSequence((seed, epoch, index)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) >> 1)


def seed_worker(worker_id: int) -> None:
    """Seeds Python's and NumPy's global generators of a worker, for ``worker_init_fn``.

    torch seeds its own in each worker, from the loader's ``generator`` and the worker's number;
    the other two follow from it here, for transforms that draw from them. (What goes through
    :class:`Augmented` draws from neither.)

    Args:
        worker_id: Number of the worker, already part of torch's seed.

    Example:
        >>> import torch
        >>> from torch.utils.data import DataLoader
        >>> from mgic_geo.transforms.images import seed_worker
        >>> generator = torch.Generator().manual_seed(0)
        >>> loader = DataLoader(  # with num_workers=2 two processes would call it
        ...     range(8), batch_size=4, worker_init_fn=seed_worker, generator=generator
        ... )
    """
    seed = torch.initial_seed() % 2**32
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
