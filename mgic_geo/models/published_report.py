"""What became of weights that were loaded as far as they fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

_SHOWN = 3
COUNTER = "num_batches_tracked"  # of no consequence, and older files lack it


class Mismatch(NamedTuple):
    """A tensor of another shape, or beside one in the same layer.

    Args:
        name: Ours.
        theirs: Shape in the file.
        ours: Shape in the model.
    """

    name: str
    theirs: tuple[int, ...]
    ours: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {list(self.theirs)} for {list(self.ours)}"


@dataclass(frozen=True)
class LoadReport:
    """What became of weights that were loaded as far as they fit.

    Args:
        source: Library whose names the tensors have, or the place of the weights.
        loaded: Our tensors that were replaced.
        missing: Our tensors that the weights lack; they are as they were.
        unexpected: Their tensors that have no place in the model, without ``module.`` and the like.
        mismatched: Tensors that did not fit; ours are as they were.
        eps: The ``eps`` of the norms in another library's backbone; None for our own weights.

    Example:
        >>> import torch
        >>> from mgic_geo.models import create_model, load_published
        >>> state = {"layer1.0.conv1.weight": torch.rand(16, 16, 3, 3), "x.weight": torch.rand(1)}
        >>> report = load_published(create_model("resnet20"), state)
        >>> report.loaded, report.unexpected, report.complete
        (('stages.0.0.convs.0.conv.weight',), ('x.weight',), False)
    """

    source: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[Mismatch, ...]
    eps: float | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, unexpected or mismatched."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        return "; ".join([f"{self.source}: {len(self.loaded)} loaded", *self._misfits()])

    def _misfits(self) -> list[str]:
        lines = []
        for kind in ("missing", "unexpected", "mismatched"):
            found = getattr(self, kind)
            if found:
                dots = ", ..." if len(found) > _SHOWN else ""
                lines.append(f"{len(found)} {kind} ({', '.join(map(str, found[:_SHOWN]))}{dots})")
        return lines


def compare(
    layers: Iterable[dict[str, Tensor]], own: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[Mismatch]]:
    """The layers that fit as a whole, and the tensors of the others."""
    fitting: dict[str, Tensor] = {}
    mismatched = []
    for layer in layers:
        if all(tensor.shape == own[name].shape for name, tensor in layer.items()):
            fitting |= layer
            continue
        mismatched += [
            Mismatch(name, tuple(tensor.shape), tuple(own[name].shape))
            for name, tensor in layer.items()
            if not name.endswith(COUNTER)
        ]
    return fitting, mismatched
