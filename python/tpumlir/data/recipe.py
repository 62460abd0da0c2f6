"""What is said of how a picture becomes an input: the words of the flags, without what they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CHOICES = {
    "pixel_format": ("rgb", "bgr", "gray", "rgba"),
    "channel_format": ("nchw", "nhwc", "none"),
    "keep_ratio_mode": ("letterbox", "short_side_scale"),
    "pad_type": ("normal", "center"),
}
YUV_TYPES = ("YUV420_PLANAR", "YUV_NV21", "YUV_NV12")


@dataclass(frozen=True)
class Recipe:
    """How a picture becomes a tensor. ``resize_dims`` is (height, width); None means the model's own size.

    ``onnx_type`` is the type that the input has in the ONNX model: floats are rounded to it, and integers
    have to be whole numbers that it holds. With a ``customization_format`` the input is a frame of bytes in
    it, of the size of ``resize_dims``; the rest is done by the model itself (``tpumlir.data.frames``).
    With a ``yuv_type``, that of the bytes of ``.yuv`` files, ``resize_dims`` are their rows (U and V are
    below Y) and columns, as TPU-MLIR has it.
    """

    resize_dims: tuple[int, int] | None = None
    keep_aspect_ratio: bool = False
    keep_ratio_mode: Literal["letterbox", "short_side_scale"] = "letterbox"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    pixel_format: Literal["rgb", "bgr", "gray", "rgba"] = "bgr"
    channel_format: Literal["nchw", "nhwc", "none"] = "nchw"
    pad_value: int = 0
    pad_type: Literal["normal", "center"] = "center"
    onnx_type: str = "float32"
    customization_format: str | None = None
    yuv_type: str | None = None

    @property
    def picture_dims(self) -> tuple[int, int] | None:
        """Height and width of what ``resize_dims`` hold."""
        if self.resize_dims is None or self.yuv_type is None:
            return self.resize_dims
        rows, width = self.resize_dims
        return rows // 3 * 2, width

    @property
    def channels(self) -> int:
        """Channels of the pixel format."""
        return {"gray": 1, "rgba": 4}.get(self.pixel_format, 3)
