"""What every case needs, loaded by the fork server once for all of its workers.

ONNX Runtime is not: it starts a thread when it is loaded, and a fork has only the thread that calls it.
"""

from __future__ import annotations

import tpumlir.bmodel.profile
import tpumlir.onnx.reference
import tpumlir.regress.execute
import tpumlir.road.compile  # noqa: F401
from tpumlir.onnx.importer import load_converters

load_converters()
