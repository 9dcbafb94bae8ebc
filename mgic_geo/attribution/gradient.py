"""Importance of points by gradient times input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mgic_geo.models import PointPyramid
from mgic_geo.models._parts import JudgedInParts

from ._score import check_cloud, log_odds


def gradient_input(
    model: nn.Module, points: Tensor, label: int, *, device: str | torch.device = "cpu"
) -> Tensor:
    r"""Gradient times input on the node features that the head pools, summed over channels.

    .. math::
        a_i = \sum_c x_{ic} \frac{\partial s}{\partial x_{ic}}, \qquad
        s = \log p_c - \log (1 - p_c)

    A node of a coarser grid shares its value among the points that are nearest to it. One forward
    and one backward pass, with the graph as it is: the quick look, where
    :func:`~mgic_geo.attribution.occlusion` is the better one. From `Shrikumar et al.
    <https://arxiv.org/abs/1605.01713>`_

    Args:
        model: A point network of this package; it goes to evaluation mode.
        points: One cloud ``[n, 3 + F]``, centred and scaled as the model expects.
        label: The class, as its index.
        device: Where the model is.

    Returns:
        Importances ``[n]``, float32 on the CPU; negative where points speak against the class. 0
        for points that the network leaves aside.

    Raises:
        ValueError: ``points`` is no cloud, or the model has no nodes to look at.

    Example:
        >>> import torch
        >>> from mgic_geo.attribution import gradient_input
        >>> from mgic_geo.models import load_model
        >>> model, info = load_model("modelnet10-mgic-diffgcn")
        >>> gradient_input(model, torch.rand(64, 3) - 0.5, label=2).shape
        torch.Size([64])
    """
    check_cloud(points)
    if not isinstance(model, JudgedInParts) or not model.feature_info:
        raise ValueError(
            "gradient_input needs a point network of this package, whose nodes it can look at; "
            "occlusion works with every network"
        )
    model.eval()
    points = points.detach().float().to(device)
    layers = _layers(model)
    nodes: list[Tensor] = []
    hooks = [
        model.get_submodule(name).register_forward_hook(lambda module, given, x: _cut(nodes, x))
        for name in layers
    ]
    try:
        with torch.enable_grad():
            score = log_odds(model(points[None]), label).sum()
            slopes = torch.autograd.grad(score, nodes)
    finally:
        for hook in hooks:
            hook.remove()
    # which point is which, once they are dealt out: numbers that travel with them
    number = torch.arange(points.size(0), dtype=points.dtype, device=points.device)
    dealt, _ = model.deal(torch.cat([points, number[:, None]], dim=1)[None])
    owner, parts = dealt[..., -1].reshape(-1).long(), dealt[..., :3]
    grids = model.prepare(dealt[..., :-1]) if isinstance(model, PointPyramid) else []
    importance = points.new_zeros(points.size(0))
    for level, (x, slope) in enumerate(zip(nodes, slopes)):
        of_nodes = (x.detach() * slope).sum(dim=1).view(parts.size(0), -1)
        if level:
            of_nodes = _spread(of_nodes, grids[level].pos.view(parts.size(0), -1, 3), parts)
        importance.index_add_(0, owner, of_nodes.flatten())
    return importance.cpu()


def _layers(model: JudgedInParts) -> list[str]:
    """The layers that the head sees: the last one of the points, and those of coarser grids."""
    fine = [info["module"] for info in model.feature_info if info["reduction"] == 1]
    return fine[-1:] + [info["module"] for info in model.feature_info if info["reduction"] > 1]


def _cut(nodes: list[Tensor], x: Tensor) -> Tensor:
    """The features as a leaf: each layer has the slope of its own way to the head alone."""
    nodes.append(x.detach().requires_grad_())
    return nodes[-1]


def _spread(values: Tensor, nodes: Tensor, points: Tensor) -> Tensor:
    """Values ``[P, m]`` of nodes, each in equal shares on the points nearest to it, ``[P, n]``."""
    nearest = torch.cdist(points, nodes).argmin(dim=2)
    counts = torch.zeros_like(values).scatter_add_(1, nearest, torch.ones_like(points[..., 0]))
    return (values / counts.clamp_min(1.0)).gather(1, nearest)
