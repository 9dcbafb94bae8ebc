from __future__ import annotations

import pytest

from mgic_geo.costs import count_cost, model_cost
from mgic_geo.models import create_model, list_models


@pytest.mark.parametrize("name", list_models())
def test_stored_costs_are_those_of_the_models(name: str) -> None:
    """``python -m scripts.count_models`` stores them anew."""
    assert model_cost(name) == count_cost(name)


def test_a_model_of_somebody_else_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from mgic_geo.models import registry

    def theirs(num_classes: int = 3) -> object:
        return create_model("mgic_resnet20", num_classes=num_classes)

    monkeypatch.setitem(registry._REGISTRY, "theirs", theirs)
    monkeypatch.setitem(registry._TASKS, "theirs", "images")
    assert model_cost("theirs").parameters < model_cost("mgic_resnet20").parameters
