"""Every public name has a page from which its use can be learned."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from scripts.check_docs import NOT_RUN, missing
from scripts.public_names import all_names

NAMES = all_names()


def test_nothing_is_missing() -> None:
    gaps = {f"{package}.{name}": [*missing(f"{package}.{name}", v)] for package, name, v in NAMES}
    assert {name: found for name, found in gaps.items() if found} == {}


def test_what_does_not_run_is_public_and_shows_a_block() -> None:
    values = {f"{package}.{name}": value for package, name, value in NAMES}
    assert NOT_RUN.keys() <= values.keys()
    for name in NOT_RUN:
        text = inspect.getdoc(values[name]) or ""
        assert ">>>" not in text
        code = text.partition("::\n")[2].partition("\n\n\n")[0]
        ast.parse(textwrap.dedent(code))


def whole(x: Tensor, scale: float = 1.0) -> Tensor:
    """Scales features.

    Args:
        x: Features ``[N, C]``.
        scale: Positive factor.

    Returns:
        ``[N, C]``

    Raises:
        ValueError: The factor is not positive.

    Example:
        >>> whole(torch.ones(1, 1), scale=2.0).item()
        2.0
    """
    if scale <= 0.0:
        raise ValueError("scale")
    return torch.mul(x, scale)


def test_a_whole_page_lacks_nothing() -> None:
    assert [*missing("whole", whole)] == []


@pytest.mark.parametrize(
    ("line", "gap"),
    [
        ("Scales features.", "summary"),
        ("        >>> whole(torch.ones(1, 1), scale=2.0).item()", "example"),
        ("        scale: Positive factor.", "argument scale"),
        ("        x: Features ``[N, C]``.", "argument x"),
        ("    Raises:", "errors"),
        ("    Returns:", "returns"),
    ],
)
def test_a_page_without_a_line_lacks_it(
    monkeypatch: pytest.MonkeyPatch, line: str, gap: str
) -> None:
    assert whole.__doc__ is not None
    assert line in whole.__doc__
    monkeypatch.setattr(whole, "__doc__", whole.__doc__.replace(line, ""))
    assert [*missing("whole", whole)] == [gap]


@pytest.mark.parametrize(
    ("shape", "gap"),
    [("Features ``[N, C]``", "shapes of x"), ("        ``[N, C]``", "shapes of return")],
)
def test_a_tensor_needs_a_shape(monkeypatch: pytest.MonkeyPatch, shape: str, gap: str) -> None:
    assert whole.__doc__ is not None
    monkeypatch.setattr(whole, "__doc__", whole.__doc__.replace(shape, "        Features"))
    assert [*missing("whole", whole)] == [gap]


def test_a_word_in_the_text_is_no_entry() -> None:
    def other(scale: float) -> None:
        """Does nothing; of the scale: more could be said.

        Example:
            >>> other(scale=1.0)
        """

    assert [*missing("other", other)] == ["argument scale"]


def test_a_block_counts_for_listed_names_alone() -> None:
    def block() -> None:
        """Does nothing.

        Example:
            It needs a GPU. ::

                block()
        """

    assert [*missing("block", block)] == ["example"]
    assert [*missing(next(iter(NOT_RUN)), block)] == []


def test_checks_of_a_class_raise_and_its_tensors_have_shapes() -> None:
    def check(width: int) -> None: ...

    @dataclass
    class Layer:
        """Does nothing.

        Args:
            width: Channels.

        Example:
            >>> Layer(3)
        """

        width: int

        def __post_init__(self) -> None:
            check(self.width)

        def forward(self, x: Tensor) -> Tensor:
            return x

    assert [*missing("Layer", Layer)] == ["shapes", "errors"]


def test_context_managers_return_nothing_to_speak_of() -> None:
    @contextmanager
    def inside() -> Iterator[None]:
        """Does nothing.

        Example:
            >>> with inside():
            ...     pass
        """
        yield

    @contextmanager
    def opened() -> Iterator[Any]:
        """Gives something.

        Example:
            >>> with opened() as file:
            ...     pass
        """
        yield 0

    assert [*missing("inside", inside)] == []
    assert [*missing("opened", opened)] == ["returns"]
