"""Output files that appear whole or not at all, one by one or several together."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO

from tpumlir.errors import InputError

# Hidden files that have not taken their place yet; `abandon` removes them.
_unfinished: set[Path] = set()
# What `all_or_none` holds back: hidden files and the places they will take.
_held: ContextVar[list[tuple[Path, Path]] | None] = ContextVar("held", default=None)
# Files that are read, which nothing may replace (`keeping`): where they really are.
_kept: ContextVar[frozenset[Path]] = ContextVar("kept", default=frozenset())


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open ``path`` for writing bytes; it is replaced when the block ends without an exception.

    The bytes go to a hidden file beside it first, which is removed if the block fails, the disk is full or
    the user interrupts. A link stays a link to what is written; a device or a pipe is written as it is.
    Raises: OSError: with the name of ``path``. InputError: a file that ``keeping`` keeps.
    """
    path = Path(path)
    _expect_not_kept(path)
    if is_special(path):
        with _named(path), path.open("wb") as stream:
            yield stream
        return
    asked, path = path, _behind_link(path)
    hidden = None
    with _named(asked, lambda: hidden):
        try:
            _expect_writable(path)
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
            hidden = Path(name)
            _unfinished.add(hidden)
            with os.fdopen(handle, "wb") as stream:
                yield stream
            # mkstemp makes private files; give the file the rights that open() would.
            mask = os.umask(0)
            os.umask(mask)
            hidden.chmod(0o666 & ~mask)
            held = _held.get()
            if held is None:
                _place(hidden, path)
            else:
                held.append((hidden, path))
        except BaseException:
            if hidden is not None:
                _remove(hidden)
            raise


@contextmanager
def all_or_none() -> Iterator[None]:
    """Hold back every ``atomic_write`` of the block: all files appear at its end, or none.

    Raises: OSError.
    """
    if _held.get() is not None:  # part of a larger whole
        yield
        return
    held: list[tuple[Path, Path]] = []
    token = _held.set(held)
    try:
        yield
        while held:
            _place(*held[0])
            del held[0]
    finally:
        _held.reset(token)
        for hidden, _ in held:
            _remove(hidden)


@contextmanager
def keeping(paths: Iterable[str | Path]) -> Iterator[None]:
    """Refuse to write over the files of ``paths`` in this block: they are what the work is made from."""
    token = _kept.set(_kept.get() | {_real(path) for path in paths})
    try:
        yield
    finally:
        _kept.reset(token)


def expect_place(path: str | Path, *, alone: bool = True) -> None:
    """Say before the work, not after it, that ``path`` cannot be written.

    Without ``alone`` other files are written beside it, which makes no sense beside a device.
    Raises: InputError; OSError: no right to write it.
    """
    path = Path(path)
    target = path if is_special(path) else _behind_link(path)
    if target.is_dir():
        raise InputError(f"{path}: expected a file to write, got a folder")
    _expect_not_kept(path)
    if not target.parent.is_dir():
        raise InputError(f"{path}: expected a folder that exists, got {target.parent} (make it first)")
    if is_special(target):
        if not alone:
            raise InputError(
                f"{path}: expected a file to write, for others come beside it, got a device or pipe"
            )
        return
    with _named(path):
        _expect_writable(target)
        if not os.access(target.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def expect_different(paths: Iterable[str | Path]) -> None:
    """Each of the files to write has to be another one. Raises: InputError."""
    seen: set[Path] = set()
    for path in paths:
        if _real(path) in seen and not is_special(path):
            raise InputError(f"{path}: expected different files to write, got this one twice")
        seen.add(_real(path))


def is_special(path: str | Path) -> bool:
    """Whether there is something that cannot be replaced: a device, a pipe, a socket."""
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def abandon() -> None:
    """Remove what is half written: for a process that is about to end without unwinding."""
    for hidden in list(_unfinished):
        _remove(hidden)


@contextmanager
def _named(path: Path, hidden: Callable[[], Path | None] = lambda: None) -> Iterator[None]:
    """Give an OSError the name that was asked for: the random one of a hidden file says nothing."""
    try:
        yield
    except OSError as error:
        place = hidden()
        if place is None or error.filename in {None, str(place)}:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def _expect_not_kept(path: Path) -> None:
    if _real(path) in _kept.get():
        raise InputError(f"{path}: expected a file other than those that are read, got one of them")


def _expect_writable(path: Path) -> None:
    """As open() does, though a file that is replaced need not be writable. Raises: OSError."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _real(path: str | Path) -> Path:
    """Unlike Path.resolve of older Pythons it leaves a circle of links to who opens it."""
    return Path(os.path.realpath(path))


def _behind_link(path: Path) -> Path:
    return _real(path) if path.is_symlink() else path


def _place(hidden: Path, path: Path) -> None:
    hidden.replace(path)
    _unfinished.discard(hidden)


def _remove(hidden: Path) -> None:
    hidden.unlink(missing_ok=True)
    _unfinished.discard(hidden)
