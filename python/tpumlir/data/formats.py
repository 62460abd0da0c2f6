"""The formats of frames of bytes: how pixels lie, and YUV, also in files.

docs/pictures.md states the formats and the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tpumlir.data.recipe import YUV_TYPES
from tpumlir.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tpumlir.data.recipe import Recipe

    Array = npt.NDArray[Any]
    Bytes = npt.NDArray[np.uint8]


class FrameFormat(NamedTuple):
    """What the bytes are: ``pixels`` in their order, and where they lie."""

    pixels: str
    lie: str

    @property
    def is_yuv(self) -> bool:
        """Whether brightness and colour are apart."""
        return self.pixels == "yuv"

    @property
    def channels(self) -> int:
        """Colours of a pixel."""
        return 1 if self.pixels == "gray" else 3


FORMATS = {
    "RGB_PLANAR": FrameFormat("rgb", "planar"),
    "RGB_PACKED": FrameFormat("rgb", "packed"),
    "BGR_PLANAR": FrameFormat("bgr", "planar"),
    "BGR_PACKED": FrameFormat("bgr", "packed"),
    "GRAYSCALE": FrameFormat("gray", "planar"),
    "YUV420_PLANAR": FrameFormat("yuv", "i420"),
    "YUV_NV21": FrameFormat("yuv", "nv21"),
    "YUV_NV12": FrameFormat("yuv", "nv12"),
}


def colours_of(how: Recipe, path: Path, height: int, width: int) -> Bytes:
    """Height x width x red, green, blue of a ``.yuv`` file. Raises: InputError: of another size or type."""
    pixels: Bytes = unpack(kind_of(path, how.yuv_type), read_file(path, height, width)[None])[0]
    return pixels


def kind_of(path: Path, name: str | None) -> FrameFormat:
    """How the bytes of a ``.yuv`` file lie. Raises: InputError: ``name`` is no type of such files."""
    if name not in YUV_TYPES:
        raise InputError(
            f"{path}: expected a yuv_type to read .yuv files with, {', '.join(YUV_TYPES)}, got "
            f"{name or 'none'} (model_transform, compile and model_runner take --yuv_type)"
        )
    return FORMATS[name]


def read_file(path: Path, height: int, width: int) -> Bytes:
    """The bytes of a ``.yuv`` file, [height * 3/2, width]. Raises: InputError."""
    import numpy as np

    if height % 2 or width % 2:
        raise InputError(f"{path}: expected a picture of even height and width, got {height} x {width}")
    try:
        values = np.fromfile(path, np.uint8)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    if values.size != height * 3 // 2 * width:
        raise InputError(
            f"{path}: expected {height * 3 // 2 * width} bytes of YUV, a picture of {height} x {width}, got "
            f"{values.size} (--resize_dims are the rows of the file, 3/2 of the picture's, and its columns)"
        )
    return values.reshape(height * 3 // 2, width)


def pack(kind: FrameFormat, pixels: Bytes) -> Bytes:
    """Pictures x height x width x red, green, blue (or gray) as bytes of a format."""
    import numpy as np

    if kind.is_yuv:
        return _to_yuv(kind, pixels)
    if kind.pixels == "bgr":
        pixels = pixels[..., ::-1]
    return np.ascontiguousarray(pixels if kind.lie == "packed" else pixels.transpose(0, 3, 1, 2))


def unpack(kind: FrameFormat, frames: Array) -> Bytes:
    """The inverse of ``pack``, but for what YUV loses."""
    import numpy as np

    n, height, width = extents(kind, frames.shape)
    values = frames.astype(np.uint8)
    if kind.is_yuv:
        return _from_yuv(kind, values.reshape(n, height // 2 * 3, width))
    pixels: Bytes = values.reshape(n, height, width, kind.channels)
    if kind.lie == "planar":
        pixels = values.reshape(n, kind.channels, height, width).transpose(0, 2, 3, 1)
    return pixels[..., ::-1] if kind.pixels == "bgr" else pixels


def extents(kind: FrameFormat, shape: Sequence[int]) -> tuple[int, int, int]:
    """Pictures, height and width of a frame of ``shape``, which may have no axis of pictures."""
    if kind.is_yuv:
        n, rows, width = shape if len(shape) == 3 else (1, *shape)
        return n, rows // 3 * 2, width
    n, *rest = shape if len(shape) == 4 else (1, *shape)
    return (n, rest[0], rest[1]) if kind.lie == "packed" else (n, rest[1], rest[2])


# --- YUV: BT.601, limited range, as OpenCV computes it ---------------------------------

_BITS = 20
_HALF = 1 << (_BITS - 1)
_Y = (269484, 528482, 102760)
_U = (-155188, -305135, 460324)
_V = (460324, -385875, -74448)
_LUMA, _RED_V, _GREEN_U, _GREEN_V, _BLUE_U = 1220542, 1673527, -409993, -852492, 2116026


def _to_yuv(kind: FrameFormat, pixels: Bytes) -> Bytes:
    """Brightness of each pixel, colour of the upper left one of four."""
    import numpy as np

    n, height, width, _ = pixels.shape

    def part(colours: Array, factors: Sequence[int], zero: int) -> Bytes:
        total = colours.astype(np.int64) @ np.array(factors) + (zero << _BITS) + _HALF
        result: Bytes = (total >> _BITS).clip(0, 255).astype(np.uint8)
        return result

    luma = part(pixels, _Y, 16)
    corner = pixels[:, ::2, ::2]
    u, v = part(corner, _U, 128), part(corner, _V, 128)
    return np.concatenate([luma, _joined(kind, u, v).reshape(n, height // 2, width)], axis=1)


def _joined(kind: FrameFormat, u: Bytes, v: Bytes) -> Bytes:
    """U and V of pictures as they lie below Y."""
    import numpy as np

    if kind.lie == "i420":
        return np.stack([u, v], axis=1)
    return np.stack([u, v] if kind.lie == "nv12" else [v, u], axis=-1)


def _parted(kind: FrameFormat, chroma: Array) -> tuple[Array, Array]:
    """The inverse of ``_joined``, for n x rows x columns."""
    n, rows, width = chroma.shape
    if kind.lie == "i420":
        planes = chroma.reshape(n, 2, rows, width // 2)
        return planes[:, 0], planes[:, 1]
    pairs = chroma.reshape(n, rows, width // 2, 2)
    first, second = pairs[..., 0], pairs[..., 1]
    return (first, second) if kind.lie == "nv12" else (second, first)


def reordered(source: FrameFormat, kind: FrameFormat, values: Bytes) -> Bytes:
    """One frame of YUV in another order of its bytes."""
    import numpy as np

    rows, width = values.shape
    height = rows // 3 * 2
    chroma = _joined(kind, *_parted(source, values[None, height:]))
    return np.concatenate([values[:height], chroma.reshape(height // 2, width)])


def _from_yuv(kind: FrameFormat, values: Bytes) -> Bytes:
    """Four pixels have one colour."""
    import numpy as np

    height = values.shape[1] // 3 * 2
    numbers = values.astype(np.int32)
    parts = _parted(kind, numbers[:, height:])
    u, v = (np.repeat(np.repeat(x - 128, 2, axis=1), 2, axis=2) for x in parts)
    luma = np.maximum(numbers[:, :height] - 16, 0) * _LUMA
    colours = (_RED_V * v, _GREEN_V * v + _GREEN_U * u, _BLUE_U * u)
    mixed: Array = np.stack([(luma + colour + _HALF) >> _BITS for colour in colours], axis=-1)
    return mixed.clip(0, 255).astype(np.uint8)
