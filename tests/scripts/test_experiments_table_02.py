from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mgic_geo.kernels import without_compiler
from scripts.experiments import table_02
from scripts.experiments._function import BLOCKS, count, join, network
from scripts.experiments._program import program
from scripts.experiments._rows import read_rows
from scripts.experiments.table_02 import ALPHAS, Run


@pytest.mark.parametrize("block", BLOCKS)
def test_copies_side_by_side_are_networks_of_their_own(block: str) -> None:
    singles = []
    for seed in range(2):
        torch.manual_seed(seed)
        singles.append(network(block, 0.6).double())
    joined = network(block, 0.6, 2).double()
    join(joined, singles)
    assert sum(p.numel() for p in joined.parameters()) == 2 * count(singles[0])[0]
    x = torch.rand(32, 4, dtype=torch.float64)
    with without_compiler():
        for step in range(3):  # of training: statistics and weights stay equal, too
            found = joined(x)
            expected = [single(x[:, 2 * k : 2 * k + 2]) for k, single in enumerate(singles)]
            torch.testing.assert_close(found, torch.cat(expected, dim=1), msg=f"step {step}")
            for model, y in ((joined, found), *zip(singles, expected, strict=True)):
                y.square().mean(dim=0).sum().backward()
                with torch.no_grad():
                    for weight in model.parameters():
                        weight -= 0.1 * weight.grad
                        weight.grad = None
        y = torch.cat([s.eval()(x[:, 2 * k : 2 * k + 2]) for k, s in enumerate(singles)], dim=1)
        torch.testing.assert_close(joined.eval()(x), y)


def test_mgic_is_the_smallest_and_grows_with_the_width_alone() -> None:
    sizes = {block: [count(network(block, alpha))[0] for alpha in ALPHAS] for block in BLOCKS}
    for mine, *others in zip(sizes["MGIC"], sizes["MobileNetV3"], sizes["Ghost"], strict=True):
        assert mine < min(others)
    # twice the width: twice the weights of MGIC, up to the ends and the coarsest grid
    assert sizes["MGIC"][2] < 2.2 * sizes["MGIC"][0]
    assert sizes["MobileNetV3"][2] > 3.0 * sizes["MobileNetV3"][0]


def test_a_resumed_run_equals_one_that_was_never_stopped(tmp_path: Path) -> None:
    whole = Run("MGIC", 0.6, 2, 3, False, 1024, tmp_path / "whole.pt")
    whole.run()
    part = Run("MGIC", 0.6, 2, 3, False, 1024, tmp_path / "part.pt")
    part.run(until=2)
    part = Run("MGIC", 0.6, 2, 3, False, 1024, tmp_path / "part.pt")
    assert part.epoch == 2
    part.run()
    torch.testing.assert_close(part.surface(), whole.surface(), rtol=0, atol=0)
    torch.testing.assert_close(part.loss, whole.loss, rtol=0, atol=0)


def test_rows_and_picture(tmp_path: Path) -> None:
    words = ["--quick", "--out", str(tmp_path), "--runs", str(tmp_path / "runs")]
    assert program(table_02.EXPERIMENT, [*words, "*alpha = 0.8"]) == 0
    rows = read_rows(tmp_path / "table_02.csv")
    assert {row["row"] for row in rows} == {f"{block}, alpha = 0.8" for block in BLOCKS}
    assert all(float(row["ours"]) > 0 for row in rows)
    assert (tmp_path / "table_02.png").stat().st_size > 10_000
