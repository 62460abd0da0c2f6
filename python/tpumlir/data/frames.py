"""Frames: pictures as the bytes that a model reads whose preprocessing is fused into it.

What the pass ``fuse-preprocess`` makes the chip do is done here on the host, to judge it by and to make
frames of pictures. docs/pictures.md states the formats and the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tpumlir.data.formats import FORMATS, FrameFormat, extents, kind_of, pack, read_file, reordered, unpack

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tpumlir.data.recipe import Recipe

    Array = npt.NDArray[Any]
    Bytes = npt.NDArray[np.uint8]


def misfit(how: Recipe, shape: Sequence[int]) -> str | None:
    """Why an input of ``shape`` holds no frames as ``how`` says."""
    kind = FORMATS.get(how.customization_format or "")
    if kind is None:
        return f"expected a customization_format of {', '.join(FORMATS)}, got {how.customization_format}"
    rank = len(shape) + (len(shape) == (2 if kind.is_yuv else 3))
    if rank != (3 if kind.is_yuv else 4):
        return f"expected the shape of a frame in {how.customization_format}, got {list(shape)}"
    _, height, width = extents(kind, shape)
    odd = kind.is_yuv and (shape[-2] % 3 or height % 2 or width % 2)
    axis = -1 if kind.lie == "packed" else -3
    if odd or (not kind.is_yuv and shape[axis] != kind.channels):
        return f"expected the shape of a frame in {how.customization_format}, got {list(shape)}"
    return None


def batch_of(how: Recipe, shape: Sequence[int]) -> int:
    """How many pictures a frame of ``shape`` holds."""
    return extents(FORMATS[how.customization_format or ""], shape)[0]


def frame(how: Recipe, paths: Sequence[Path], shape: Sequence[int]) -> Bytes:
    """Pictures as a frame of ``shape``; a single one is repeated. Raises: InputError: not a picture."""
    import numpy as np

    from tpumlir.data.pixels import fitted

    kind = FORMATS[how.customization_format or ""]
    n, height, width = extents(kind, shape)
    images = []
    if kind.is_yuv and all(path.suffix.lower() == ".yuv" for path in paths):
        for path in paths:
            source = kind_of(path, how.yuv_type or how.customization_format)
            images.append(reordered(source, kind, read_file(path, height, width)))
        return np.stack(images * (n if len(images) == 1 else 1)).reshape(shape)
    for path in paths:
        pixels = fitted(how, path, "L" if kind.pixels == "gray" else "RGB", height, width)
        images.append(pixels.reshape(height, width, kind.channels))
    return pack(kind, np.stack(images * (n if len(images) == 1 else 1))).reshape(shape)


def tensor(how: Recipe, kind: FrameFormat, frames: Array, shape: Sequence[int]) -> Array:
    """What an input of ``shape`` that records ``how`` reads of ``frames``, as the host computes it."""
    import numpy as np

    from tpumlir.data.pixels import from_pixels, middle

    pixels = unpack(kind, frames)
    if how.pixel_format == "bgr":
        pixels = pixels[..., ::-1]
    h, w = shape[-3:-1] if how.channel_format == "nhwc" else shape[-2:]
    return from_pixels(how, np.ascontiguousarray(middle(pixels, h, w))).reshape(shape)
