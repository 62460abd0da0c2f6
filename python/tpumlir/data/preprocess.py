"""How pictures become input tensors: what the preprocess flags say, and what is recorded of it.

The pixels are read in ``tpumlir.data.pixels``; nothing heavy is imported here, since every command needs it.
See docs/pictures.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tpumlir.data.recipe import CHOICES, YUV_TYPES, Recipe
from tpumlir.errors import InputError, Note

if TYPE_CHECKING:
    import numpy.typing as npt

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".yuv"})
NATURAL_TYPES = {"f32": "float32", "i32": "int32"}
"""The ONNX types that a module need not record, by the type that it has for them."""


@dataclass(frozen=True)
class Preprocess(Recipe):
    """A recipe, and what comes of it."""

    def attributes(self) -> dict[str, bool | int | str | list[int] | list[float]]:
        """The attributes that ``top.Input`` records, so that later stages can repeat it."""
        result: dict[str, bool | int | str | list[int] | list[float]] = {"do_preprocess": True}
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None or item.name == "onnx_type":  # recorded for every input, picture or not
                continue
            result[item.name] = list(value) if isinstance(value, tuple) else value
        return result

    @staticmethod
    def from_attributes(attributes: Mapping[str, Any], onnx_type: str = "float32") -> Preprocess | None:
        """What ``attributes`` of a ``top.Input`` describe, or None if they describe nothing."""
        if not attributes.get("do_preprocess") or "pixel_format" not in attributes:
            return None
        names = {item.name for item in fields(Preprocess)}
        known: dict[str, Any] = {
            key: tuple(value) if isinstance(value, (list, tuple)) else value
            for key, value in attributes.items()
            if key in names and value != ""  # TPU-MLIR's word for no yuv_type
        }
        return Preprocess(**known | {"onnx_type": onnx_type})

    def fits(self, shape: Sequence[int]) -> bool:
        """True if a picture can fill an input of ``shape``: its channels, size and type."""
        return self.misfit(shape) is None

    def misfit(self, shape: Sequence[int]) -> str | None:
        """Why a picture cannot fill an input of ``shape``, and what to do."""
        if self.customization_format is not None:
            from tpumlir.data import frames

            return frames.misfit(self, shape)
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                expected = f"expected a {name} of {', '.join(known)}"
                return f"{expected}, got {getattr(self, name)} (give an npy or npz file)"
        problem = self._misfit_of_yuv()
        if problem:
            return problem
        if len(shape) not in {3, 4} or self.channel_format == "none":
            return (
                f"expected an input of rank 4 (or 3) to fill from a picture, got {list(shape)} "
                f"with channel_format {self.channel_format} (give an npy or npz file)"
            )
        _, h, w, c = self._extents(shape)
        if c != self.channels:
            plural = "s" * (self.channels > 1)
            return (
                f"expected {self.channels} channel{plural} for {self.pixel_format} pictures in "
                f"{self.channel_format}, got {c} in {list(shape)} ({self._remedy(shape)})"
            )
        for name, values in (("mean", self.mean), ("scale", self.scale)):
            if len(values) != c and len(set(values)) != 1:
                return f"expected {c} values of {name} for {self.pixel_format} pictures, got {len(values)}"
        height, width = self.picture_dims or (h, w)
        if height < h or width < w:
            return f"expected resize_dims of at least {h},{w}, the size of the input, got {height},{width}"
        from tpumlir.data.pixels import lost_number

        return lost_number(self, c)

    def run(self, paths: Sequence[str | Path], shape: Sequence[int]) -> npt.NDArray[Any]:
        """The tensor of ``shape`` for one picture per batch element (a single picture is repeated).

        Raises: InputError: not a picture, or an input that this preprocessing cannot fill.
        """
        problem = self.misfit(shape)
        if problem:
            raise InputError(problem)
        if self.customization_format is None:
            n, h, w, _ = self._extents(shape)
        else:
            from tpumlir.data import frames

            n = frames.batch_of(self, shape)
        if len(paths) not in {1, n}:
            expected = f"1 or {n} pictures" if n > 1 else "one picture"
            raise InputError(f"expected {expected} for {list(shape)}, got {len(paths)}")
        if self.customization_format is not None:
            return frames.frame(self, [Path(path) for path in paths], shape)
        from tpumlir.data.pixels import tensor

        return tensor(self, [Path(path) for path in paths], n, h, w).reshape(shape)

    # --- what fits ---------------------------------------------------------------

    def _misfit_of_yuv(self) -> str | None:
        """Why ``.yuv`` files of ``yuv_type`` cannot be what the rest says."""
        if self.yuv_type is None:
            return None
        if self.yuv_type not in YUV_TYPES:
            return f"expected a yuv_type of {', '.join(YUV_TYPES)}, got {self.yuv_type}"
        if self.pixel_format not in {"rgb", "bgr"}:
            return f"expected pixel_format rgb or bgr with yuv_type, got {self.pixel_format}"
        rows, width = self.resize_dims or (3, 2)
        if rows % 3 or width % 2:
            return (
                "expected resize_dims of a YUV file with yuv_type, 3/2 of an even height and an even width, "
                f"got {rows},{width}"
            )
        return None

    def _extents(self, shape: Sequence[int]) -> tuple[int, int, int, int]:
        """Batch, height, width and channels; an input of rank 3 is one picture without a batch."""
        n, *rest = shape if len(shape) == 4 else (1, *shape)
        h, w, c = rest if self.channel_format == "nhwc" else (*rest[1:], rest[0])
        return n, h, w, c

    def _remedy(self, shape: Sequence[int]) -> str:
        others = [
            other
            for layout in (self.channel_format, "nhwc" if self.channel_format == "nchw" else "nchw")
            for pixels in (self.pixel_format, "bgr", "gray", "rgba")
            if (other := replace(self, channel_format=layout, pixel_format=pixels)).channels
            == other._extents(shape)[3]
        ]
        if not others:
            return "give an npy or npz file"
        flags = [
            f"--{name} {getattr(others[0], name)}"
            for name in ("channel_format", "pixel_format")
            if getattr(others[0], name) != getattr(self, name)
        ]
        return f"{' '.join(flags)} would fit: model_transform, compile and model_runner take it"


@dataclass(frozen=True)
class Pictures:
    """How a picture becomes each input of a model: as ``recorded``, else as ``given``.

    ``given`` holds fields of Preprocess that the caller chose; they may not contradict what is recorded.
    ``types`` are the ONNX types of inputs, where they are known.
    """

    recorded: Mapping[str, Preprocess] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)

    def of(self, name: str) -> Preprocess:
        """The preprocessing of the input ``name``. Raises: InputError: ``given`` says otherwise."""
        record = self.recorded.get(name)
        if record is None:
            return replace(Preprocess(**self.given), onnx_type=self.types.get(name, "float32"))
        for key, value in self.given.items():
            kept = getattr(record, key)
            count = record.channels if key in {"mean", "scale"} else 2
            if _expanded(value, count) != _expanded(kept, count):
                raise InputError(
                    f"expected the preprocessing that the model records, --{key} {_flag_text(kept)}, got "
                    f"{_flag_text(value)} (drop the flag, or compile the model with it)"
                )
        return record

    def tell_defaults(self, name: str) -> None:
        """Warn that a picture was read for the input ``name`` though nobody said how."""
        if self.given or name in self.recorded:
            return
        default = Preprocess()
        warnings.warn(
            f"{name}: no preprocessing is recorded or given; the picture is read as {default.pixel_format} "
            f"in {default.channel_format}, mean 0, scale 1 (model_transform and compile record "
            "--pixel_format, --mean and so on; model_runner takes them)",
            Note,
            stacklevel=3,
        )


def _expanded(value: Any, channels: int) -> Any:
    """Mean and scale for each channel: one number, however often it is written, is for all."""
    return value[:1] * channels if isinstance(value, tuple) and len(set(value)) == 1 else value


def _flag_text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(f"{item:.9g}" for item in value)
    return "(not given)" if value is None else str(value)


def is_image(path: str | Path) -> bool:
    """True if the name of the file says that it is an image."""
    return Path(path).suffix.lower() in IMAGE_SUFFIXES
