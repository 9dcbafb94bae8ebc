"""Say what is installed, which loops run, and what is missing: paste it into an issue.

Each line that is not well ends with the command that mends it.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import warnings
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from mgic_geo import __version__
from mgic_geo.cli._output import print_json

# Modules of each extra, with the distributions that bring them.
_EXTRAS = {
    "mesh": {
        "open3d": "open3d-cpu",
        "trimesh": "trimesh",
        "laspy": "laspy",
        "lazrs": "lazrs",
        "h5py": "h5py",
    },
    "viz": {
        "matplotlib": "matplotlib",
        "plotly": "plotly",
        "jinja2": "Jinja2",
        "markdown_it": "markdown-it-py",
    },
    "images": {"PIL": "Pillow"},
    "onnx": {"onnx": "onnx", "onnxscript": "onnxscript", "onnxruntime": "onnxruntime"},
    "executorch": {"executorch": "executorch"},
    "openvino": {"openvino": "openvino"},
    "gpu": {"triton": "triton"},
}
_NEEDED = ("torch", "torch_geometric", "numpy", "scipy", "numba", "safetensors", "accelerate")
_SETTINGS = (
    "MGIC_GEO_KERNELS",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "GLIBC_TUNABLES",
    "NUMBA_CACHE_DIR",
    "CUDA_VISIBLE_DEVICES",
)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: Namespace) -> int:
    found = examine()
    if options.json:
        print_json(found)
        return 0
    for title, rows in found.items():
        print(title)
        width = max(map(len, rows))
        for name, row in rows.items():
            mend = f"   to mend it: {row['mend']}" if row["mend"] else ""
            print(f"  {name.ljust(width)}  {row['is']}{mend}")
    return 0


def examine() -> dict[str, dict[str, dict[str, str]]]:
    """What there is, by headings: ``is`` says what was found, ``mend`` what helps, if anything."""
    return {
        "Versions": _versions(),
        "Devices": _devices(),
        "Loops": _loops(),
        "Extras": _extras(),
        "Caches": _caches(),
        "Settings": {name: _fine(os.environ.get(name, "not set")) for name in _SETTINGS},
    }


def _fine(text: object) -> dict[str, str]:
    return {"is": str(text), "mend": ""}


def _lacks(text: object, mend: str) -> dict[str, str]:
    return {"is": str(text), "mend": mend}


def _versions() -> dict[str, dict[str, str]]:
    rows = {
        "mgic_geo": _fine(__version__),
        "python": _fine(sys.version.split()[0]),
        "system": _fine(f"{platform.system()} {platform.release()}, {platform.machine()}"),
    }
    for name in _NEEDED:
        works, text = _probe(name, name.replace("_", "-"))
        rows[name] = _fine(text) if works else _lacks(text, f'pip install "{name}"')
    return rows


def _devices() -> dict[str, dict[str, str]]:
    import torch

    rows = {"cpu": _fine(f"{torch.get_num_threads()} threads of {os.cpu_count()} processors")}
    for i in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(i).total_memory / 2**30
        rows[f"cuda:{i}"] = _fine(f"{torch.cuda.get_device_name(i)}, {memory:.0f} GiB")
    if not torch.cuda.is_available():
        built = torch.version.cuda
        rows["cuda"] = _fine("no device" if built else "this torch is built for the CPU alone")
    return rows


def _loops() -> dict[str, dict[str, str]]:
    from mgic_geo.graph import available_backends
    from mgic_geo.kernels import dispatch

    if dispatch.COMPILED:
        loops = _fine(f"compiled by Numba, registers of {8 * dispatch.VECTOR_BYTES} bits")
    elif dispatch.MODE == "torch":
        loops = _lacks("plain torch, as MGIC_GEO_KERNELS says", "unset MGIC_GEO_KERNELS")
    else:
        loops = _lacks("plain torch, several times as slow", "pip install numba; see Caches")
    return {
        "operators on the CPU": loops,
        "operators on GPUs": _fine("Triton" if dispatch.TRITON else "plain torch"),
        "nearest neighbours": _fine(", ".join(available_backends())),
    }


def _extras() -> dict[str, dict[str, str]]:
    rows = {}
    for extra, modules in _EXTRAS.items():
        for module, distribution in modules.items():
            works, text = _probe(module, distribution)
            mend = f'pip install "mgic_geo[{extra}]"'
            if module == "open3d" and "libusb" in text:
                mend = "apt-get install libusb-1.0-0"
            rows[f"{extra}: {module}"] = _fine(text) if works else _lacks(text, mend)
    return rows


def _caches() -> dict[str, dict[str, str]]:
    from mgic_geo.models import list_weights

    package = Path(__file__).parents[1]
    folder = Path(os.environ.get("NUMBA_CACHE_DIR", package / "kernels"))
    loops = [path for path in folder.rglob("*.nb[ci]") if path.is_file()]
    size = sum(path.stat().st_size for path in loops) / 2**20
    text = f"{len(loops)} files, {size:.0f} MB in {folder}"
    parent = next(p for p in (folder, *folder.parents) if p.exists())
    writable = os.access(parent, os.W_OK)
    return {
        "compiled loops": _fine(text)
        if writable
        else _lacks(f"{text}, not writable", "export NUMBA_CACHE_DIR=~/.cache/mgic_geo"),
        "shipped weights": _fine(", ".join(list_weights()) or "none"),
        "free disk here": _fine(f"{shutil.disk_usage('.').free / 2**30:.1f} GB"),
    }


def _probe(module: str, distribution: str) -> tuple[bool, str]:
    """Whether a module imports; its version, or why not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: Any = import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            return False, "not installed"
        return False, f"does not import: {error}"
    except Exception as error:  # a library that is broken in its own way
        return False, f"does not import: {' '.join(str(error).split())[:100]}"
    for name in (distribution, module):
        try:
            return True, version(name)
        except PackageNotFoundError:
            pass
    return True, str(getattr(found, "__version__", "installed"))
