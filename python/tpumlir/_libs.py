"""Makes libdnnl findable before ``tpumlir._core`` is imported.

The extension's RPATH finds it where ``pip install`` puts it: ``<prefix>/lib``, three levels above the package.
An install with ``--target`` or ``--user`` puts it elsewhere; the record of the distribution that ships it says
where.
"""

from __future__ import annotations

import ctypes
from importlib import metadata
from pathlib import Path

_DISTRIBUTION = "onednn-cpu-gomp"
_LIBRARY = "libdnnl.so.3"


def preload_onednn() -> bool:
    """Load libdnnl from its distribution unless the RPATH finds it; return whether that was needed."""
    if (Path(__file__).parents[3] / _LIBRARY).exists():
        return False
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
