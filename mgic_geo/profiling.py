"""Parameters and multiply-accumulates (MACs) of every layer, measured on a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mgic_geo.models import (
    FusionClassifier,
    PointClassifier,
    PointPyramid,
    create_model,
    model_data,
)
from mgic_geo.models.registry import CLOUD_DATA

_OPS = torch.ops.mgic_geo


@dataclass(frozen=True)
class LayerCount:
    """What one layer costs.

    Args:
        name: Where it is in the model, as in ``named_modules``; empty for the model itself.
        kind: Name of its class.
        parameters: Learned numbers.
        macs: Multiply-accumulates of products with learned weights.
        graph_macs: Multiply-accumulates of fixed operators on the graph, which have no parameters.

    Example:
        >>> import torch
        >>> from mgic_geo.profiling import profile_model
        >>> profile_model(torch.nn.Linear(8, 4), torch.rand(10, 8))
        [LayerCount(name='', kind='Linear', parameters=36, macs=320, graph_macs=0)]
    """

    name: str
    kind: str
    parameters: int
    macs: int
    graph_macs: int


def _derivatives(
    x: torch.Size, mix: torch.Size, rowptr: torch.Size, col: torch.Size, *rest: Any, **_: Any
) -> int:
    return 2 * rest[0].numel() * x[1]


def profile_model(
    model: nn.Module, *inputs: Any, depth: int | None = None, **kwargs: Any
) -> list[LayerCount]:
    """Counts one call ``model(*inputs, **kwargs)``, exactly, in the mode that the model is in.

    Matrix products, convolutions and this package's operators count; norms, activations, pooling,
    the search for neighbours and additions of a bias do not. A weight that several layers share is
    counted with the first. A layer may use the weights of a child without calling it: that work and
    those weights count for the layer. Buffers are left as they were.

    Args:
        model: Any module.
        *inputs: Its inputs. Prepared operators keep the building of the graph out of the count.
        depth: Sum up below this many levels of names; by default every layer has a line.
        **kwargs: More inputs.

    Returns:
        The layers that own parameters or do work, in the order of ``named_modules``; their sums are
        the model's.

    Example:
        >>> import torch
        >>> from mgic_geo.nn import MLP
        >>> from mgic_geo.profiling import profile_model
        >>> for layer in profile_model(MLP([8, 16, 4], norm=None), torch.rand(10, 8), depth=1):
        ...     print(layer.name, layer.parameters, layer.macs)
        0 144 1280
        1 68 640
    """
    called = {""}
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: called.add(name))
        for name, module in model.named_modules()
    ]
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    graph = FlopCounterMode(display=False, custom_mapping={_OPS.diff_conv: _derivatives})
    learned = FlopCounterMode(display=False)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), graph, learned:
            model(*inputs, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])

    def owner(name: str) -> str:
        """The nearest module, itself or above, that was called; or what holds it at ``depth``."""
        path = name.split(".") if name else []
        while path and ".".join(path) not in called:
            path.pop()
        return ".".join(path[:depth])

    parameters, macs, graph_macs = Counter[str](), Counter[str](), Counter[str]()
    seen: set[int] = set()
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in seen:
                parameters[owner(name)] += parameter.numel()
                seen.add(id(parameter))
        if name in called:
            for counter, own in ((learned, macs), (graph, graph_macs)):
                work = _work(counter, model, name, only_graph=counter is graph)
                own[owner(name)] += work
                if name:
                    own[owner(name.rpartition(".")[0])] -= work
    return [
        LayerCount(name, type(module).__name__, parameters[name], macs[name], graph_macs[name])
        for name, module in model.named_modules()
        if parameters[name] or macs[name] or graph_macs[name]
    ]


def profile_point_model(
    name: str, num_points: int = 1024, depth: int | None = None, **model_args: Any
) -> list[LayerCount]:
    """Counts a registered model of clouds on one of them, without the building of its graph.

    Args:
        name: Its name in the registry.
        num_points: Points of the cloud.
        depth: As in :func:`profile_model`.
        **model_args: Options of the model.

    Returns:
        A line for each layer, as :func:`profile_model` gives it.

    Example:
        >>> from mgic_geo.profiling import profile_point_model
        >>> layers = profile_point_model("mgic_diffgcn", num_points=64, depth=1)
        >>> sum(layer.parameters for layer in layers)
        65002
        >>> layers[0].name, layers[0].kind
        ('stem', 'GraphBlock')
    """
    model = create_model(name, **model_args).eval()
    width = 3 + getattr(model, "in_channels", 0)
    pos = torch.rand(1, num_points, width, generator=torch.Generator().manual_seed(0))
    graph: Any = None
    if isinstance(model, PointClassifier | PointPyramid):
        graph = model.prepare(*model.deal(pos))
    elif isinstance(model, FusionClassifier):
        graph = model.prepare(pos)
    return profile_model(model, pos, operators=graph, depth=depth)


def profile_model_by_name(
    name: str,
    model_args: Mapping[str, Any] | None = None,
    num_points: int = 1024,
    image_size: int | tuple[int, int] | None = None,
    depth: int | None = None,
) -> list[LayerCount]:
    """Counts a registered model on one cloud, without the building of its graph, or on one image.

    Args:
        name: Its name in the registry.
        model_args: Options of the model.
        num_points: Points of the cloud.
        image_size: Side of the image, or height and width; by default the model's own, see
            :func:`default_image_size`.
        depth: As in :func:`profile_model`.

    Returns:
        A line for each layer, as :func:`profile_model` gives it.

    Example:
        >>> from mgic_geo.profiling import profile_model_by_name
        >>> layers = profile_model_by_name("resnet20", depth=1)
        >>> sum(layer.parameters for layer in layers), sum(layer.macs for layer in layers)
        (269722, 40551040)
    """
    if model_data(name) in CLOUD_DATA:
        return profile_point_model(name, num_points, depth, **(model_args or {}))
    with torch.device("meta"):  # nothing is computed, the counts are the same
        model = create_model(name, **(model_args or {})).eval()
        size = default_image_size(model) if image_size is None else image_size
        height, width = (size, size) if isinstance(size, int) else size
        return profile_model(model, torch.empty(1, 3, height, width), depth=depth)


def default_image_size(model: nn.Module) -> tuple[int, int]:
    """Height and width of the images that a model is made for: its ``input_size``, else 224.

    Args:
        model: A network of images.

    Returns:
        Height and width, in pixels.

    Example:
        >>> from mgic_geo.models import create_model
        >>> from mgic_geo.profiling import default_image_size
        >>> default_image_size(create_model("resnet20"))
        (32, 32)
    """
    size: int | tuple[int, int] = getattr(model, "input_size", 224)
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _work(counter: FlopCounterMode, model: nn.Module, name: str, only_graph: bool) -> int:
    """MACs inside the calls of one module, with all that it calls."""
    counts = counter.get_flop_counts().get(".".join(filter(None, [type(model).__name__, name])), {})
    return sum(n for op, n in counts.items() if not only_graph or op is _OPS.diff_conv) // 2
