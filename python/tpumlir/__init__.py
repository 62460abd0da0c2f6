"""Compile neural networks to the BM1684X tensor processor, every step validated.

    module = tpumlir.load_onnx("model.onnx", input_shapes=[[1, 3, 224, 224]])
    tpu = module.lower(quantize="F32")
    bmodel = tpu.compile()
    outputs = bmodel.run({"x": x})

Importing this package is cheap: everything is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tpumlir._libs import preload_onednn, shorten_spinning

if TYPE_CHECKING:
    from tpumlir.accuracy.search import QuantizeResult, quantize
    from tpumlir.accuracy.sensitivity import sensitivity
    from tpumlir.bmodel import BModel
    from tpumlir.calibration.calibrate import calibrate
    from tpumlir.calibration.table import CalibrationTable
    from tpumlir.compare import Comparison, Tolerance
    from tpumlir.errors import (
        AccuracyError,
        AllocationError,
        BModelError,
        CalibrationError,
        CompareError,
        DecodeError,
        DeviceFault,
        Diagnostic,
        EncodeError,
        InputError,
        LegalityError,
        OnnxImportError,
        OutOfRangeError,
        ParseError,
        PassError,
        TpumlirError,
        UnsupportedError,
        VerifyError,
    )
    from tpumlir.ir.interpreter import ModuleInterpreter
    from tpumlir.ir.module import Module
    from tpumlir.onnx.importer import load_onnx
    from tpumlir.road.compile import compile_onnx, deploy
    from tpumlir.road.isolate import isolate

shorten_spinning()
preload_onednn()

_HOMES = {
    "tpumlir.accuracy.search": ("QuantizeResult", "quantize"),
    "tpumlir.accuracy.sensitivity": ("sensitivity",),
    "tpumlir.bmodel": ("BModel",),
    "tpumlir.calibration.calibrate": ("calibrate",),
    "tpumlir.calibration.table": ("CalibrationTable",),
    "tpumlir.compare": ("Comparison", "Tolerance"),
    "tpumlir.road.compile": ("compile_onnx", "deploy"),
    "tpumlir.road.isolate": ("isolate",),
    "tpumlir.errors": (
        "AccuracyError",
        "AllocationError",
        "BModelError",
        "CalibrationError",
        "CompareError",
        "DecodeError",
        "DeviceFault",
        "Diagnostic",
        "EncodeError",
        "InputError",
        "LegalityError",
        "OnnxImportError",
        "OutOfRangeError",
        "ParseError",
        "PassError",
        "TpumlirError",
        "UnsupportedError",
        "VerifyError",
    ),
    "tpumlir.ir.interpreter": ("ModuleInterpreter",),
    "tpumlir.ir.module": ("Module",),
    "tpumlir.onnx.importer": ("load_onnx",),
}
# Modules that go by another name here.
_MODULES = {"cut": "tpumlir.ir.cut", "qtable": "tpumlir.precision.table"}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AccuracyError",
    "AllocationError",
    "BModel",
    "BModelError",
    "CalibrationError",
    "CalibrationTable",
    "CompareError",
    "Comparison",
    "DecodeError",
    "DeviceFault",
    "Diagnostic",
    "EncodeError",
    "InputError",
    "LegalityError",
    "Module",
    "ModuleInterpreter",
    "OnnxImportError",
    "OutOfRangeError",
    "ParseError",
    "PassError",
    "QuantizeResult",
    "Tolerance",
    "TpumlirError",
    "UnsupportedError",
    "VerifyError",
    "__version__",
    "calibrate",
    "compile_onnx",
    "deploy",
    "isolate",
    "load_onnx",
    "quantize",
    "sensitivity",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(_MODULES[name])
    elif name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value = version("tpumlir")
        except PackageNotFoundError:  # run from a source tree
            value = "0+source"
    else:
        raise AttributeError(f"module 'tpumlir' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
