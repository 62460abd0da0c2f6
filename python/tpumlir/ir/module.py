"""Modules of Top and Tpu operations: read, print, save, transform, lower, compile, run."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tpumlir import npz
from tpumlir.errors import Diagnostic, InputError, ParseError, unknown_name
from tpumlir.files import all_or_none, atomic_write
from tpumlir.tensors import TensorSpec

if TYPE_CHECKING:
    from tpumlir._core import ir
    from tpumlir.bmodel import BModel
    from tpumlir.calibration.table import CalibrationTable
    from tpumlir.precision.table import QuantizeTable

Array = npt.NDArray[Any]
Narrow = bool | Collection[str]
"""Inputs or outputs by name; True: all of which it is possible."""

_WEIGHT_FILE = re.compile(r'module\.weight_file = "((?:[^"\\]|\\.)*)"')
_LETTERS = {b"n": b"\n", b"t": b"\t"}
# Top rewrites that every model gets: shapes, fused BatchNorm and Relu, filters in the layout Top wants.
TOP_PASSES = "shape-infer,canonicalize"


class Module:
    """A module of Top or Tpu operations with its weights.

    Node and tensor names are those of the ONNX model.
    """

    def __init__(self, core: ir.Module, int8: Mapping[str, Array] | None = None) -> None:
        self._core = core
        self.int8: dict[str, Array] = dict(int8 or {})
        """Weights that integers of INT8 are made of instead of those of the same name (``ir.tuned``)."""

    @property
    def core(self) -> ir.Module:
        """The module of the extension."""
        return self._core

    # --- text ------------------------------------------------------------------

    @staticmethod
    def parse(text: str, weights: Mapping[str, Array] | None = None) -> Module:
        """Read MLIR text; ``weights`` holds the data of its ``top.Weight`` operations by name.

        Raises: ParseError, VerifyError: at the operation that is wrong.
        """
        from tpumlir._core import ir

        return Module(ir.Module.parse(text, dict(weights or {})))

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Module:
        """Read an ``.mlir`` file and the npz beside it that ``module.weight_file`` names.

        Raises: ParseError: missing or unreadable text. TpumlirError: missing or unreadable weights.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ParseError(f"{path}: no such file") from None
        except UnicodeDecodeError:
            raise ParseError(f"{path}: expected MLIR text, got a binary file") from None
        if not text.strip():
            raise ParseError(f"{path}: expected MLIR text, got an empty file")
        found = _WEIGHT_FILE.search(text)
        weights = {}
        if found and "top.Weight" in text:
            weights = npz.load(path.parent / _unescaped(found.group(1)))
        from tpumlir.ir import tuned

        weights, int8 = tuned.split(weights, _names_in(text) if weights else ())
        try:
            module = Module.parse(text, weights)
            module.int8 = int8
            return module
        except ParseError as error:
            raise ParseError(
                *(Diagnostic(f"{path}: {d.message}", d.node, d.notes) for d in error.diagnostics)
            ) from None

    def print(self) -> str:
        """The module as text, in the form TPU-MLIR writes."""
        return self._core.print()

    __str__ = print

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the text and, beside it, ``<stem>_weight.npz`` (recorded as ``module.weight_file``).

        Both files appear or neither. Raises: OSError.
        """
        from tpumlir.ir import tuned

        path = Path(path)
        weights = path.with_name(f"{path.stem}_weight.npz")
        self._core.set_attribute("module.weight_file", weights.name)
        text = self.print()
        with all_or_none():
            npz.save(weights, self.weights | tuned.stored(self.int8))
            with atomic_write(path) as out:
                out.write(text.encode())

    # --- content -----------------------------------------------------------------

    @property
    def weights(self) -> dict[str, Array]:
        """The data of all weights by name (views, read only)."""
        return self._core.weights()

    @property
    def inputs(self) -> list[TensorSpec]:
        """The inputs, in order, under their ONNX names."""
        return [_spec(v) for v in self._core.inputs]

    @property
    def outputs(self) -> list[TensorSpec]:
        """The outputs, in order, under their ONNX names."""
        return [_spec(v) for v in self._core.outputs]

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes ``module.*``, such as ``module.state``."""
        return dict(self._core.attributes)

    def ops(self) -> list[ir.OpInfo]:
        """Every operation in order: kind, name, ONNX node, operands, results, attributes."""
        return self._core.ops()

    def tensor_names(self) -> list[str]:
        """The names of all computed tensors in topological order, weights and None left out."""
        skip = {"top.Weight", "top.None"}
        results = (result for op in self.ops() if op.kind not in skip for result in op.results)
        return [result.name for result in results if result.dtype != "none"]

    def clone(self) -> Module:
        """A copy that shares only the weight data, which never changes."""
        return Module(self._core.clone(), self.int8)

    # --- stages --------------------------------------------------------------------

    def run_pipeline(self, passes: str) -> Module:
        """Run passes in place, such as ``shape-infer,canonicalize``; returns the module itself.

        Raises: PassError: an unknown pass or option, or a pass that failed, at its node.
        """
        self._core.run_pipeline(passes)
        return self

    def fuse_preprocess(self, customization_format: str | None = None) -> Module:
        """A Top module whose pictures are frames of bytes: what their preprocessing was is in the module.

        ``customization_format`` says what the bytes are (docs/pictures.md); without it their order and place
        are those of the model. Raises: PassError: no input records one, or the format does not fit it.
        """
        chosen = f"{{customization_format={customization_format}}}" if customization_format else ""
        return self.clone().run_pipeline(f"fuse-preprocess{chosen}")

    def lower(  # noqa: PLR0913 - the keywords of the API
        self,
        quantize: str = "F32",
        *,
        chip: str = "bm1684x",
        quantize_table: QuantizeTable | str | os.PathLike[str] | None = None,
        plain_half: bool = False,
        calibration_table: CalibrationTable | str | os.PathLike[str] | None = None,
        quant_input: Narrow = False,
        quant_output: Narrow = False,
    ) -> Module:
        """A Tpu module of this Top module, in the precision ``quantize``: F32, F16, BF16 or INT8.

        INT8 needs ``calibration_table`` (a file or a table of ``tpumlir.calibrate``): the ranges of tensors.

        ``quantize_table`` (a mapping or a file, see ``tpumlir.qtable``) gives tensors another one. The rules
        of docs/precision.md keep in F32 what a half precision must not compute, unless ``plain_half``.

        ``quant_input`` and ``quant_output``: model inputs and outputs that the bmodel has in the type which
        it computes with (F16, BF16, 8 bits), without a cast; names, or True for all that can.

        Raises: UnsupportedError: operations that have no lowering, all of them; an input or output of these
        names that is read or computed in F32. InputError, ParseError, CalibrationError: a table that does not
        fit this module; a name that it does not have.
        """
        from tpumlir._core import codegen
        from tpumlir.calibration.table import resolve as calibrated
        from tpumlir.ir import tuned
        from tpumlir.precision.table import resolve

        table = resolve(quantize_table, self)
        ranges = None if calibration_table is None else calibrated(calibration_table, self)

        def lowered(weights: Mapping[str, Array]) -> Module:
            core = self._core
            if weights:
                core = Module.parse(self.print(), self.weights | dict(weights)).core
            return Module(
                codegen.lower(
                    core,
                    mode=quantize.upper(),
                    chip=chip.lower(),
                    quantize_table=table,
                    plain_half=plain_half,
                    calibration_table=None if ranges is None else ranges.ranges(),
                    channel_ranges={} if ranges is None else ranges.channel_ranges(),
                    quant_input=_positions(quant_input, self.inputs, "input"),
                    quant_output=_positions(quant_output, self.outputs, "output"),
                )
            )

        modes = {quantize.upper(), *(mode.upper() for mode in table.values())}
        if not self.int8 or "INT8" not in modes:
            return lowered({})
        return tuned.lower_tuned(
            self, {name for name, mode in table.items() if mode.upper() != "INT8"}, lowered
        )

    def finalize(self, *, opt: int = 2) -> Module:
        """A Tpu module with reordered weights, groups and addresses: ready for code generation.

        ``opt`` is the effort of the search for layer groups (docs/groups.md), 1 to 3; 0 looks for none.

        Raises: AllocationError: the tensors do not fit into global memory.
        """
        from tpumlir._core import codegen

        return Module(codegen.finalize(self._core, opt=opt))

    def compile(self) -> BModel:
        """Generate code for a Tpu module (one with addresses as it is, else finalized first).

        Raises: AllocationError: what does not fit. UnsupportedError: operations without code generation.
        """
        from tpumlir.bmodel.generate import generate

        return generate(self._core)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in self.inputs)
        return f"<tpumlir.Module {self.attributes.get('module.state', '?')} of {shapes}>"


def _names_in(text: str) -> set[str]:
    """The names of locations in a module's text."""
    return {_unescaped(name) for name in re.findall(r'loc\("((?:[^"\\]|\\.)*)"', text)}


def _unescaped(text: str) -> str:
    r"""What a string of MLIR text says: ``\C3\A9`` are two bytes of UTF-8."""

    def byte(found: re.Match[bytes]) -> bytes:
        code = found.group(1)
        return bytes.fromhex(code.decode()) if len(code) == 2 else _LETTERS.get(code, code)

    return re.sub(rb"\\([0-9A-Fa-f]{2}|.)", byte, text.encode(), flags=re.DOTALL).decode(errors="replace")


def _positions(chosen: Narrow, specs: Sequence[TensorSpec], what: str) -> list[int] | None:
    """As the extension takes it: None for none, an empty list for all."""
    if isinstance(chosen, bool):
        return [] if chosen else None
    names = [spec.name for spec in specs]
    wrong = [unknown_name(f"model {what}", name, names) for name in chosen if name not in names]
    if wrong:
        raise InputError(*wrong)
    return [names.index(name) for name in chosen] or None


def _spec(info: ir.TensorInfo) -> TensorSpec:
    if info.shape is None:
        raise ParseError(Diagnostic("expected a static shape, got an unranked tensor", info.name))
    # Where tensors are exchanged, a quantised one is the numbers that its integers stand for.
    return TensorSpec(info.name, info.shape, "f32" if info.scales else info.dtype)
