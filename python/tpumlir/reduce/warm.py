"""What workers need, all of it loaded: they are forked of a process that has imported this."""

from __future__ import annotations

import onnxruntime  # noqa: F401 - loaded when a model is run, otherwise

from tpumlir.onnx.importer import load_converters
from tpumlir.reduce import judge, values  # noqa: F401

load_converters()
