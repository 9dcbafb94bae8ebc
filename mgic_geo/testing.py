"""The test kit: small inputs, and assertions of what hierarchies and graph layers promise."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import ConvexHull
from torch import Tensor, nn

from mgic_geo._optional import require
from mgic_geo._tiny_point_labels import write_tiny_s3dis, write_tiny_shapenet_part
from mgic_geo.io import Mesh, write_off

__all__ = [
    "assert_full_coupling",
    "assert_linear_scaling",
    "assert_permutation_equivariant",
    "channel_jacobian",
    "random_clouds",
    "randomize_norms",
    "settle_norms",
    "write_tiny_image_tree",
    "write_tiny_off_tree",
    "write_tiny_s3dis",
    "write_tiny_segmentation_tree",
    "write_tiny_shapenet_part",
]

# Width, depth and height of boxes that a small network tells apart; names of ModelNet-10's classes.
_BOXES = {"bed": (2.0, 1.6, 0.4), "dresser": (1.0, 0.5, 1.2), "monitor": (1.0, 0.1, 0.7)}
# Colours that a small network tells apart; the first is the background of what has masks.
_COLOURS = {"blue": (40, 60, 200), "green": (50, 190, 60), "red": (210, 50, 40)}


def random_clouds(
    num_clouds: int = 2,
    num_points: int = 32,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    ragged: bool = False,
) -> tuple[Tensor, Tensor]:
    """Uniform points in the unit cube, batched the PyG way.

    Args:
        num_clouds: Number of clouds.
        num_points: Points a cloud.
        seed: Same seed, same clouds, on every machine.
        dtype: Type of the coordinates.
        ragged: Take a random number of points, between half of ``num_points`` and all, per cloud.

    Returns:
        Positions ``[N, 3]`` and the cloud of each point, int64 ``[N]``, sorted.

    Example:
        >>> from mgic_geo.testing import random_clouds
        >>> pos, batch = random_clouds(num_clouds=2, num_points=3)
        >>> pos.shape, batch.tolist()
        (torch.Size([6, 3]), [0, 0, 0, 1, 1, 1])
    """
    rng = np.random.default_rng(seed)
    low = (num_points + 1) // 2 if ragged else num_points
    sizes = rng.integers(low, num_points + 1, num_clouds)
    pos = torch.from_numpy(rng.random((int(sizes.sum()), 3))).to(dtype)
    return pos, torch.from_numpy(np.repeat(np.arange(num_clouds), sizes))


def write_tiny_off_tree(
    folder: str | os.PathLike[str],
    classes: Sequence[str] = tuple(_BOXES),
    shapes: int = 4,
    seed: int = 0,
) -> Path:
    """Writes boxes as OFF files in ModelNet's layout, ``<class>/<split>/<class>_0001.off``.

    Args:
        folder: Where to put the tree.
        classes: Some of ``"bed"``, ``"dresser"`` and ``"monitor"``, all of them in ModelNet-10.
        shapes: Shapes a class and split; ``train`` and ``test`` are numbered on, as in ModelNet.
        seed: Varies the sizes of the boxes by up to a tenth.

    Returns:
        The folder.

    Raises:
        KeyError: A class is another.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.testing import write_tiny_off_tree
        >>> with TemporaryDirectory() as folder:
        ...     tree = write_tiny_off_tree(folder, classes=["bed"], shapes=1)
        ...     print(sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*.off")))
        ['bed/test/bed_0002.off', 'bed/train/bed_0001.off']
    """
    rng = np.random.default_rng(seed)
    corners = np.stack(np.meshgrid([0.0, 1.0], [0.0, 1.0], [0.0, 1.0]), axis=-1).reshape(-1, 3)
    faces = ConvexHull(corners).simplices
    for name in classes:
        for i in range(2 * shapes):
            split = "train" if i < shapes else "test"
            box = corners * _BOXES[name] * rng.uniform(0.9, 1.1, 3)
            write_off(Path(folder) / name / split / f"{name}_{i + 1:04d}.off", Mesh(box, faces))
    return Path(folder)


def write_tiny_image_tree(
    folder: str | os.PathLike[str],
    classes: Sequence[str] = tuple(_COLOURS),
    images: int = 4,
    size: tuple[int, int] = (16, 16),
    splits: Sequence[str] = (),
    seed: int = 0,
) -> Path:
    """Writes noisy images of one colour a class, as ``<split>/<class>/<class>_0001.png``.

    Args:
        folder: Where to put the tree.
        classes: Some of ``"blue"``, ``"green"`` and ``"red"``.
        images: Images a class and split, numbered on from split to split.
        size: Height and width.
        splits: Folders above the classes; none without.
        seed: Of the noise.

    Returns:
        The folder.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.testing import write_tiny_image_tree
        >>> with TemporaryDirectory() as folder:
        ...     tree = write_tiny_image_tree(folder, classes=["red"], images=1, splits=["train"])
        ...     print([path.relative_to(tree).as_posix() for path in tree.rglob("*.png")])
        ['train/red/red_0001.png']
    """
    rng = np.random.default_rng(seed)
    for name in classes:
        for number, split in enumerate(splits or ("",)):
            for i in range(number * images, (number + 1) * images):
                pixels = rng.normal(_COLOURS[name], 30.0, (*size, 3))
                _write_png(Path(folder) / split / name / f"{name}_{i + 1:04d}.png", pixels)
    return Path(folder)


def write_tiny_segmentation_tree(
    folder: str | os.PathLike[str],
    images: int = 4,
    size: tuple[int, int] = (24, 32),
    splits: Sequence[str] = (),
    seed: int = 0,
) -> Path:
    """Writes coloured rectangles on a background, and their classes, as ``images/scene_0001.png``.

    The masks lie in ``labels/`` under the same names: 0 is the blue background, 1 a green and 2 a
    red rectangle; a frame of one pixel is 255, to be ignored. ``classes.txt`` names the classes.

    Args:
        folder: Where to put the tree.
        images: Images a split, numbered on from split to split.
        size: Height and width.
        splits: Folders above ``images`` and ``labels``; none without.
        seed: Of noise and places.

    Returns:
        The folder.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.testing import write_tiny_segmentation_tree
        >>> with TemporaryDirectory() as folder:
        ...     tree = write_tiny_segmentation_tree(folder, images=1)
        ...     print(sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*.*")))
        ['classes.txt', 'images/scene_0001.png', 'labels/scene_0001.png']
    """
    rng = np.random.default_rng(seed)
    colours = np.array(list(_COLOURS.values()))
    for number, split in enumerate(splits or ("",)):
        for i in range(number * images, (number + 1) * images):
            mask = np.zeros(size, dtype=np.uint8)
            for label in (1, 2):
                top, left = (int(rng.integers(0, n // 2)) for n in size)
                mask[top : top + size[0] // 2, left : left + size[1] // 3] = label
            pixels = rng.normal(colours[mask], 30.0)
            mask[[0, -1]] = mask[:, [0, -1]] = 255
            name = f"scene_{i + 1:04d}.png"
            _write_png(Path(folder) / split / "images" / name, pixels)
            _write_png(Path(folder) / split / "labels" / name, mask)
    (Path(folder) / "classes.txt").write_text("\n".join(_COLOURS) + "\n", encoding="utf-8")
    return Path(folder)


def _write_png(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    rounded = pixels.round().clip(0, 255).astype(np.uint8)
    require("PIL.Image", "images").fromarray(rounded).save(file)


def randomize_norms(module: nn.Module, seed: int = 0) -> nn.Module:
    """Gives every batch norm random scales, shifts and statistics.

    A prolongation with ``correction_scale=0`` starts with a norm of scale 0, which hides the whole
    branch from a test of values and gradients. Random scales show it.

    Args:
        module: Changed in place.
        seed: Same seed, same numbers, on every machine.

    Returns:
        The module.

    Example:
        >>> from mgic_geo.nn import BatchNorm
        >>> from mgic_geo.testing import randomize_norms
        >>> norm = randomize_norms(BatchNorm(8, scale=0.0))
        >>> bool((norm.weight >= 0.5).all())
        True
    """
    generator = torch.Generator().manual_seed(seed)
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            state = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
            ranges = ((0.5, 1.5), (-0.2, 0.2), (-0.2, 0.2), (0.5, 1.5))
            for tensor, (low, high) in zip(state, ranges):
                if tensor is not None:
                    drawn = torch.rand(tensor.shape, generator=generator) * (high - low) + low
                    tensor.data.copy_(drawn)
    return module


@torch.no_grad()
def settle_norms(module: nn.Module, *inputs: Tensor) -> nn.Module:
    """Gives every batch norm the statistics of some inputs, and returns the module in eval mode.

    As trained networks have them: otherwise outputs of random weights grow with the depth.

    Args:
        module: The network.
        inputs: Its arguments, a batch: of clouds ``[B, n, 3]``, say.

    Returns:
        ``module``.

    Example:
        >>> from mgic_geo.models import create_model
        >>> settle_norms(create_model("resnet20"), torch.rand(4, 3, 32, 32)).training
        False
    """
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    module.train()(*inputs)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    return module.eval()


def assert_linear_scaling(
    count: Callable[[int], int], widths: Sequence[int]
) -> tuple[Fraction, Fraction]:
    """Asserts that an integer count is affine in the width, exactly: ``slope * width + offset``.

    Args:
        count: Counts parameters, multiply-accumulates, ... of something of a given width.
        widths: Three widths or more; above the coarsest grid, where the law begins.

    Returns:
        Slope and offset.

    Raises:
        ValueError: Fewer than three widths.
        AssertionError: A count lies off the line through the first two.

    Example:
        >>> from mgic_geo.hierarchy import ChannelHierarchy
        >>> slope, _ = assert_linear_scaling(
        ...     lambda c: ChannelHierarchy(c, 8, 16).parameters(9), [64, 128, 256, 512]
        ... )
        >>> print(slope)
        164
    """
    if len(widths) < 3:
        raise ValueError(f"widths = {list(widths)}: two numbers always lie on a line; give three")
    counts = [count(width) for width in widths]
    slope = Fraction(counts[1] - counts[0], widths[1] - widths[0])
    offset = counts[0] - slope * widths[0]
    for width, found in zip(widths, counts):
        law = slope * width + offset
        assert found == law, f"width {width} counts {found}, the line through the first two: {law}"
    return slope, offset


def channel_jacobian(
    module: Callable[..., Tensor], x: Tensor, *args: object, channel_axis: int = -1, seed: int = 0
) -> Tensor:
    """How much each output channel depends on each input channel.

    Args:
        module: Layer or function, called as ``module(x, *args)``.
        x: Features ``[N, C_in]``, or images ``[B, C_in, *]`` with ``channel_axis=1``.
        args: Further arguments, such as ``edge_index``.
        channel_axis: ``-1`` or ``1``.
        seed: Of the random weights that combine the positions of a channel, so that equal
            contributions with opposite signs do not hide each other.

    Returns:
        ``[C_out, C_in]``, summed magnitudes of gradients; 0 where a channel has no influence.

    Example:
        >>> import torch
        >>> from mgic_geo.nn import GroupedPointwise
        >>> from mgic_geo.testing import channel_jacobian
        >>> layer = GroupedPointwise(4, 4, groups=2)
        >>> (channel_jacobian(layer, torch.randn(3, 4)) > 0).int().tolist()  # block-diagonal
        [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    """
    x = x.detach().clone().requires_grad_()
    y = module(x, *args)
    weight = torch.rand(y.shape, generator=torch.Generator().manual_seed(seed)).to(y) + 0.5
    rows = []
    for channel in (y * weight).unbind(channel_axis):
        (grad,) = torch.autograd.grad(channel.sum(), x, retain_graph=True)
        rows.append(grad.abs().movedim(channel_axis, 0).flatten(1).sum(1))
    return torch.stack(rows)


def assert_full_coupling(
    module: Callable[..., Tensor], x: Tensor, *args: object, channel_axis: int = -1
) -> None:
    """Asserts that every output channel depends on every input channel at ``x``.

    Args:
        module: Layer or function, called as ``module(x, *args)``.
        x: Random features ``[N, C_in]``, or images ``[B, C_in, *]`` with ``channel_axis=1``; at
            special points a gradient may vanish by chance.
        args: Further arguments, such as ``edge_index``.
        channel_axis: ``-1`` or ``1``.

    Raises:
        AssertionError: It does not; the message names the first pair of channels.

    Example:
        >>> import torch
        >>> from mgic_geo.nn import MGIC, GroupedPointwise
        >>> from mgic_geo.testing import assert_full_coupling
        >>> layer = MGIC(lambda c, g: GroupedPointwise(c, c, groups=g), 32, norm="none")
        >>> assert_full_coupling(layer, torch.randn(3, 32))  # grouped blocks, and yet all couple
    """
    missing = (channel_jacobian(module, x, *args, channel_axis=channel_axis) == 0.0).nonzero()
    if len(missing):
        first, second = missing[0].tolist()
        raise AssertionError(
            f"{len(missing)} pairs of channels are not coupled, the first: output {first} does not "
            f"depend on input {second}"
        )


def assert_permutation_equivariant(
    function: Callable[..., Tensor],
    *inputs: Tensor,
    batch: Tensor | None = None,
    invariant: bool = False,
    seed: int = 0,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> None:
    """Asserts that renumbering the points renumbers the output, or leaves it alone.

    Args:
        function: Called as ``function(*inputs)``.
        inputs: Tensors ``[N, *]`` with the points on their first axis, all renumbered alike.
        batch: Cloud of each point, ``[N]``; points then stay in their cloud, so that ``batch``
            stays as it is.
        invariant: The output has no points (pooled) and must not change.
        seed: Of the permutation.
        rtol: Relative tolerance.
        atol: Absolute tolerance.

    Raises:
        AssertionError: The output is another.

    Example:
        >>> import torch
        >>> from mgic_geo.graph import knn_graph
        >>> from mgic_geo.nn import EdgeConv
        >>> from mgic_geo.testing import assert_permutation_equivariant, random_clouds
        >>> layer = EdgeConv([6, 16])
        >>> pos, batch = random_clouds(num_clouds=2, num_points=16)
        >>> assert_permutation_equivariant(
        ...     lambda pos: layer(pos, knn_graph(pos, 4, batch)), pos, batch=batch
        ... )
    """
    count = inputs[0].size(0)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(count))
    if batch is not None:
        order = order[torch.argsort(batch[order], stable=True)]
    expected = function(*inputs)
    found = function(*(tensor[order] for tensor in inputs))
    torch.testing.assert_close(
        found, expected if invariant else expected[order], rtol=rtol, atol=atol
    )
