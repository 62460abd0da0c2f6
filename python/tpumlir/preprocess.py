"""Images to input tensors, with the meaning that TPU-MLIR gives to ``model_transform``'s preprocess flags.

The order is: decode, resize (or letterbox, or scale the short side), crop to the model's size, order the
channels, then ``(x - mean) * scale`` per channel **in the order of the pixel format**, then nchw or nhwc.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tpumlir.errors import InputError

F32 = npt.NDArray[np.float32]
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
PIXEL_FORMATS = ("rgb", "bgr", "gray", "rgba")


@dataclass(frozen=True)
class Preprocess:
    """How an image becomes a tensor. ``resize_dims`` is (height, width); None means the model's own size."""

    resize_dims: tuple[int, int] | None = None
    keep_aspect_ratio: bool = False
    keep_ratio_mode: Literal["letterbox", "short_side_scale"] = "letterbox"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    pixel_format: Literal["rgb", "bgr", "gray", "rgba"] = "bgr"
    channel_format: Literal["nchw", "nhwc", "none"] = "nchw"
    pad_value: int = 0
    pad_type: Literal["normal", "center"] = "center"

    def attributes(self) -> dict[str, bool | int | str | list[int] | list[float]]:
        """The attributes that ``top.Input`` records, so that later stages can repeat it."""
        result: dict[str, bool | int | str | list[int] | list[float]] = {"do_preprocess": True}
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None:
                result[item.name] = list(value) if isinstance(value, tuple) else value
        return result

    @staticmethod
    def from_attributes(attributes: Mapping[str, Any]) -> Preprocess | None:
        """What ``attributes`` of a ``top.Input`` describe, or None if they describe nothing."""
        if not attributes.get("do_preprocess") or "pixel_format" not in attributes:
            return None
        names = {item.name for item in fields(Preprocess)}
        known: dict[str, Any] = {
            key: tuple(value) if isinstance(value, (list, tuple)) else value
            for key, value in attributes.items()
            if key in names
        }
        return Preprocess(**known)

    def fits(self, shape: Sequence[int]) -> bool:
        """True if an image of this pixel format can fill a tensor of ``shape``."""
        if len(shape) != 4 or self.channel_format == "none":
            return False
        return shape[3 if self.channel_format == "nhwc" else 1] == self.channels

    @property
    def channels(self) -> int:
        """Channels of the pixel format."""
        return {"gray": 1, "rgba": 4}.get(self.pixel_format, 3)

    def run(self, paths: Sequence[str | Path], shape: Sequence[int]) -> F32:
        """The tensor of ``shape`` for one image per batch element (a single image is repeated).

        Raises: InputError: not an image, or a shape that this pixel format cannot fill.
        """
        if len(shape) != 4 or self.channel_format == "none":
            raise InputError(
                f"expected an input of rank 4 to fill from an image, got {list(shape)} "
                f"with channel_format {self.channel_format} (give an npz file)"
            )
        n, h, w, c = shape if self.channel_format == "nhwc" else (shape[0], shape[2], shape[3], shape[1])
        if c != self.channels:
            raise InputError(
                f"expected {self.channels} channels for {self.pixel_format} images, got {c} in {list(shape)}"
            )
        for name, values in (("mean", self.mean), ("scale", self.scale)):
            if len(values) not in {1, c} and not (c == 1 and len(set(values)) == 1):
                raise InputError(f"expected {c} values of {name}, got {len(values)}")
        if len(paths) not in {1, n}:
            raise InputError(f"expected 1 or {n} images for {list(shape)}, got {len(paths)}")
        images = [self._one(Path(path), h, w, c) for path in paths]
        batch = np.stack(images * (n if len(images) == 1 else 1))
        return np.ascontiguousarray(batch if self.channel_format == "nhwc" else batch.transpose(0, 3, 1, 2))

    def _one(self, path: Path, h: int, w: int, c: int) -> F32:
        from PIL import Image, UnidentifiedImageError

        mode = {"gray": "L", "rgba": "RGBA"}.get(self.pixel_format, "RGB")
        try:
            with Image.open(path) as file:
                image = file.convert(mode)
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        except (UnidentifiedImageError, OSError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: expected an image, got: {reason}") from None
        height, width = self.resize_dims or (h, w)
        if height < h or width < w:
            raise InputError(f"expected resize_dims of at least {h},{w}, got {height},{width}")
        pixels = self._resize(image, height, width)
        top, left = (pixels.shape[0] - h) // 2, (pixels.shape[1] - w) // 2
        pixels = pixels[top : top + h, left : left + w].reshape(h, w, c)
        if self.pixel_format == "bgr":
            pixels = pixels[:, :, ::-1]
        mean = np.array(self.mean[:c] if len(self.mean) >= c else self.mean * c, np.float32)
        scale = np.array(self.scale[:c] if len(self.scale) >= c else self.scale * c, np.float32)
        result: F32 = (pixels.astype(np.float32) - mean) * scale
        return result

    def _resize(self, image: Any, height: int, width: int) -> npt.NDArray[np.uint8]:
        from PIL import Image

        if not self.keep_aspect_ratio:
            return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        ratios = height / image.height, width / image.width
        ratio = min(ratios) if self.keep_ratio_mode == "letterbox" else max(ratios)
        new_h, new_w = max(1, int(image.height * ratio + 1e-6)), max(1, int(image.width * ratio + 1e-6))
        pixels = np.asarray(image.resize((new_w, new_h), Image.Resampling.BILINEAR))
        if self.keep_ratio_mode == "short_side_scale":
            return pixels
        below, right = height - new_h, width - new_w
        top, left = (below // 2, right // 2) if self.pad_type == "center" else (0, 0)
        pads = ((top, below - top), (left, right - left)) + ((0, 0),) * (pixels.ndim - 2)
        return np.pad(pixels, pads, constant_values=self.pad_value)


def is_image(path: str | Path) -> bool:
    """True if the name of the file says that it is an image."""
    return Path(path).suffix.lower() in IMAGE_SUFFIXES
