"""Names of the weights of published image networks, and where each belongs in ours."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from torch import nn

from mgic_geo.nn.vision import BasicBlock, Bottleneck, GhostBottleneck, InvertedResidual

Places = dict[str, str]
"""Our module for each of theirs."""


@dataclass(frozen=True)
class Source:
    """A family of networks, as the modules of one library are named.

    All patterns match whole paths of modules, without ``weight``, ``bias`` and so on.

    Args:
        name: For messages.
        mark: Pattern of a module that tells the source.
        kinds: Our blocks that take its blocks.
        block: Pattern of what is in a block: the numbers of its position, then the rest.
        inside: From the rests of one block to the modules of ours.
        outside: Patterns of the other modules, and ours for each; ``{stem}`` is our first
            convolution with its norm.
        tail: What a position holds, and nothing else, where a convolution follows the blocks.
        eps: Added to the variances by the norms of the backbone.
    """

    name: str
    mark: str
    kinds: tuple[type[nn.Module], ...]
    block: str
    inside: Callable[[Collection[str]], Places]
    outside: Places
    tail: Places = field(default_factory=dict)
    eps: float = 1e-5


def find_source(modules: Collection[str]) -> Source | None:
    """The source that has modules of these names."""
    for source in _SOURCES:
        if any(re.fullmatch(source.mark, module) for module in modules):
            return source
    return None


def find_places(
    source: Source, modules: Collection[str], stem: str, blocks: Sequence[str]
) -> Places:
    """Our module for each of ``modules`` that has a place.

    The blocks go by their running number: stages end elsewhere in each library.

    Args:
        source: What the modules belong to.
        modules: Their paths.
        stem: Path of our first convolution with its norm.
        blocks: Paths of our blocks, one after the other.
    """
    places: Places = {}
    positions: dict[tuple[int, ...], Places] = defaultdict(dict)
    for module in modules:
        for pattern, place in source.outside.items():
            if re.fullmatch(pattern, module):
                places[module] = place.format(stem=stem)
                break
        else:
            if match := re.fullmatch(source.block, module):
                *position, rest = match.groups()
                positions[tuple(map(int, position))][rest] = module
    left = iter(blocks)
    for _, rests in sorted(positions.items()):
        if rests.keys() <= source.tail.keys():
            places |= {module: source.tail[rest] for rest, module in rests.items()}
        elif block := next(left, None):
            inside = source.inside(rests)
            places |= {rests[rest]: f"{block}.{ours}" for rest, ours in inside.items()}
    return places


def _known(names: Places) -> Callable[[Collection[str]], Places]:
    return lambda rests: {rest: names[rest] for rest in rests if rest in names}


_SQUEEZE = {"se.conv_reduce": "se.reduce", "se.conv_expand": "se.expand"}
_INVERTED = _known(
    {
        **{"conv_pw": "expand.conv", "bn1": "expand.norm"},
        **{"conv_dw": "depthwise.conv", "bn2": "depthwise.norm"},
        **{"conv_pwl": "project.conv", "bn3": "project.norm"},
        **_SQUEEZE,
    }
)
_SEPARABLE = _known(
    {
        **{"conv_dw": "depthwise.conv", "bn1": "depthwise.norm"},
        **{"conv_pw": "project.conv", "bn2": "project.norm"},
        **_SQUEEZE,
    }
)


def _timm_inverted(rests: Collection[str]) -> Places:
    """A block without the first 1x1 convolution calls the last one by the first one's name."""
    return _INVERTED(rests) if "conv_pwl" in rests else _SEPARABLE(rests)


def _torchvision_inverted(rests: Collection[str]) -> Places:
    """The parts of a block are numbered, and those that it lacks are not counted."""
    numbers = sorted({int(rest.split(".")[1]) for rest in rests if rest.startswith("block.")})
    convs = [number for number in numbers if f"block.{number}.0" in rests]
    places = {}
    for number, part in zip(convs, ("expand", "depthwise", "project")[-len(convs) :]):
        places[f"block.{number}.0"] = f"{part}.conv"
        places[f"block.{number}.1"] = f"{part}.norm"
    for number in numbers:
        places[f"block.{number}.fc1"] = "se.reduce"
        places[f"block.{number}.fc2"] = "se.expand"
    return _known(places)(rests)


_TIMM = {"conv_stem": "{stem}.conv", "bn1": "{stem}.norm", "conv_head": "head.0"}
_TIMM_BLOCK = r"blocks\.(\d+)\.(\d+)\.(.+)"
_TIMM_TAIL = {"conv": "final.conv", "bn1": "final.norm"}
_SOURCES = (
    Source(
        "a ResNet under torchvision's or timm's names",
        r"layer1\.0\.conv1",
        (BasicBlock, Bottleneck),
        r"layer(\d+)\.(\d+)\.(.+)",
        _known(
            {
                **{f"conv{i + 1}": f"convs.{i}.conv" for i in range(3)},
                **{f"bn{i + 1}": f"convs.{i}.norm" for i in range(3)},
                **{"downsample.0": "shortcut.conv", "downsample.1": "shortcut.norm"},
                **{"shortcut.0": "shortcut.conv", "shortcut.1": "shortcut.norm"},
            }
        ),
        {"conv1": "{stem}.conv", "bn1": "{stem}.norm", "fc|linear": "fc"},
    ),
    Source(
        "GhostNet under timm's names",
        r"blocks\.\d+\.\d+\.ghost1\.primary_conv\.0",
        (GhostBottleneck,),
        _TIMM_BLOCK,
        _known(
            {
                f"ghost{i}.{theirs}.{j}": f"ghost{i}.{ours}.{part}"
                for i in (1, 2)
                for theirs, ours in (("primary_conv", "primary"), ("cheap_operation", "cheap"))
                for j, part in enumerate(("conv", "norm"))
            }
            | {f"shortcut.{2 * i}": f"shortcut.{i}.conv" for i in range(2)}
            | {f"shortcut.{2 * i + 1}": f"shortcut.{i}.norm" for i in range(2)}
            | {"conv_dw": "depthwise.conv", "bn_dw": "depthwise.norm"}
            | _SQUEEZE
        ),
        {**_TIMM, "classifier": "fc"},
        _TIMM_TAIL,
    ),
    Source(
        "MobileNetV3 under timm's names",
        r"blocks\.\d+\.\d+\.conv_pwl",
        (InvertedResidual,),
        _TIMM_BLOCK,
        _timm_inverted,
        {**_TIMM, "classifier": "fc"},
        _TIMM_TAIL,
    ),
    Source(
        "MobileNetV3 or LR-ASPP under torchvision's names",
        r"(features|backbone)\.\d+\.block\.\d+\.0",
        (InvertedResidual,),
        r"(?:features|backbone)\.(\d+)\.((?:block\.\d+\.)?\w+)",
        _torchvision_inverted,
        {
            **{r"(features|backbone)\.0\.0": "{stem}.conv"},
            **{r"(features|backbone)\.0\.1": "{stem}.norm"},
            **{r"classifier\.0": "head.0", r"classifier\.3": "fc"},
            **{r"classifier\.cbr\.0": "project.conv", r"classifier\.cbr\.1": "project.norm"},
            **{r"classifier\.scale\.1": "gate.0"},
            **{rf"classifier\.{name}": name for name in ("low_classifier", "high_classifier")},
        },
        {"0": "final.conv", "1": "final.norm"},
        eps=1e-3,
    ),
)
