"""Running exported files, without the code of the model."""

from __future__ import annotations

import os
import zipfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mgic_geo._optional import require
from mgic_geo.errors import CheckpointError, DataError
from mgic_geo.export.metadata import KEY, ExportInfo

Array = npt.NDArray[np.float32]
SUFFIXES = {".pt2": "torch", ".onnx": "onnx", ".pte": "executorch", ".xml": "openvino"}
"""Formats by the end of a file's name."""


class ExportedModel(ABC):
    """An exported file in its engine: ``logits = model(x)`` of NumPy arrays.

    Args:
        path: The file.
        threads: Threads of the engine; by default its own choice.

    Attributes:
        info: What the file says of itself.

    Raises:
        CheckpointError: It is unreadable, or was not exported by this package.
        ImportError: The engine is not installed; the message names the extra.

    Example:
        Exporting a network and checking the file takes seconds. ::

            from mgic_geo.export import load_exported

            model = load_exported("model.onnx")
            model.format  # "onnx"
            model.info.shape  # (None, None, 3): any number of clouds and points
            model.info.classes[model(cloud[None]).argmax()]  # the class of one cloud [n, 3]
    """

    info: ExportInfo

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.path = path
        try:
            self.info = ExportInfo.from_json(self._open(threads), path)
        except (CheckpointError, ImportError):
            raise
        except Exception as error:  # engines raise all kinds of their own
            reason = (str(error).strip().splitlines() or [""])[0][:160]
            raise CheckpointError(f"{path}: not readable as {self.format} ({reason})") from error

    def __call__(self, x: npt.ArrayLike) -> Array:
        """Logits of a batch in the shape of ``info.shape``.

        Raises:
            DataError: The input has another shape, or clouds are too small for the network.
        """
        x = np.ascontiguousarray(x, dtype=np.float32)
        shape = self.info.shape
        if x.ndim == len(shape) and shape[0] == 1 < len(x):  # one at a time
            return np.concatenate([self(part) for part in np.split(x, len(x))])
        fits = x.ndim == len(shape) and all(want in (None, n) for want, n in zip(shape, x.shape))
        if not fits:
            wanted = ", ".join("any" if n is None else str(n) for n in shape)
            raise DataError(f"{self.path}: takes [{wanted}], got {list(x.shape)}")
        least = self.info.min_points
        if self.info.input == "pos" and x.shape[1] < least:
            raise DataError(
                f"{self.path}: a cloud has {x.shape[1]} points; its network needs {least}, for "
                "every point to have its neighbours"
            )
        return self._run(x)

    @property
    def format(self) -> str:
        """A key of :data:`mgic_geo.export.FORMATS`."""
        return SUFFIXES[self.path.suffix]

    @abstractmethod
    def _open(self, threads: int | None) -> str | None:
        """Loads the file; returns its description."""

    @abstractmethod
    def _run(self, x: Array) -> Array: ...


class _Onnx(ExportedModel):
    def _open(self, threads: int | None) -> str | None:
        runtime = require("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        if threads is not None:
            options.intra_op_num_threads = threads
        self._session = runtime.InferenceSession(
            str(self.path), options, providers=["CPUExecutionProvider"]
        )
        found: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        return found.get(KEY)

    def _run(self, x: Array) -> Array:
        logits: Array = self._session.run(None, {self.info.input: x})[0]
        return logits


class _Torch(ExportedModel):
    def _open(self, threads: int | None) -> str | None:
        import torch

        name = f"{KEY}.json"
        with zipfile.ZipFile(self.path) as archive:  # before torch reads the rest of it
            if not any(entry.endswith(name) for entry in archive.namelist()):
                return None
        files = {name: ""}
        program = torch.export.load(self.path, extra_files=files)
        # torch takes a size that may be 1 for one that is not; the graph is right for both
        self._module = program.module(check_guards=False)
        if threads is not None:
            torch.set_num_threads(threads)
        return files[name]

    def _run(self, x: Array) -> Array:
        import torch

        with torch.no_grad():
            logits: Array = self._module(torch.from_numpy(x)).numpy()
        return logits


class _ExecuTorch(ExportedModel):
    def _open(self, threads: int | None) -> str | None:
        from mgic_geo.export._onnx import quiet

        with quiet():
            runtime = require("executorch.runtime", "executorch").Runtime.get()
            pool = require("executorch.extension.pybindings.portable_lib", "executorch")
        # one for the whole process
        if threads not in (None, pool._threadpool_get_thread_count()):
            pool._unsafe_reset_threadpool(threads)
        self._program = runtime.load_program(self.path.read_bytes())
        self._method = self._program.load_method("forward")
        if "mgic_geo_json" not in self._program.method_names:
            return None
        text: str = self._program.load_method("mgic_geo_json").execute([])[0]
        return text

    def _run(self, x: Array) -> Array:
        import torch

        logits: Array = self._method.execute([torch.from_numpy(x)])[0].numpy()
        return logits


class _OpenVino(ExportedModel):
    def _open(self, threads: int | None) -> str | None:
        openvino = require("openvino", "openvino")
        core = openvino.Core()
        model = core.read_model(self.path)
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # bfloat16 where the processor has it, else
        }
        if threads is not None:
            settings |= {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        self._request = core.compile_model(model, "CPU", settings).create_infer_request()
        return str(model.get_rt_info(KEY).value) if model.has_rt_info(KEY) else None

    def _run(self, x: Array) -> Array:
        logits: Array = self._request.infer([x])[0].copy()
        return logits


_ENGINES: dict[str, type[ExportedModel]] = {
    "torch": _Torch,
    "onnx": _Onnx,
    "executorch": _ExecuTorch,
    "openvino": _OpenVino,
}


def is_exported(path: str | os.PathLike[str]) -> bool:
    """Whether the name is that of an exported file; it need not exist.

    Args:
        path: A file.

    Returns:
        Whether it ends in ``.pt2``, ``.onnx``, ``.pte`` or ``.xml``.

    Example:
        >>> from mgic_geo.export import is_exported
        >>> is_exported("model.onnx"), is_exported("model.safetensors")
        (True, False)
    """
    return Path(path).suffix in SUFFIXES


def load_exported(path: str | os.PathLike[str], threads: int | None = None) -> ExportedModel:
    """Opens an exported file in its engine.

    Args:
        path: ``.pt2``, ``.onnx``, ``.pte`` or ``.xml``.
        threads: Threads of the engine.

    Returns:
        The model in its engine, called with NumPy arrays.

    Raises:
        CheckpointError: It is missing, unreadable, or was not exported by this package.
        ImportError: The engine is not installed; the message names the extra.

    Example:
        Exporting a network and checking the file takes seconds. ::

            import numpy as np
            from mgic_geo.export import load_exported

            model = load_exported("model.onnx", threads=2)
            clouds = np.random.default_rng(0).random((2, 1024, 3), np.float32)
            logits = model(clouds)  # [2, 10], of model.info.classes
    """
    path = Path(path)
    if not is_exported(path):
        raise CheckpointError(f"{path}: exported models end in {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    return _ENGINES[SUFFIXES[path.suffix]](path, threads)
