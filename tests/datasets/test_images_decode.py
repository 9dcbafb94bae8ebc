from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("PIL", reason="Pillow (extra images) is not installed")
from PIL import Image

from mgic_geo.datasets.images import decode_image, read_image
from mgic_geo.datasets.images.decode import decode_mask, probe_image
from mgic_geo.errors import DataError

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_pixels_and_order_of_channels() -> None:
    image = decode_image(encode(Image.fromarray(RGB)))
    assert (image.dtype, image.shape) == (torch.uint8, (3, 5, 7))
    assert image.is_contiguous()
    np.testing.assert_array_equal(image.permute(1, 2, 0), RGB)


@pytest.mark.parametrize("mode", ["L", "1", "LA", "RGBA", "P", "I;16", "CMYK", "YCbCr"])
def test_every_kind_of_image_becomes_rgb(mode: str) -> None:
    grey = np.where(RGB[..., 0] > 127, 255, 0).astype(np.uint8)  # what all modes can say
    if mode == "I;16":
        encoded = encode(Image.fromarray(grey.astype(np.uint16) * 257))
    else:
        image = Image.fromarray(np.repeat(grey[..., None], 3, axis=2)).convert(mode)
        encoded = encode(image, "TIFF" if mode in ("CMYK", "YCbCr") else "PNG")
    out = decode_image(encoded)
    assert (out.dtype, out.shape) == (torch.uint8, (3, 5, 7))
    assert (out.int() - torch.from_numpy(grey).int()).abs().max() <= 1


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    ramp = np.arange(0, 65536, 4096, dtype=np.uint16).reshape(4, 4)
    out = decode_image(encode(Image.fromarray(ramp)))
    np.testing.assert_array_equal(out[0], ramp >> 8)


def test_a_palette_with_transparency() -> None:
    image = Image.fromarray(RGB).convert("P")
    out = decode_image(encode(image, transparency=bytes(range(256))))
    np.testing.assert_array_equal(out.permute(1, 2, 0), np.array(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_upright(orientation: int, kind: str) -> None:
    upright = np.zeros((16, 24, 3), dtype=np.uint8)
    upright[:8, :12] = 255  # the top left corner
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, 3),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    encoded = encode(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif)
    out = decode_image(encoded)
    assert probe_image(encoded) == (16, 24) == tuple(out.shape[1:])
    assert (out.float() - torch.from_numpy(upright).permute(2, 0, 1)).abs().max() < 30


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "flipped"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_damage_is_named(tmp_path: Path, damage: str, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    data = bytearray(encode(Image.fromarray(pixels), kind))
    if damage == "flipped":
        data[2:40] = bytes(38)
    else:
        data = {"empty": b"", "text": b"hello" * 9, "cut": data[: len(data) // 2]}[damage]
    file = tmp_path / "photo.jpg"
    file.write_bytes(data)
    for read in (lambda: read_image(file), lambda: probe_image(bytes(data), str(file))):
        with pytest.raises(DataError, match=r"photo\.jpg: does not decode \(") as error:
            read()
        assert len(str(error.value).splitlines()) == 1


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.png: No such file"):
        read_image(tmp_path / "none.png")


def test_masks_keep_their_values() -> None:
    ids = RGB[..., 0]
    palette = Image.fromarray(ids)
    palette.putpalette(list(range(255, -1, -1)) * 3)
    for encoded in (
        encode(Image.fromarray(ids)),
        encode(palette),
        encode(Image.fromarray(ids.astype(np.uint16))),
    ):
        mask = decode_mask(encoded)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, ids)
    np.testing.assert_array_equal(decode_mask(encode(Image.fromarray(ids > 99))), ids > 99)
    with pytest.raises(DataError, match=r"m\.png: a colour image"):
        decode_mask(encode(Image.fromarray(RGB)), "m.png")
    with pytest.raises(DataError, match=r"m\.png: holds the id 300"):
        decode_mask(encode(Image.fromarray(np.full((2, 2), 300, dtype=np.uint16))), "m.png")


def test_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"mgic_geo\[images\]"):
        decode_image(b"")
