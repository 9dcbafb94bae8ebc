"""Compiled readers of other projects, in a process of their own.

A damaged HDF5 or LAZ file may bring its library down, keep it busy for ever or ask for all memory.
A helper process, started at the first such file and kept for the next ones, takes the blow.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_LENGTHS = struct.Struct("<QQ")  # of the text and of the bytes behind it
_SECONDS = 10.0  # and as long again for each 10 MB
_lock = threading.Lock()
_helper: tuple[int, subprocess.Popen[bytes]] | None = None


class _Gone(Exception):
    """The helper has died, or takes too long."""


def read_apart(kind: str, data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays that a reader of :mod:`mgic_geo.io._helper` finds.

    Args:
        kind: ``"las"`` or ``"hdf5"``.
        data: Content of the file.

    Raises:
        ValueError: It cannot be read.
    """
    with _lock:
        deadline = time.monotonic() + _SECONDS * (1.0 + len(data) / 1e7)
        process = _started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            send(process.stdin, {"kind": kind}, data)
            answer, content = _receive(process.stdout, deadline)
        except (_Gone, OSError, ValueError):
            stop()
            raise ValueError("its reader breaks down on it") from None
        except BaseException:  # Ctrl-C: the answer of this file must not become that of the next
            stop()
            raise
    if "error" in answer:
        raise ValueError(answer["error"])
    arrays, at = {}, 0
    for name, dtype, shape in answer["arrays"]:
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(content, np.dtype(dtype), count, at).reshape(shape)
        at += arrays[name].nbytes
    return arrays


def send(stream: IO[bytes], message: dict[str, Any], content: bytes) -> None:
    """Writes a message and the bytes that belong to it."""
    text = json.dumps(message).encode()
    stream.write(_LENGTHS.pack(len(text), len(content)) + text)
    stream.write(content)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """What :func:`send` wrote at the other end, None at the end of the stream."""
    head = stream.read(_LENGTHS.size)
    if len(head) < _LENGTHS.size:
        return None
    text, content = _LENGTHS.unpack(head)
    return json.loads(stream.read(text)), stream.read(content)


def _receive(stream: IO[bytes], deadline: float) -> tuple[dict[str, Any], bytes]:
    text, content = _LENGTHS.unpack(_read(stream, _LENGTHS.size, deadline))
    return json.loads(_read(stream, text, deadline)), _read(stream, content, deadline)


def _read(stream: IO[bytes], count: int, deadline: float) -> bytes:
    parts: list[bytes] = []
    while count:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([stream], [], [], left)[0]:
            raise _Gone
        part = os.read(stream.fileno(), min(count, 1 << 20))
        if not part:
            raise _Gone
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _started() -> subprocess.Popen[bytes]:
    global _helper
    if _helper is not None and _helper[0] == os.getpid() and _helper[1].poll() is None:
        return _helper[1]
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-m", "mgic_geo.io._helper"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,  # Ctrl-C is the parent's to answer
        bufsize=0,
    )
    _helper = (os.getpid(), process)
    return process


def stop() -> None:
    """Ends the helper, if this process has one."""
    global _helper
    helper, _helper = _helper, None
    if helper is not None and helper[0] == os.getpid():
        helper[1].kill()
        helper[1].wait()
        for stream in (helper[1].stdin, helper[1].stdout):
            if stream is not None:
                stream.close()


atexit.register(stop)
