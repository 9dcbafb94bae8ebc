"""Normalisation on a chosen channel axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mgic_geo.kernels.dispatch import runs_plain
from mgic_geo.kernels.norm_act import has_norm_act, norm_act
from mgic_geo.nn._rows import as_image, as_rows

Norm = str | Callable[[int], nn.Module] | None


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    r"""Batch normalisation of node features ``[*, C]`` or images ``[B, C, *]``.

    .. math::
        y_c = \gamma_c \, \frac{x_c - \mu_c}{\sqrt{v_c + \epsilon}} + \beta_c

    with mean and variance over all axes but the channels': of the batch in training, the running
    ones in evaluation. It equals ``torch.nn.BatchNorm1d`` and ``BatchNorm2d``.

    Args:
        num_features: Number of channels.
        channel_axis: ``-1`` for node features, ``1`` for images.
        scale: Initial value of the learned scale; 0 makes a residual branch start silent.

    Shapes:
        - **input:** :math:`(*, C)`, or :math:`(B, C, *)` with ``channel_axis=1``
        - **output:** as the input

    Example:
        >>> import torch
        >>> from mgic_geo.nn import BatchNorm
        >>> y = BatchNorm(8)(5.0 + 3.0 * torch.randn(100, 8))
        >>> bool(y.mean(0).abs().max() < 1e-5), bool((y.std(0) - 1.0).abs().max() < 0.01)
        (True, True)
        >>> BatchNorm(8, channel_axis=1)(torch.randn(2, 8, 6, 6)).shape
        torch.Size([2, 8, 6, 6])
    """

    num_batches_tracked: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, channel_axis: int = -1, scale: float = 1.0) -> None:
        self.channel_axis = channel_axis
        self.scale = scale
        super().__init__(num_features)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.constant_(self.weight, self.scale)

    def forward(
        self,
        input: Tensor,
        relu: bool = False,
        residual: Tensor | None = None,
        own: bool = False,
    ) -> Tensor:
        """Normalises; then cuts off at 0 and adds ``residual``, if asked, in the same visit.

        Where ``own`` says that nobody else holds ``input``, inference writes over it.
        """
        x = input
        if own and self._writes_over(x):
            scale, shift = self.scale_and_shift()
            axis = self.channel_axis % x.dim()
            scale, shift = (t.view(-1, *[1] * (x.dim() - 1 - axis)) for t in (scale, shift))
            return _relu_add(torch.addcmul(shift, x, scale, out=x), relu, residual, own=True)
        if self.channel_axis == -1 and x.dim() > 2:
            x = x.flatten(0, -2)
        rows = x if self.channel_axis == -1 else as_rows(x)
        if self.training and rows is not None and self.fuses(rows):
            rest = residual
            if rest is not None:
                rest = same_type(rest, rows)
            if rest is not None:
                rest = rest.reshape(x.shape) if rows is x else as_rows(rest)
            y, mean, var = norm_act(rows, self.weight, self.bias, rest, self.eps, relu)
            self.track(mean, var, rows.size(0))
            y = y.view(input.shape) if rows is x else as_image(y, input)
            # a residual that is laid out in another way
            return y if residual is None or rest is not None else y + residual
        y = super().forward(x).view(input.shape)
        return _relu_add(y, relu, residual, own=True)  # batch norm does not look at y again

    def fuses(self, x: Tensor) -> bool:
        """Whether the statistics of the rows of ``x`` are taken by a fused kernel."""
        same = self.weight is not None and self.weight.dtype == x.dtype
        return same and x.size(0) > 1 and has_norm_act(x)

    def _writes_over(self, x: Tensor) -> bool:
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return False
        if runs_plain([x]):
            return False
        return self.running_mean is not None and self.weight.dtype == x.dtype

    def scale_and_shift(self, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The norm as ``scale * x + shift``, by its running statistics.

        Args:
            bias: Of the map that gave :math:`x`; the norm after :math:`W x + b` is then the map of
                weights ``scale * W`` and bias ``shift``.
        """
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return scale, shift if bias is None else shift + scale * bias

    def track(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Moves the running statistics to those of a batch of ``count`` entries."""
        track_statistics([self], [mean], [var], count)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"BatchNorm needs at least 2 dimensions, got {input.dim()}")


def same_type(term: Tensor, y: Tensor) -> Tensor | None:
    """``term`` in the type of ``y`` where their sum has it, as under autocast; None elsewhere."""
    return term.to(y.dtype) if torch.promote_types(term.dtype, y.dtype) == y.dtype else None


@torch.no_grad()
def track_statistics(
    norms: Sequence[BatchNorm], means: Sequence[Tensor], variances: Sequence[Tensor], count: int
) -> None:
    """:meth:`BatchNorm.track` of several norms together."""
    torch._foreach_add_([norm.num_batches_tracked for norm in norms], 1)
    unbiased = torch._foreach_mul(list(variances), count / (count - 1))
    for norm, mean, var in zip(norms, means, unbiased):
        momentum = norm.momentum
        if momentum is None:
            momentum = 1.0 / float(norm.num_batches_tracked)
        norm.running_mean.lerp_(mean, momentum)
        norm.running_var.lerp_(var, momentum)


def norm_relu_add(
    norm: nn.Module,
    y: Tensor,
    relu: bool = False,
    residual: Tensor | None = None,
    own: bool = False,
) -> Tensor:
    """``ReLU(norm(y)) + residual`` for any norm; :class:`BatchNorm` does it in one go.

    ``own`` says that nobody else holds ``y``.
    """
    if isinstance(norm, BatchNorm):
        done: Tensor = norm(y, relu, residual, own)
        return done
    return _relu_add(norm(y), relu, residual, own=False)


def _relu_add(y: Tensor, relu: bool, residual: Tensor | None, own: bool) -> Tensor:
    """Works in place where nobody else holds ``y``, its ``own`` result."""
    own = own and not runs_plain([y])
    if relu:
        y = y.relu_() if own else y.relu()
    if residual is None:
        return y
    return y.add_(residual) if own and not torch.is_grad_enabled() else y + residual


def make_norm(norm: Norm, channels: int, channel_axis: int = -1, scale: float = 1.0) -> nn.Module:
    """Builds ``"batch"``, ``None`` / ``"none"`` (identity) or what ``norm(channels)`` returns."""
    if norm is None or norm == "none":
        return nn.Identity()
    if norm == "batch":
        return BatchNorm(channels, channel_axis, scale)
    if callable(norm):
        module = norm(channels)
        if scale != 1.0 and isinstance(weight := getattr(module, "weight", None), torch.Tensor):
            nn.init.constant_(weight, scale)
        return module
    raise ValueError(f"norm = {norm!r}: use 'batch', 'none' or a function of the channels")
