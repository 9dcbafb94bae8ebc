"""Fit the temperature of a classifier, so that its probabilities mean what they say.

One number divides the logits of clouds that the network was not trained on so that they are as
likely as possible (Guo et al., 2017). No prediction changes. Without --data it takes the validation
part of the run that the weights come from; name no shapes that were trained on. --out writes
weights that carry the temperature, which predict, evaluate and export then use.
"""

from __future__ import annotations

from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace

from mgic_geo.cli._output import percent, print_json
from mgic_geo.cli._weights import load_weights
from mgic_geo.cli.evaluate import add_data_arguments, labelled_clouds
from mgic_geo.errors import DataError
from mgic_geo.export import is_exported
from mgic_geo.models._temperature import save_temperature
from mgic_geo.models.weights import weights_path
from mgic_geo.training import Calibration, fit_temperature, held_out_calibration, predict_logits


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("weights", metavar="WEIGHTS", help="shipped weights, a file, a run folder")
    add_data_arguments(parser, None)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--out", metavar="FILE", help="weights with the temperature")
    parser.add_argument("--picture", metavar="FILE", help="draw confidence against accuracy")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: Namespace) -> int:
    if is_exported(options.weights):
        raise DataError(f"{options.weights}: calibrate the weights, and export them again")
    options.fuse = False
    loaded = load_weights(options)
    if loaded.info.data != "clouds":
        raise DataError(f"{options.weights}: weights for {loaded.info.data}; only those of clouds")
    _complete(options)
    clouds, _, _ = labelled_clouds(loaded, options)
    logits = predict_logits(loaded.model, clouds.pos, options.device)
    before = Calibration.of(logits, clouds.label)
    after = Calibration.of(logits, clouds.label, fit_temperature(logits, clouds.label))
    apart = _apart(logits, clouds.label)
    summary = {
        "weights": options.weights,
        "data": options.data,
        "num_shapes": len(clouds),
        "temperature": round(after.temperature, 6),
        "expected_calibration_error": _pair(before.error, after.error),
        "held_out_expected_calibration_error": apart if apart is None else round(apart, 6),
        "negative_log_likelihood": _pair(before.nll, after.nll),
    }
    if options.out:
        save_temperature(options.weights, summary["temperature"], options.out)
    if options.picture:
        from mgic_geo.viz import plot_reliability

        plot_reliability({"before": before, "after": after}, options.picture)
    if options.json:
        print_json(summary)
        return 0
    print(
        f"temperature {after.temperature:.4f}, of {len(clouds)} shapes\n"
        f"expected calibration error {percent(before.error)} -> {percent(after.error)}, of halves "
        f"that it was not fitted on {percent(apart)}\n"
        f"negative log-likelihood {before.nll:.4f} -> {after.nll:.4f} nats"
    )
    print(f"written to {options.out}" if options.out else "nothing is written without --out FILE")
    return 0


def _pair(before: float, after: float) -> dict[str, float]:
    return {"before": round(before, 6), "after": round(after, 6)}


def _apart(logits: Any, label: Any) -> float | None:
    try:
        return held_out_calibration(logits, label).error
    except DataError:  # one half is all right
        return None


def _complete(options: Namespace) -> None:
    """Without data: the part of those in the config beside the weights that was not trained on."""
    if options.data is not None:
        return
    file = weights_path(options.weights).with_name("config.yaml")
    config = yaml.safe_load(file.read_text("utf-8")) if file.is_file() else {}
    if "data" not in config:
        raise DataError(f"{options.weights}: name shapes that it was not trained on by --data")
    options.data = config["data"]
    options.source = options.source or config.get("source")
    if (options.val_fraction, options.fold, options.split) == (None, None, None):
        options.fold = config.get("fold")
        options.val_fraction = config.get("val_fraction") if options.fold is None else None
    if options.val_fraction == 0.0:
        raise DataError(
            f"{options.weights}: trained on all of {options.data}; name other shapes by --data"
        )
