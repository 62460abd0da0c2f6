"""Makes libdnnl findable before ``tpumlir._core`` is imported.

The extension's RPATH finds it where ``pip install`` puts it: in ``<prefix>/lib``, three levels above the
package, or with ``--target`` in ``lib`` beside the package. Where packages lie apart from each other (several
folders on ``PYTHONPATH``, a source tree) the record of the distribution that ships it says where.
"""

from __future__ import annotations

from pathlib import Path

_DISTRIBUTION = "onednn-cpu-gomp"
_LIBRARY = "libdnnl.so.3"


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
