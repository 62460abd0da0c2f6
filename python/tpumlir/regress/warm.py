"""What every case needs, loaded by the fork server once for all of its workers."""

from __future__ import annotations

import onnxruntime  # noqa: F401

import tpumlir.bmodel.profile
import tpumlir.onnx.reference
import tpumlir.regress.execute
import tpumlir.road.compile  # noqa: F401
from tpumlir.onnx.importer import load_converters

load_converters()
