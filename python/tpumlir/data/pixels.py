"""Pictures to numbers, with the meaning that TPU-MLIR gives to ``model_transform``'s preprocess flags.

The order is: decode to 8 bits, turn as EXIF says, resize (or letterbox, or scale the short side), crop to the
model's size, order the channels, then ``(x - mean) * scale`` per channel **in the order of the pixel
format**, then nchw or nhwc, then the type of the model's input.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tpumlir.data.recipe import Recipe
from tpumlir.errors import InputError

F32 = npt.NDArray[np.float32]
Array = npt.NDArray[Any]

_INTEGERS = {
    name: (int(np.iinfo(name).min), int(np.iinfo(name).max))
    for name in (f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
}
_FLOATS = frozenset({"float32", "float16", "bfloat16", "float64"})


def tensor(how: Recipe, paths: Sequence[Path], n: int, h: int, w: int) -> Array:
    """The ``n`` pictures of ``h`` x ``w`` in the order and type of ``how``; a single one is repeated.

    Raises: InputError: not a picture.
    """
    images = [_pixels(how, path, h, w) for path in paths]
    return from_pixels(how, np.stack(images * (n if len(images) == 1 else 1)))


def from_pixels(how: Recipe, pixels: npt.NDArray[np.uint8]) -> Array:
    """Pictures x height x width x channels, in the order of ``how``, as it wants them."""
    batch = _scaled(how, pixels)
    ordered = batch if how.channel_format == "nhwc" else batch.transpose(0, 3, 1, 2)
    return _in_type(np.ascontiguousarray(ordered), how.onnx_type)


def lost_number(how: Recipe, channels: int) -> str | None:
    """Which pixel gives a number that the input's type does not hold, and what to do.

    All 256 pixels are tried, so that no picture is needed to say so, and every picture passes afterwards.
    """
    kind = how.onnx_type
    if kind not in _INTEGERS and kind not in _FLOATS:
        return f"expected an input of numbers to fill from a picture, got {kind} (give an npy or npz file)"
    values = _scaled(how, np.repeat(np.arange(256)[:, None], channels, axis=1))
    if kind in _INTEGERS:
        # Compared in 64-bit floats: a limit of a 64-bit integer is not one of 32-bit floats.
        low, high = (float(limit) for limit in _INTEGERS[kind])
        exact = values.astype(np.float64)
        bad = (exact != np.round(exact)) | (exact < low) | (exact >= high + 1)
        holds = f"whole numbers from {_INTEGERS[kind][0]} to {_INTEGERS[kind][1]}, as {kind} holds"
        remedy = "--mean 128 without --scale" if kind == "int8" else "no --mean and no --scale"
    else:
        bad = ~np.isfinite(_in_type(values, kind).astype(np.float64))
        holds = f"numbers that {kind} holds"
        remedy = "a --scale nearer to 0"
    if not bad.any():
        return None
    pixel, channel = (int(i) for i in np.argwhere(bad)[0])
    return (
        f"expected {holds}, from (pixel - mean) * scale, got {values[pixel, channel]:.9g} for pixel {pixel} "
        f"of channel {channel} ({remedy} would fit; or give an npy or npz file)"
    )


def _scaled(how: Recipe, pixels: Array) -> F32:
    """(pixels - mean) * scale along the last axis, in float32."""
    c = pixels.shape[-1]
    mean = np.array(how.mean if len(how.mean) == c else how.mean[:1] * c, np.float32)
    scale = np.array(how.scale if len(how.scale) == c else how.scale[:1] * c, np.float32)
    with np.errstate(over="ignore"):
        result: F32 = (pixels.astype(np.float32) - mean) * scale
    return result


def _in_type(values: F32, kind: str) -> Array:
    """``values`` in an ONNX type; bfloat16 as the float32 that it equals."""
    if kind == "bfloat16":
        from tpumlir import npz

        return npz.to_f32_from_bf16_bits(npz.to_bf16_bits(values))
    with np.errstate(over="ignore"):
        return values.astype(kind)


# --- pixels ------------------------------------------------------------------------


def _pixels(how: Recipe, path: Path, h: int, w: int) -> npt.NDArray[np.uint8]:
    """Height x width x channels, in the order of the pixel format."""
    mode = {"gray": "L", "rgba": "RGBA"}.get(how.pixel_format, "RGB")
    pixels = fitted(how, path, mode, h, w).reshape(h, w, how.channels)
    return pixels[:, :, ::-1] if how.pixel_format == "bgr" else pixels


def fitted(how: Recipe, path: Path, mode: str, h: int, w: int) -> npt.NDArray[np.uint8]:
    """A picture of ``h`` x ``w`` in one of Pillow's modes of 8 bits: resized as ``how`` says, then cropped.

    Raises: InputError: not a picture.
    """
    height, width = how.picture_dims or (h, w)
    if path.suffix.lower() == ".yuv":
        from tpumlir.data.formats import colours_of

        pixels = colours_of(how, path, height, width)
    else:
        pixels = _fitted(how, _decode(path, mode), height, width)
    (result,) = middle(pixels[None], h, w)
    return np.asarray(result, np.uint8)


def middle(pixels: npt.NDArray[np.uint8], h: int, w: int) -> npt.NDArray[np.uint8]:
    """The middle of pictures x height x width, where TPU-MLIR has it, also on the chip."""
    top, left = pixels.shape[1] // 2 - h // 2, pixels.shape[2] // 2 - w // 2
    return pixels[:, top : top + h, left : left + w]


def _decode(path: Path, mode: str) -> Any:
    """The picture in 8 bits, turned upright. Raises: InputError."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise InputError(f"{path}: pictures need Pillow (pip install 'tpumlir[image]')") from None
    # What Pillow raises for files that are damaged in their middle is not of one class.
    damaged = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I"):  # 16 bits of gray: Pillow itself would cut off at 255
                image = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
            return image.convert(mode)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except damaged as error:
        raise InputError(f"{path}: expected an image, got: {' '.join(str(error).split())}") from None


def _fitted(how: Recipe, image: Any, height: int, width: int) -> npt.NDArray[np.uint8]:
    if not how.keep_aspect_ratio:
        return _resized(image, height, width)
    ratios = height / image.height, width / image.width
    ratio = min(ratios) if how.keep_ratio_mode == "letterbox" else max(ratios)
    new_h, new_w = max(1, int(image.height * ratio + 1e-6)), max(1, int(image.width * ratio + 1e-6))
    pixels = _resized(image, new_h, new_w)
    if how.keep_ratio_mode == "short_side_scale":
        top, left = (new_h - height) // 2, (new_w - width) // 2
        return pixels[top : top + height, left : left + width]
    below, right = height - new_h, width - new_w
    top, left = (below // 2, right // 2) if how.pad_type == "center" else (0, 0)
    pads = ((top, below - top), (left, right - left)) + ((0, 0),) * (pixels.ndim - 2)
    return np.pad(pixels, pads, constant_values=how.pad_value)


def _resized(image: Any, height: int, width: int) -> npt.NDArray[np.uint8]:
    from PIL import Image

    # Band by band: Pillow would weight colours with their alpha, but a network reads four numbers.
    bands = [band.resize((width, height), Image.Resampling.BILINEAR) for band in image.split()]
    return np.asarray(bands[0] if len(bands) == 1 else Image.merge(image.mode, bands))
