from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mgic_geo.datasets.furniture import furniture_mesh
from mgic_geo.export import ExportError, export
from mgic_geo.io import write_off
from mgic_geo.models import load_model
from mgic_geo.transforms.sampling import surface_places

Cli = Callable[..., Any]


def test_train_evaluate_and_predict_with_normals(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mgic_geo.datasets.furniture.dataset.PER_CLASS", {"train": 3, "test": 1})
    small = ("--num_points", 64, "--width", 16, "--k", 6, "--epochs", 1, "--batch_size", 10)
    done = cli("train", "--features", "normals", "--augment.cut_mix", 1.0, "--out", "run", *small)
    assert done.code == 0, done.err
    model, info = load_model("run")
    assert info.features == ("normals",)
    assert model.in_channels == info.model_args["in_channels"] == 3
    tuned = cli("train", "--weights", "run", "--out", "tuned", *small[:2], *small[-4:])
    assert tuned.code == 0, tuned.err
    assert load_model("tuned")[1].features == ("normals",)
    measured = cli("evaluate", "--data", "furniture10", "--weights", "run", "--json")
    assert measured.json["num_shapes"] == 10
    mesh = furniture_mesh("chair", seed=1)
    write_off("chair.off", mesh)
    points, face, _ = surface_places(mesh.vertices, mesh.faces, 200, 0)
    a, b, c = (mesh.vertices[mesh.faces[face, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    np.savetxt("scan.xyz", np.hstack([points, normals]))
    np.savetxt("bare.xyz", points)
    found = cli("predict", "chair.off", "scan.xyz", "--weights", "run")
    assert found.code == 0
    assert len(found.out.splitlines()) == 2
    lying = np.hstack([points[:, [0, 2, 1]], normals[:, [0, 2, 1]]]) * ([1, 1, -1] * 2)
    np.savetxt("lying.xyz", lying)  # y up
    up = cli("predict", "lying.xyz", "--weights", "run", "--up", "y", "--json").json[0]
    straight = cli("predict", "scan.xyz", "--weights", "run", "--json").json[0]
    assert up["probability"] == pytest.approx(straight["probability"], abs=1e-4)
    bare = cli("predict", "bare.xyz", "--weights", "run")
    assert bare.code == 1
    assert bare.err == (
        "mgic-geo: bare.xyz: has no normals, which are asked for; beside coordinates it has "
        "nothing\n"
    )
    with pytest.raises(ExportError, match="in_channels = 3: point networks with features"):
        export(model, tmp_path / "m.onnx", info=info)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--features", "smell"), "no feature 'smell': points may have normals, colors, intensity"),
        (("--features", "colors"), "furniture10: has no colors, which are asked for"),
        (("--features", "normals", "--model", "fusion_classifier"), "is no point model"),
        (("--features", "normals", "--data", "cifar10"), "features = normals: cifar10 holds"),
    ],
)
def test_what_cannot_be_is_one_line(cli: Cli, options: tuple[str, ...], says: str) -> None:
    done = cli("train", "--out", "run", *options)
    assert done.code != 0
    assert says in done.err
    assert "Traceback" not in done.err


def test_profile_and_prepare_know_them(cli: Cli) -> None:
    plain = cli("profile", "mgic_diffgcn", "--json")
    more = cli("profile", "mgic_diffgcn", "--option", "in_channels=6", "--json")
    assert more.code == 0, more.err
    assert more.json != plain.json
    done = cli("prepare", "cifar10", "--features", "normals")
    assert "--features is for shapes" in done.err
