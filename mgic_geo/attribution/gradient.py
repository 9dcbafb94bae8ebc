"""Importance of points by gradient times input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mgic_geo.models._parts import JudgedInParts

from ._score import check_cloud, log_odds


def gradient_input(
    model: nn.Module, points: Tensor, label: int, *, device: str | torch.device = "cpu"
) -> Tensor:
    r"""Gradient times input on node features, summed over channels.

    On those of the last layer that has a node for each point.

    .. math::
        a_i = \sum_c x_{ic} \frac{\partial s}{\partial x_{ic}}, \qquad
        s = \log p_c - \log (1 - p_c)

    One forward and one backward pass, with the graph as it is. From `Shrikumar et al.
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
    count = points.size(0)
    points = points.detach().float().to(device)
    nodes: list[Tensor] = []
    # the last layer that still has all the points as its nodes
    finest = [info["module"] for info in model.feature_info if info["reduction"] == 1]
    layer = model.get_submodule(finest[-1])
    hook = layer.register_forward_hook(lambda module, given, x: _keep(nodes, x))
    try:
        with torch.enable_grad():
            score = log_odds(model(points[None]), label).sum()
            (slope,) = torch.autograd.grad(score, nodes)
    finally:
        hook.remove()
    # which point a node is: numbers that are dealt out as the points are
    number = torch.arange(count, dtype=points.dtype, device=points.device)
    dealt, _ = model.deal(torch.cat([points, number[:, None]], dim=1)[None])
    owner = dealt[..., -1].reshape(-1).long()
    importance = points.new_zeros(count)
    return importance.index_add_(0, owner, (nodes[0].detach() * slope).sum(dim=1)).cpu()


def _keep(nodes: list[Tensor], x: Tensor) -> Tensor:
    """The features as a leaf, so that no gradient is taken further back."""
    nodes.append(x.detach().requires_grad_())
    return nodes[-1]
