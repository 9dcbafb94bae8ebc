"""Blocks of a fused image network as one compiled program."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

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
    threads go through them together. Elsewhere, in other types, while torch compiles, with hooks
    inside, or with a dense weight that fits no cache, it is the plain sequence, which computes the
    same. Weights may change; to put other modules into its blocks, fuse anew.
    """

    def __init__(self, *blocks: Any) -> None:
        super().__init__(*blocks)
        self._programs: dict[Any, Any] = {}
        # Of these blocks, all that is inside: a network is asked far more often than it changes.
        self._inside: tuple[list[nn.Module], list[nn.Module]] = ([], [])

    @classmethod
    def of(cls, blocks: nn.Sequential) -> FusedStage:
        """``blocks`` as a stage, with their names and hooks; see :meth:`takes`."""
        stage = cls()
        stage.__dict__.update(blocks.__dict__)
        return stage

    @staticmethod
    def takes(blocks: nn.Sequential) -> bool:
        """Whether it is more than one step, and all of it is known."""
        parts = list(blocks.modules())
        steps = [part for part in parts if type(part) in _STEPS]
        inside = {module for step in steps for module in step.modules()}
        known = all(type(part) in _PLAIN or part in inside for part in parts)
        return known and len(steps) > 1

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or not isinstance(x, Tensor) or x.dim() != 4:
            return super().forward(x)
        parts = self._parts()
        if any(part._forward_hooks or part._forward_pre_hooks for part in parts):
            return super().forward(x)
        # A program has the addresses of weights, and they live as long as it does.
        weights = [p for part in parts for p in part._parameters.values() if p is not None]
        where = tuple([p.data_ptr() for p in weights])
        key = x.shape, x.dtype, x.device, torch.get_num_threads(), where
        programs = self._programs
        program = programs.get(key, self)
        if program is self:
            if len(programs) >= _MOST_PROGRAMS:
                programs.pop(next(iter(programs)), None)  # the oldest
            program = programs[key] = self._program(x, parts)
        if program is None:
            return super().forward(x)
        return cast(Tensor, program(x.contiguous(memory_format=torch.channels_last)))

    def _parts(self) -> list[nn.Module]:
        """All modules inside."""
        blocks, parts = self._inside
        if blocks != list(self):
            parts = list(self.modules())[1:]
            self._inside = list(self), parts
        return parts

    def _program(self, x: Tensor, parts: list[nn.Module]) -> Any:
        """The program for images like ``x``; None where there is none."""
        fused = fused_for(x)
        steps = [part for part in parts if isinstance(part, _STEPS)]
        if fused is None or not all(step.fits(x) for step in steps):
            return None
        builder = fused.ProgramBuilder(x.shape, x.dtype, torch.get_num_threads())
        plan = builder.build(super().forward(builder.input))
        tensors = [argument.tensor.detach() for argument in builder.arguments]
        whole = all(tensor.is_contiguous() for tensor in tensors)
        return fused.Program(plan, tensors) if whole else None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_programs": {}, "_inside": ([], [])}
