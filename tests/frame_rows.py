"""A table of pictures that models read: as frames of bytes, and as numpy alone preprocesses them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

import onnx
from onnx import TensorProto, helper, numpy_helper
from tpumlir.data.preprocess import Preprocess
from tpumlir.ir.module import Module
from tpumlir.road.compile import transform

Array = npt.NDArray[Any]

MEAN, SCALE = (123.675, 116.28, 103.53), (0.0171247, 0.0175070, -0.0174292)
PACKED = ("RGB_PACKED", "BGR_PACKED")
YUV = ("YUV420_PLANAR", "YUV_NV12", "YUV_NV21")
COLOURS = ("RGB_PLANAR", "BGR_PLANAR", *PACKED, *YUV)


@dataclass(frozen=True)
class Row:
    """A model that reads pictures of ``size``, and frames of ``frame`` (or the same) in ``format``."""

    format: str
    pixels: str = "rgb"
    layout: str = "nchw"
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    size: tuple[int, int] = (6, 10)
    frame: tuple[int, int] | None = None
    batch: int = 1
    rank: int = 4
    dtype: str = "float32"

    def __str__(self) -> str:
        given = [v for v in vars(self).values() if v and v not in {"rgb", "nchw", "float32"}]
        return "-".join(map(str, given)).replace(" ", "")

    @property
    def frame_size(self) -> tuple[int, int]:
        return self.frame or self.size

    @property
    def channels(self) -> int:
        return 1 if self.pixels == "gray" else 3

    def shape(self) -> tuple[int, ...]:
        h, w = self.size
        shape = (h, w, self.channels) if self.layout == "nhwc" else (self.channels, h, w)
        return shape if self.rank == 3 else (self.batch, *shape)

    def preprocess(self) -> Preprocess:
        given: dict[str, Any] = {"pixel_format": self.pixels, "channel_format": self.layout}
        given |= {key: value for key, value in (("mean", self.mean), ("scale", self.scale)) if value}
        return Preprocess(resize_dims=self.frame, **given)

    def frames(self) -> tuple[Array, Array]:
        """Bytes in the format, and the red, green and blue (or gray) that they mean."""
        rng = np.random.default_rng(list(map(ord, str(self))))
        n, (h, w) = self.batch, self.frame_size
        if self.format in YUV:
            values = rng.integers(0, 256, (n, h * 3 // 2, w), dtype=np.uint8)
            pixels = np.stack([from_yuv(one, self.format) for one in values])
        else:
            pixels = rng.integers(0, 256, (n, h, w, self.channels), dtype=np.uint8)
            values = pixels[..., ::-1] if self.format.startswith("BGR") else pixels
            values = values if self.format in PACKED else values.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(values[0] if self.rank == 3 else values), pixels

    def host(self, pixels: Array) -> Array:
        """What the model reads of these pixels, by numpy alone."""
        top, left = (f // 2 - s // 2 for f, s in zip(self.frame_size, self.size, strict=True))
        h, w = self.size
        x = pixels[:, top : top + h, left : left + w]
        x = x[..., ::-1] if self.pixels == "bgr" else x
        mean, scale = np.array(self.mean or 0, np.float32), np.array(self.scale or 1, np.float32)
        x = (x.astype(np.float32) - mean) * scale
        x = x if self.layout == "nhwc" else x.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(x[0] if self.rank == 3 else x).astype(self.dtype)


def from_yuv(values: Array, kind: str) -> Array:
    """Pixel by pixel, as OpenCV's documentation and tables have BT.601."""
    h, w = values.shape[0] // 3 * 2, values.shape[1]
    rest = values[h:].reshape(-1)
    quarter = h * w // 4
    pixels = np.empty((h, w, 3), np.uint8)
    for row in range(h):
        for column in range(w):
            at = row // 2 * (w // 2) + column // 2
            if kind == "YUV420_PLANAR":
                u, v = rest[at], rest[quarter + at]
            else:
                u, v = rest[2 * at : 2 * at + 2][:: 1 if kind == "YUV_NV12" else -1]
            y, u, v = max(int(values[row, column]) - 16, 0) * 1220542, int(u) - 128, int(v) - 128
            mixed = (y + 1673527 * v, y - 852492 * v - 409993 * u, y + 2116026 * u)
            pixels[row, column] = [min(max((value + 2**19) >> 20, 0), 255) for value in mixed]
    return pixels


def model(shape: tuple[int, ...], dtype: str = "float32") -> onnx.ModelProto:
    """Each element times a power of two of its own: exact, and a swapped or shifted element shows."""
    powers = np.exp2(np.random.default_rng(3).integers(-2, 3, shape)).astype(np.float32)
    code = getattr(TensorProto, {"float32": "FLOAT", "float64": "DOUBLE"}.get(dtype, dtype.upper()))
    nodes = [
        helper.make_node("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "powers"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "picture", [helper.make_tensor_value_info("image", code, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(powers, "powers")],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@cache
def top(row: Row) -> Module:
    proto = model(row.shape(), {"float16": "float16"}.get(row.dtype, row.dtype))
    return transform(proto, preprocess=row.preprocess(), validate=False).module


def judge(row: Row, x: Array) -> Array:
    session = ort.InferenceSession(model(row.shape(), row.dtype).SerializeToString())
    (y,) = session.run(None, {"image": x})
    return np.asarray(y)


ROWS = (
    *(Row(f, p, layout, MEAN, SCALE) for f in COLOURS for p in ("rgb", "bgr") for layout in ("nchw", "nhwc")),
    *(Row("GRAYSCALE", "gray", layout, (127.5,), (0.0078125,)) for layout in ("nchw", "nhwc")),
    # Numbers: none, one for all, one of two, fractions that f32 does not hold, ends.
    *(Row(f, scale=(0.003921569,)) for f in ("RGB_PACKED", "GRAYSCALE") if f != "GRAYSCALE"),
    Row("BGR_PACKED"),
    Row("GRAYSCALE", "gray"),
    Row("RGB_PLANAR", mean=(128,)),
    Row("RGB_PACKED", "bgr", mean=(0, 10, 0), scale=(1, 1, 2)),
    Row("RGB_PLANAR", scale=(0.1, 1e-30, 1e30)),
    # Sizes: odd, one row, one column, as many rows as lanes, a prime, lanes without a divisor.
    *(Row(f, mean=MEAN, scale=SCALE, size=s)
      for f in ("RGB_PLANAR", "BGR_PACKED") for s in ((1, 1), (7, 13), (1, 9), (9, 1), (64, 5), (67, 3),
                                                      (130, 33), (96, 17))),
    *(Row("GRAYSCALE", "gray", size=s, mean=(3,)) for s in ((1, 1), (5, 7), (128, 31))),
    *(Row(f, size=s) for f in YUV for s in ((2, 2), (4, 6), (64, 10), (134, 18))),
    # The middle of a greater frame.
    *(Row(f, mean=MEAN, scale=SCALE, size=(5, 6), frame=s)
      for f in COLOURS for s in ((8, 8), (6, 10)) ),
    Row("GRAYSCALE", "gray", size=(4, 4), frame=(5, 7)),
    Row("BGR_PACKED", size=(5, 8), frame=(9, 8)),
    Row("BGR_PACKED", size=(8, 5), frame=(8, 11), layout="nhwc"),
    Row("RGB_PLANAR", size=(65, 4), frame=(70, 9), batch=2),
    # Batches, and one picture without.
    *(Row(f, "bgr", mean=MEAN, scale=SCALE, batch=3) for f in COLOURS),
    *(Row(f, mean=MEAN, scale=SCALE, rank=3, layout=layout)
      for f in COLOURS for layout in ("nchw", "nhwc") if layout == "nchw" or f in PACKED),
    Row("GRAYSCALE", "gray", rank=3, batch=1),
    Row("GRAYSCALE", "gray", batch=2, layout="nhwc"),
    # Types of the file.
    Row("RGB_PACKED", mean=MEAN, scale=SCALE, dtype="float16"),
    Row("BGR_PLANAR", mean=MEAN, scale=SCALE, dtype="float64"),
    *(Row(f, dtype=t) for f in ("RGB_PACKED", "YUV_NV12") for t in ("uint8", "int32")),
    Row("RGB_PLANAR", "bgr", mean=(128,), dtype="int8"),
    Row("BGR_PACKED", mean=(100, 110, 120), scale=(1000, 1000, -1000), dtype="int64"),
)  # fmt: skip
