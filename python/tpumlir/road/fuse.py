"""Preprocessing in the bmodel: what is deployed reads frames, what it is judged by does not."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.data import frames
from tpumlir.data.formats import FORMATS, FrameFormat
from tpumlir.data.inputs import module_inputs, read_inputs
from tpumlir.data.record import recorded_pictures
from tpumlir.errors import Diagnostic, InputError, Note
from tpumlir.ir.names import whole_of

if TYPE_CHECKING:
    from tpumlir.data.preprocess import Preprocess
    from tpumlir.ir.module import Module
    from tpumlir.road.options import DeployOptions, JudgeOptions

Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]


@dataclass(frozen=True)
class Fusion:
    """The Top module as it came, the one that is deployed, and how the inputs of one become the other's.

    ``pictures`` are the inputs that differ: what each records in both.
    """

    plain: Module
    module: Module
    pictures: Mapping[str, tuple[Preprocess, FrameFormat]] = field(default_factory=dict)

    @staticmethod
    def of(module: Module, target: DeployOptions) -> Fusion:
        """What ``target`` asks for; without fusion both modules are one.

        Raises: InputError: a format without fusion. PassError: nothing to fuse, or not in this format.
        """
        if not target.fuse_preprocess:
            if target.customization_format:
                raise InputError("expected fuse_preprocess with customization_format, got the format alone")
            return Fusion(module, module)
        fused = module.fuse_preprocess(target.customization_format)
        before, after = recorded_pictures(module).recorded, recorded_pictures(fused).recorded
        shapes = {spec.name: spec.shape for spec in module.inputs}
        for name, how in after.items():
            _tell_rows(name, how, shapes[name])
        return Fusion(
            module,
            fused,
            {
                name: (before[name], FORMATS[how.customization_format])
                for name, how in after.items()
                if how.customization_format
            },
        )

    def read(self, judge: JudgeOptions) -> dict[str, Array]:
        """The inputs of the module that is deployed. Raises: InputError."""
        return read_inputs(
            judge.test_input, self.module, allow_nonfinite=judge.allow_nonfinite, fixed_wins=True
        )

    def without(self, inputs: Tensors) -> dict[str, Array]:
        """The inputs of the plain module for ``inputs`` of the other."""
        if not self.pictures:
            return dict(inputs)
        shapes = {spec.name: spec.shape for spec in self.plain.inputs}
        tensors = {
            name: frames.tensor(how, kind, inputs[name], shapes[name])
            for name, (how, kind) in self.pictures.items()
        }
        return module_inputs(self.plain, {**inputs, **tensors}, allow_nonfinite=True)

    def check_reference(self, reference: Tensors, inputs: Tensors) -> None:
        """Raises: InputError: tensors of Top that were computed from other pictures than ``inputs``."""
        wrong = [name for name in self.pictures if name in reference and not _same(reference, inputs, name)]
        if wrong:
            raise InputError(
                *(
                    Diagnostic(
                        "expected a reference that was made of the picture in the test input, got one of "
                        "other numbers (formats of YUV change them; without --test_reference Top is run)",
                        name,
                    )
                    for name in wrong
                )
            )

    def types(self, tpu: Module) -> Iterator[str]:
        """The element types of the tensors of the lowered module, those of frames left out."""
        for op in tpu.ops():
            for result in op.results:
                # Bytes that are moved are a picture's; what casts make is quantised.
                moved = result.dtype == "ui8" and op.kind != "tpu.Cast"
                if not (moved and self._is_picture(result.name)):
                    yield result.dtype

    def _is_picture(self, name: str) -> bool:
        while name not in self.pictures and (whole := whole_of(name)):
            name = whole
        return name in self.pictures

    def as_plain(self, tensors: Tensors) -> dict[str, Array]:
        """Tensors of the deployed module with the names of the plain one."""
        result = dict(tensors)
        shapes = {spec.name: spec.shape for spec in self.plain.inputs}
        for name in self.pictures:
            if _made(name) in tensors:
                result[name] = tensors[_made(name)]
            elif _planar(name) in tensors:
                result[name] = tensors[_planar(name)].transpose(0, 2, 3, 1).reshape(shapes[name])
        return result

    def as_fused(self, tensors: Tensors, inputs: Tensors) -> dict[str, Array]:
        """Tensors of the plain module with the names of the deployed one, whose ``inputs`` are given."""
        result = dict(tensors)
        for name, (how, _) in self.pictures.items():
            if name in tensors:
                result[_made(name)] = value = tensors[name]
                value = value.reshape((1,) * (4 - value.ndim) + value.shape)
                result[_planar(name)] = value.transpose(0, 3, 1, 2) if how.channel_format == "nhwc" else value
            result[name] = inputs[name]
        return result


def _tell_rows(name: str, how: Preprocess, shape: Sequence[int]) -> None:
    """A Note where ``resize_dims`` look like the rows of a frame of YUV, which TPU-MLIR reads them as."""
    kind = FORMATS.get(how.customization_format or "")
    height, width = shape[-3:-1] if how.channel_format == "nhwc" else shape[-2:]
    if kind and kind.is_yuv and how.yuv_type is None and how.resize_dims == (height * 3 // 2, width):
        rows = how.resize_dims[0]
        warnings.warn(
            f"{name}: a frame is a picture of {rows} x {width} in {rows * 3 // 2} rows, of which the chip "
            f"takes the middle: resize_dims are a picture's (for a frame of {rows} rows, as with TPU-MLIR, "
            "give --yuv_type too, or leave --resize_dims out)",
            Note,
            stacklevel=3,
        )


def _made(name: str) -> str:
    """The tensor that the chip makes of a frame: what the plain model has as its input."""
    return f"{name}::preprocessed"


def _planar(name: str) -> str:
    """The same where the model turns it into nchw at once."""
    return f"{name}::planar"


def _same(a: Tensors, b: Tensors, name: str) -> bool:
    return a[name].shape == b[name].shape and bool(np.array_equal(a[name], b[name]))
