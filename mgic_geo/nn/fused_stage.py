"""Blocks of a fused image network as one compiled program."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn

from mgic_geo.kernels._dispatch import fused_for
from mgic_geo.nn.fused_conv import FusedConv, FusedSqueezeExcite
from mgic_geo.nn.mgic import MGIC
from mgic_geo.nn.vision.inverted_residual import InvertedResidual
from mgic_geo.nn.vision.resnet import BasicBlock, Bottleneck

# Parts that a program has as steps, and modules that only say which comes after which.
_STEPS = (FusedConv, FusedSqueezeExcite)
_PLAIN = (MGIC, Bottleneck, BasicBlock, InvertedResidual, nn.Sequential, nn.ModuleList, nn.Identity)
# Programs are made for one size of images; a network that sees many keeps the last ones.
_MOST_PROGRAMS = 16


class FusedStage(nn.Sequential):
    """A sequence of fused blocks whose convolutions run without a call of Python between them.

    On the CPU, for each shape of the input, all steps and their memory are planned once, and all
    threads go through them together. Elsewhere, in other types, while torch compiles, or with hooks
    inside, it is the plain sequence, which computes the same. Its parts are those of the beginning:
    weights may change in place, but to put other modules in, fuse anew.

    Args:
        blocks: The sequence; see :meth:`takes`.
    """

    def __init__(self, blocks: nn.Sequential) -> None:
        super().__init__(*blocks)
        self._forget()

    def _forget(self) -> None:
        """Programs hold the addresses of weights, and those of dense ones in another order."""
        self._programs: dict[Any, Any] = {}
        self._parts: list[nn.Module] = []
        self._copied: list[Tensor] = []

    @staticmethod
    def takes(blocks: nn.Sequential) -> bool:
        """Whether it is more than one step, and all of it is known."""
        parts = list(blocks.modules())
        steps = sum(type(part) in _STEPS for part in parts)
        inside = {m for part in parts if type(part) in _STEPS for m in part.modules()}
        known = all(type(part) in (*_STEPS, *_PLAIN) or part in inside for part in parts)
        return known and steps > 1

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or x.dim() != 4:
            return self._plain(x)
        if not self._parts:
            self._list_parts()
        if any(part._forward_hooks or part._forward_pre_hooks for part in self._parts):
            return self._plain(x)
        versions = tuple(0 if t.is_inference() else t._version for t in self._copied)
        key = x.shape, x.dtype, x.device, torch.get_num_threads(), versions
        if key not in self._programs:
            if len(self._programs) >= _MOST_PROGRAMS:
                self._programs.clear()
            self._programs[key] = self._program(x)
        program = self._programs[key]
        if program is None:
            return self._plain(x)
        y: Tensor = program(x.contiguous(memory_format=torch.channels_last))
        return y

    def _list_parts(self) -> None:
        self._parts = list(self.modules())[1:]
        dense = [m for m in self._parts if isinstance(m, FusedConv) and m.form == "dense"]
        self._copied = [p for conv in dense for p in conv.parameters()]

    def _plain(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x)
        return y

    def _program(self, x: Tensor) -> Any:
        """The program for images like ``x``; None where there is none."""
        fused = fused_for(x)
        steps = [part for part in self._parts if isinstance(part, _STEPS)]
        if fused is None or not all(part.fits(x) for part in steps):
            return None
        builder = fused.ProgramBuilder(x.shape, x.dtype, torch.get_num_threads())
        values: dict[fx.Node, Any] = {}
        for node in _trace(self).nodes:
            given = [values[arg] for arg in node.args if isinstance(arg, fx.Node)]
            if node.op == "placeholder":
                values[node] = builder.input
            elif node.op == "call_module":
                part: Any = self.get_submodule(str(node.target))
                is_step = isinstance(part, _STEPS)
                values[node] = part.record(builder, *given) if is_step else given[0]
            elif node.op == "call_function":
                assert node.target is operator.sub
                values[node] = builder.subtract(*given)
            else:
                plan = builder.build(given[0])
        arguments = [argument.tensor.detach().contiguous() for argument in builder.arguments]
        return fused.Program(plan, arguments)

    def _apply(self, *args: Any, **kwargs: Any) -> FusedStage:
        super()._apply(*args, **kwargs)
        self._forget()
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_programs": {}, "_parts": [], "_copied": []}


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in (*_STEPS, nn.Identity)


def _trace(stage: FusedStage) -> fx.Graph:
    """Which step takes what from which."""
    blocks = nn.Sequential(*stage)  # its forward is what is traced, not the stage's own
    return _Tracer().trace(blocks)
