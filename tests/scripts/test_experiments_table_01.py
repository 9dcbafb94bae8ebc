from __future__ import annotations

import pytest
import torch

from scripts.experiments.table_01 import CHANNELS, COARSEST, Transfer, error, fit, principal


def features(rank: int = CHANNELS) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(rank, CHANNELS, dtype=torch.float64, generator=generator)
    return torch.randn(500, rank, dtype=torch.float64, generator=generator) @ basis


@pytest.mark.parametrize(("group_size", "weights"), [(32, 3328), (16, 1792), (8, 896), (4, 448)])
def test_transfers_have_the_weights_that_the_paper_counts(group_size: int, weights: int) -> None:
    assert sum(p.numel() for p in Transfer(group_size).parameters()) == weights


def test_the_error_follows_from_second_moments() -> None:
    x = features()
    model = Transfer(8).double()
    direct = (x - model(x)).square().mean()
    torch.testing.assert_close(error(model, x.T @ x / len(x)), direct)


def test_the_fit_ends_between_the_floor_and_the_start() -> None:
    x = features()
    moment = x.T @ x / len(x)
    floor, _ = principal(moment, moment)
    values = torch.linalg.svdvals(x)
    torch.testing.assert_close(
        torch.tensor(floor, dtype=torch.float64),
        values[COARSEST:].square().sum() / x.numel(),
    )
    models = {group_size: Transfer(group_size).double() for group_size in (32, 4)}
    start = {g: error(model, moment).item() for g, model in models.items()}
    for model in models.values():
        fit(model, moment, 300, 6)
    found = {g: error(model, moment).item() for g, model in models.items()}
    assert floor < found[32] < start[32]
    assert floor < found[4] < start[4]
    assert found[32] < found[4]  # larger groups see more of what belongs together


def test_what_eight_channels_can_hold_comes_back_whole() -> None:
    # one value a group of eight: restriction by halves inside the group loses nothing
    x = features()[:, :COARSEST].repeat_interleave(CHANNELS // COARSEST, dim=1)
    moment = x.T @ x / len(x)
    model = Transfer(8).double()
    fit(model, moment, 300, 20)
    assert error(model, moment).item() < 1e-7 * moment.trace().item()
