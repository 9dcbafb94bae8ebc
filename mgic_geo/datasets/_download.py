"""Large files from several mirrors: resumed, checked, and under their name only when whole."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mgic_geo.datasets._sampling import progress_bar
from mgic_geo.errors import DataError
from mgic_geo.io import full_disk_as_data_error

_BLOCK = 1 << 18
_ATTEMPTS = 3  # for each mirror; each goes on where the last one broke off
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class DownloadError(DataError):
    """No mirror gave the file; the message says why, one reason a mirror."""


class _Damaged(Exception):
    pass


def download(
    urls: Sequence[str],
    target: str | os.PathLike[str],
    sha256: str | None = None,
    timeout: float = 30.0,
    progress: bool | None = None,
    md5: str | None = None,
) -> None:
    """Downloads a file from the first mirror that has it.

    What has arrived lies in ``<target>.part``; an interrupted download (Ctrl-C, a lost connection)
    goes on from there, also in a later call and from another mirror, if the server can
    (HTTP ``Range``).

    Args:
        urls: The mirrors, http or https, in the order of trying.
        target: The file.
        sha256: Its checksum in hexadecimal; :obj:`None` takes what comes.
        timeout: Seconds that a server may be silent.
        progress: Whether to show a bar; :obj:`None`: where the error output is a terminal.
        md5: Its MD5, for publishers who give no other; it finds damage, not forgery.

    Raises:
        DownloadError: No mirror gave the file, or not with this checksum.
        DataError: The disk is full.
    """
    target = Path(target)
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    checksums = {"sha256": sha256, "md5": md5}
    expected = {name: value.lower() for name, value in checksums.items() if value is not None}
    reasons = []
    for url in urls:
        try:
            _from_mirror(url, part, expected, timeout, progress)
        except DataError:  # a full disk: give the space back
            part.unlink(missing_ok=True)
            raise
        except (OSError, http.client.HTTPException, ValueError, _Damaged) as error:
            host = urllib.parse.urlsplit(url).netloc or url
            reasons.append(f"{host}: {getattr(error, 'reason', None) or error or type(error)}")
        else:
            os.replace(part, target)
            return
    raise DownloadError("; ".join(reasons) or "there is no mirror to ask")


def _from_mirror(
    url: str, part: Path, expected: Mapping[str, str], timeout: float, progress: bool | None
) -> None:
    resumed = part.exists()
    for attempt in range(_ATTEMPTS):
        try:
            _fetch(url, part, timeout, progress)
            break
        except urllib.error.HTTPError as error:
            if error.code != 416:
                raise
            part.unlink(missing_ok=True)  # it is longer than the file: begin again
        except (OSError, http.client.HTTPException):
            if attempt == _ATTEMPTS - 1:
                raise
    else:
        raise _Damaged("the server refuses to send it")
    if all(_digest(part, name) == value for name, value in expected.items()):
        return
    part.unlink()
    if resumed:  # what lay there may have been the culprit
        return _from_mirror(url, part, expected, timeout, progress)
    raise _Damaged("what it sent has another checksum")


def _fetch(url: str, part: Path, timeout: float, progress: bool | None) -> None:
    have = part.stat().st_size if part.exists() else 0
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"{url} is no http or https address")
    headers = {"User-Agent": "mgic_geo", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)
    with full_disk_as_data_error(part), _open(request, timeout) as response:
        span = _RANGE.match(response.headers.get("Content-Range") or "")
        if response.status == 206 and span and int(span[1]) == have:
            total = int(span[2])
        else:  # the server sends all of it
            have, total = 0, int(response.headers.get("Content-Length") or 0)
        with (
            part.open("ab" if have else "wb") as file,
            progress_bar(
                progress,
                total=total or None,
                initial=have,
                desc=part.stem,
                unit="B",
                unit_scale=True,
            ) as bar,
        ):
            while block := response.read(_BLOCK):
                file.write(block)
                bar.update(len(block))
                have += len(block)
    if have < total:
        raise ConnectionError(f"the connection broke off after {have} of {total} bytes")


def _open(request: urllib.request.Request, timeout: float) -> Any:
    try:
        return urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        raise


def _digest(path: Path, name: str) -> str:
    digest = hashlib.new(name, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
