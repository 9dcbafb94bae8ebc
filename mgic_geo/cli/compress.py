"""Compress a network: its dense layers go into the channel hierarchy, fitted to real inputs.

The network is one of the registry, weights as in predict, or your own: module:function, a function
without arguments that returns the network, or the network and example inputs. The result is written
as safetensors; mgic_geo.compress.load_compressed(network, FILE) builds it again.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jsonargparse import ArgumentParser, Namespace
from torch import Tensor, nn

from mgic_geo.cli._nested import nested
from mgic_geo.errors import DataError

if TYPE_CHECKING:
    from mgic_geo.models import WeightsInfo

_BATCH = 64


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "network", metavar="NETWORK", help="name of a model, weights, or module:function"
    )
    parser.add_argument("--target", type=float, help="share of the parameters that may remain")
    parser.add_argument("--target_macs", type=float, help="share of the multiply-accumulates")
    parser.add_argument("--group_size", type=int, default=8, help="channels a group")
    parser.add_argument("--coarsest", type=int, default=16, help="coarse channels without a target")
    parser.add_argument(
        "--where", action="append", metavar="PATTERN", help="names of layers; may be repeated"
    )
    parser.add_argument(
        "--inputs", metavar="FILE", help="real inputs to fit to: .npy, or .pt with a tensor"
    )
    parser.add_argument(
        "--data",
        help="a data set to fit to, a model of the registry's: a name, an npz file or a folder",
    )
    parser.add_argument("--source", help="where a data set with a name lies, if not in the root")
    parser.add_argument("--split", help="train, val or test of the data")
    parser.add_argument("--root", default="datasets", help="folder for downloads and caches")
    parser.add_argument("--samples", type=int, default=256, help="inputs of the data to fit to")
    parser.add_argument(
        "--shape", type=int, nargs="+", metavar="N", help="shape of random inputs instead"
    )
    parser.add_argument("--start", choices=["fit", "layers", "random"], default="fit")
    parser.add_argument("--all_layers", action="store_true", help="the first and last layer, too")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE",
        help="an option of a model of the registry; may be repeated",
    )  # fmt: skip
    parser.add_argument("--latency", action="store_true", help="time both, 1 and 2 threads")
    parser.add_argument("--out", metavar="FILE", help="where the network goes, .safetensors")
    parser.add_argument("--picture", metavar="FILE", help="where the picture goes, .png")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(options: Namespace) -> int:
    from mgic_geo.compress import compress, measure_latency, save_compressed

    model, (example, *more) = _network(options)
    shares = {"parameters": options.target, "macs": options.target_macs}
    target = {name: share for name, share in shares.items() if share is not None}
    real = options.inputs is not None or options.data is not None
    if not real and options.start != "random":
        print("mgic-geo: no --inputs or --data: fitted to the example or to noise", file=sys.stderr)
    slim, report = compress(
        model,
        example,
        options.group_size,
        options.coarsest,
        where=options.where,
        target=target or None,
        loader=more,
        start=options.start,
        keep_ends=False if options.all_layers else None,
    )
    if options.latency:
        report.latency = measure_latency(model, slim, example)
    if options.out is not None:
        save_compressed(slim, options.out)
    if options.picture is not None:
        report.plot(options.picture)
    print(report.to_json() if options.json else report)
    return 0


def _network(options: Namespace) -> tuple[nn.Module, Sequence[Any]]:
    """The network, and batches of what it takes."""
    from mgic_geo.models import WeightsInfo, create_model, list_models, load_model, model_task
    from mgic_geo.profiling import default_image_size

    name, example, info = options.network, None, None
    if name in list_models() and not Path(name).exists():
        import yaml

        pairs = (text.partition("=")[::2] for text in options.option)
        args = nested({key: yaml.safe_load(value) for key, value in pairs})
        model: nn.Module = create_model(name, **args)
        info = WeightsInfo(name, args, (), 1024, model_task(name))
    elif ":" in name and not Path(name).exists():
        model, example = _entry_point(name)
    else:
        model, info = load_model(name)
    if options.inputs is not None:
        return model, [_read(options.inputs)]
    if options.data is not None:
        if info is None:
            raise DataError(
                f"--data is for models of the registry; give those of {name} by --inputs"
            )
        return model, _real(info, options)
    if options.shape is not None:
        return model, [torch.randn(options.shape, generator=torch.Generator().manual_seed(0))]
    if example is None and ":" in name:
        raise DataError(f"{name}: give its inputs by --inputs or --shape")
    if example is None:
        size = getattr(model, "in_chans", 3), *default_image_size(model)
        example = torch.randn(8, *size, generator=torch.Generator().manual_seed(0))
    return model, [example]


def _real(info: WeightsInfo, options: Namespace) -> Sequence[Tensor]:
    from mgic_geo.cli._samples import open_inputs, some_of, take_inputs

    if options.samples < 1:
        raise DataError(f"--samples {options.samples}: at least 1")
    dataset = open_inputs(
        options.data, info, options.network, options.root, options.split, options.source
    )
    index = some_of(torch.arange(len(dataset)), options.samples)
    return take_inputs(dataset, index, info).split(_BATCH)


def _entry_point(name: str) -> tuple[nn.Module, Any]:
    module_name, _, function = name.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        made = getattr(importlib.import_module(module_name), function)()
    except (ImportError, AttributeError) as error:
        raise DataError(f"{name}: cannot be found ({error})") from error
    finally:
        sys.path.pop(0)
    model, example = made if isinstance(made, tuple) else (made, None)
    if not isinstance(model, nn.Module):
        raise DataError(f"{name}: returned {type(model).__name__}, not a torch.nn.Module")
    return model, example


def _read(path: str) -> Tensor:
    try:
        if path.endswith(".npy"):
            import numpy as np

            return torch.from_numpy(np.load(path))
        found = torch.load(path, weights_only=True)
    except OSError:
        raise
    except Exception as error:
        raise DataError(f"{path}: no array or tensor ({error})") from error
    if not isinstance(found, Tensor):
        raise DataError(f"{path}: holds {type(found).__name__}, not one tensor")
    return found
