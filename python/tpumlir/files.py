"""Output files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open ``path`` for writing bytes; it is replaced when the block ends without an exception.

    The bytes go to a hidden file beside it first, which is removed if the block fails, the disk is full or
    the user interrupts. Raises: OSError: with the name of ``path``.
    """
    path = Path(path)
    temporary = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as stream:
            yield stream
        # mkstemp makes private files; give the file the rights that open() would.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
        temporary = None
    except OSError as error:
        # The random name of the hidden file says nothing to anybody.
        if temporary is None or error.filename in {None, str(temporary)}:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        if temporary is not None:
            with suppress(FileNotFoundError):
                temporary.unlink()
