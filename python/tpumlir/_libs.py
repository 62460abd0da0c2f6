"""Makes libdnnl findable, and its threads polite, before ``tpumlir._core`` is imported.

The extension's RPATH finds it where ``pip install`` puts it: in ``<prefix>/lib``, three levels above the
package, or with ``--target`` in ``lib`` beside the package. Where packages lie apart from each other (several
folders on ``PYTHONPATH``, a source tree) the record of the distribution that ships it says where.
"""

from __future__ import annotations

import os
from pathlib import Path

_DISTRIBUTION = "onednn-cpu-gomp"
_LIBRARY = "libdnnl.so.3"


# Some 500 us, between libgomp's default (milliseconds) and its number for crowded machines (1000). With
# 1000 and 10000 the threads sometimes fall asleep between the kernels of a small model on a quiet machine,
# which then takes 2 to 9 times as long as ONNX Runtime; with 30000 and more it took 0.5 to 0.7 of its time.
_SPINS = "50000"
# Where other programs want the processors: PP-OCR's recogniser in INT8 takes 28 ms beside a compiler, and 290
# with what is best on a quiet machine.
_SPINS_IF_CROWDED = "1000"
_PRESSURE = Path("/proc/pressure/cpu")
_CROWDED = 10.0
"""Percent of the last ten seconds in which some program waited for a processor."""


def shorten_spinning() -> None:
    """Let the threads of libgomp wait a fraction of a millisecond, not several, before they sleep.

    With the default a thread that waits for the other burns its time slice; where another program wants
    the processor too, every kernel of a model then takes milliseconds (measured: a 0.3 ms model took
    80 ms). Read by libgomp when it is loaded; what the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS_IF_CROWDED if is_crowded() else _SPINS)


def is_crowded() -> bool:
    """Whether programs wait for a processor here, if the kernel tells (Linux 4.20, docs.kernel.org PSI)."""
    try:
        words = _PRESSURE.read_text().split()
    except OSError:
        return False
    shares = [word for word in words if word.startswith("avg10=")]  # of some, then of all programs
    return bool(shares) and float(shares[0].partition("=")[2]) > _CROWDED


def preload_onednn() -> bool:
    """Load libdnnl from its distribution unless the RPATH finds it; return whether that was needed."""
    package = Path(__file__).parent
    if any((package / place / _LIBRARY).exists() for place in ("../../..", "../lib")):
        return False
    # Imported here: together they take as long as the rest of the package.
    import ctypes
    from importlib import metadata

    try:
        files = metadata.files(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return False
    for file in files:
        if file.name == _LIBRARY:
            # The loader knows a library by its soname once it is loaded.
            ctypes.CDLL(str(Path(str(file.locate())).resolve()), mode=ctypes.RTLD_GLOBAL)
            return True
    return False
