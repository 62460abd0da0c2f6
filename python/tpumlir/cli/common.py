"""What every command shares: one-line errors, exit codes, progress and tables on standard error."""

from __future__ import annotations

import argparse
import errno
import gc
import io
import json
import os
import re
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn, TextIO

from tpumlir.errors import Diagnostic, Note, TpumlirError
from tpumlir.files import abandon, expect_different, expect_place, keeping

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
_COLLECT_AFTER = 50_000  # objects that are made and still there
_OUTPUT_ERRORS = {errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EBADF}


class Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes are one line, with exit code 2."""

    def __init__(self, prog: str, description: str, **_other: object) -> None:
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        # `--mean -1,-2,-3` is a value, as for TPU-MLIR: by default only a single number is.
        self._negative_number_matcher = re.compile(r"-\.?\d")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does, but an unknown flag comes first, with the one that was probably meant."""
        given = list(sys.argv[1:] if args is None else args)
        # The flags behind a subcommand are its own parser's.
        if not self._subparsers:
            for arg in given:
                if arg == "--":
                    break
                flag = arg.split("=", 1)[0]
                if flag.startswith("--") and flag not in self._option_string_actions:
                    self.error(f"unknown flag {flag}{self._meant(flag)}")
        return super().parse_known_args(given, namespace)

    def _meant(self, flag: str) -> str:
        import difflib

        known = [name for name in self._option_string_actions if name.startswith("--")]
        spelled = {name.replace("-", "_"): name for name in known}
        close = difflib.get_close_matches(flag.lower().replace("-", "_"), spelled, 1, 0.7)
        return f", did you mean {spelled[close[0]]}?" if close else ""

    def error(self, message: str) -> NoReturn:
        """Print one line and leave with exit code 2."""
        self.exit(EXIT_USAGE, f"{self.prog}: error: {message} (see {self.prog} --help)\n")

    def add_common(self) -> None:
        """Add the options that every command has."""
        self.add_argument("--json", action="store_true", help="print the result as JSON on standard output")
        self.add_argument("--debug", action="store_true", help="show a traceback if something goes wrong")


def refuse_unsupported(parser: Parser, flags: Mapping[str, str], argv: Sequence[str]) -> None:
    """Refuse, by name and with a remedy, flags of TPU-MLIR that this version does not have.

    ``flags`` maps a flag to what to do instead. They are looked for before parsing, so that no abbreviation
    or default can make one of them pass unseen.
    """
    for arg in argv:
        if arg == "--":
            return
        flag = arg.split("=", 1)[0]
        if flag in flags:
            parser.error(f"{flag} is not supported yet: {flags[flag]}")


class Accepted(NamedTuple):
    """A flag of TPU-MLIR that changes nothing here, and why: scripts may keep it.

    ``values`` are the ones it may have: none for a switch, ``ANY`` for any. ``beside``: the flag that it
    has no meaning without.
    """

    why: str
    values: tuple[str, ...] = ()
    beside: str = ""


ANY = ("*",)


def drop_accepted(parser: Parser, flags: Mapping[str, Accepted], argv: Sequence[str]) -> list[str]:
    """``argv`` without the flags that change nothing, each told on standard error."""
    kept: list[str] = []
    rest = list(argv)
    while rest:
        arg = rest.pop(0)
        flag, equals, value = arg.partition("=")
        accepted = flags.get(flag)
        if arg == "--" or accepted is None:
            kept.append(arg)
            if arg == "--":
                return kept + rest
            continue
        if accepted.values:
            value = value if equals else rest.pop(0) if rest else ""
            if accepted.values != ANY and value not in accepted.values:
                expected = " or ".join(accepted.values)
                parser.error(f"{flag}: expected {expected} ({accepted.why}), got {value or 'nothing'}")
        if accepted.beside and accepted.beside not in argv:
            parser.error(f"{flag}: expected {accepted.beside} with it, got {flag} alone")
        print(f"{parser.prog}: note: {flag} changes nothing: {accepted.why}", file=sys.stderr)
    return kept


@dataclass(frozen=True)
class Command:
    """A command: its flags and what it does. It is called like the ``main`` of a program.

    Flags that are ``refused`` or ``accepted`` without effect are those of TPU-MLIR; ``check`` refuses flags
    that have no meaning together. Files that are ``written`` are named by these arguments (``name+``: and
    others beside it): a place where that is not possible is told before the work, and none of them may be
    one that is ``read``.
    """

    build_parser: Callable[[], Parser]
    body: Callable[[argparse.Namespace], int]
    refused: Mapping[str, str] = field(default_factory=dict)
    accepted: Mapping[str, Accepted] = field(default_factory=dict)
    check: Callable[[Parser, argparse.Namespace], None] | None = None
    read: Sequence[str] = ()
    written: Sequence[str] = ()
    catches_interrupts: bool = False
    """Ctrl-C is a KeyboardInterrupt in ``body`` (in the main thread), not the end of the process."""

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        """Run the command; returns its exit code. Without ``argv`` the process is its own."""
        try:
            return self._call(argv)
        except KeyboardInterrupt:  # before the work has begun
            if argv is not None:
                raise
            print(f"{Path(sys.argv[0]).name}: interrupted", file=sys.stderr)
            return EXIT_INTERRUPTED

    def _call(self, argv: Sequence[str] | None) -> int:
        words = sys.argv[1:] if argv is None else list(argv)
        if argv is None:
            # Modules and models live to the end of the process: at Python's threshold of 700 objects the
            # collector walks over them again and again, and finds nothing.
            gc.set_threshold(_COLLECT_AFTER, *gc.get_threshold()[1:])
            prepare_streams()
        parser = self.build_parser()
        _expect_unicode(parser, words)
        refuse_unsupported(parser, self.refused, words)
        args = parser.parse_args(drop_accepted(parser, self.accepted, words))
        if self.check:
            self.check(parser, args)
        guard = _Guard(
            getattr(args, "prog", parser.prog), debug=args.debug, as_json=getattr(args, "json", False)
        )
        run = guard.run_as_process if argv is None and not self.catches_interrupts else guard.run
        return run(lambda: self._work(args))

    def _work(self, args: argparse.Namespace) -> int:
        read = [path for name in self.read for path in _paths(getattr(args, name))]
        places = [(name, path) for name in self.written for path in _paths(getattr(args, name.rstrip("+")))]
        with keeping(read):
            for name, path in places:
                expect_place(path, alone=not name.endswith("+"))
            expect_different(path for _, path in places)
            return self.body(args)


def _paths(value: object) -> list[str]:
    """The files that an argument names: one, several, or a list such as ``a.npz,NAME=b.npy``."""
    if value is None:
        return []
    if isinstance(value, (list, tuple)):
        return [path for item in value for path in _paths(item)]
    if isinstance(value, os.PathLike):
        return [os.fspath(value)]
    words = str(value).split(",")
    return [str(value), *words, *(word.partition("=")[2] for word in words if "=" in word)]


def prepare_streams() -> None:
    """Make the streams of the process take whatever is printed.

    One that was closed swallows it, or has ended; letters that it does not have, of a model or a file, are
    escaped.
    """
    sys.stdin = sys.stdin or Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 (to the end)
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _expect_unicode(parser: Parser, words: Sequence[str]) -> None:
    """Refuse names that are no text: neither a module nor a bmodel can hold them."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            parser.error(
                f"expected names in UTF-8, got {_escape(word)} (rename the file, or use a UTF-8 locale)"
            )


class _Guard(NamedTuple):
    """Turns what goes wrong into one line on standard error and an exit code.

    With ``as_json`` standard output gets a document too, with ``passed`` false and the ``problems``.
    """

    prog: str
    debug: bool
    as_json: bool

    def run_as_process(self, body: Callable[[], int]) -> int:
        """As ``run``; Ctrl-C ends the process at once, also while ``body`` is deep in native code.

        Half-written files are removed first.
        """
        if hasattr(signal, "SIGXFSZ"):  # a file size limit is an error like a full disk, not a reason to die
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for name in ("SIGTERM", "SIGHUP"):
            if signal.getsignal(number := getattr(signal, name)) is signal.SIG_DFL:
                signal.signal(number, _die)
        code: list[int] = []
        worker = threading.Thread(target=lambda: code.append(self.run(body)), daemon=True)
        try:
            worker.start()
            worker.join()
        except KeyboardInterrupt:
            abandon()
            print(f"{self.prog}: interrupted", file=sys.stderr, flush=True)
            os._exit(EXIT_INTERRUPTED)
        return code[0] if code else EXIT_FAILED

    def run(self, body: Callable[[], int]) -> int:
        """Call ``body``; returns its exit code, or that of what went wrong."""
        try:
            with _notes(self.prog):
                code = body()
            sys.stdout.flush()
            return code
        except KeyboardInterrupt:
            print(f"{self.prog}: interrupted", file=sys.stderr)
            return EXIT_INTERRUPTED
        except BrokenPipeError as error:  # the reader has gone (`| head`)
            if error.filename:  # that of a named pipe
                _print_error(self.prog, error)
            else:
                drop_output()
            return EXIT_FAILED
        except Exception as error:
            if self.debug:
                traceback.print_exc()
            _print_error(self.prog, error)
            if _is_of_output(error):
                drop_output()
            elif self.as_json:
                print_json({"passed": False, "error": type(error).__name__, "problems": _problems(error)})
            return EXIT_FAILED


def _die(number: int, _frame: object) -> None:
    """End as the signal would, but leave nothing half written."""
    abandon()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def drop_output() -> None:
    """Let nothing more of standard output be written, also at exit, where Python flushes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_of_output(error: Exception) -> bool:
    """Whether standard output cannot be written: errors of files have the name of the file."""
    return isinstance(error, OSError) and not error.filename and error.errno in _OUTPUT_ERRORS


def _problems(error: Exception) -> list[dict[str, object]]:
    diagnostics = (
        error.diagnostics if isinstance(error, TpumlirError) else [Diagnostic(_foreign_error(error))]
    )
    return [{"node": d.node, "message": d.message, "notes": list(d.notes)} for d in diagnostics]


@contextmanager
def _notes(prog: str) -> Iterator[None]:
    """Show what the library wants a user to know as one line each, not as Python shows warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", Note)
        others = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, Note):
                print(f"{prog}: note: {_escape(str(message))}", file=sys.stderr)
            else:
                others(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def _print_error(prog: str, error: Exception) -> None:
    """One line for one problem; for several a heading, then a line for each or a table."""
    if not isinstance(error, TpumlirError):
        print(f"{prog}: error: {_foreign_error(error)}", file=sys.stderr)
        return
    lines = [_printable(diagnostic) for diagnostic in error.diagnostics]
    if len(lines) == 1:
        print(f"{prog}: error: {lines[0]}", file=sys.stderr)
        return
    rows: list[tuple[str, ...]] = error.rows() if hasattr(error, "rows") else []
    print(
        f"{prog}: error: {len(lines)} {'nodes are not supported' if rows else 'problems'}:", file=sys.stderr
    )
    print_table(
        [[_escape(cell) for cell in row] for row in rows] or [[line] for line in lines], file=sys.stderr
    )


def _foreign_error(error: Exception) -> str:
    if isinstance(error, OSError) and _is_of_output(error):
        return f"standard output: {error.strerror}"
    if isinstance(error, OSError):
        return _escape(describe_os_error(error))
    if isinstance(error, MemoryError):
        return "not enough memory"
    what = " ".join(str(error).split())
    return f"internal: {type(error).__name__}: {what} (please report it with what --debug shows)"


def _printable(diagnostic: Diagnostic) -> str:
    """The diagnostic in one line, but for its notes: names in a model may hold anything."""
    node = _escape(diagnostic.node) if diagnostic.node else None
    return str(Diagnostic(_escape(diagnostic.message), node, tuple(map(_escape, diagnostic.notes))))


def _escape(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def print_table(rows: Sequence[Sequence[str]], *, file: TextIO | None = None) -> None:
    """Print rows as aligned columns. No rich: it takes a tenth of a second to import."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip(), file=file)


def describe_os_error(error: OSError) -> str:
    """One line for an error of the operating system, the file named if it is known."""
    name = error.filename2 or error.filename
    reason = error.strerror or str(error)
    if error.errno == errno.ENOSPC:
        reason += " (nothing was written)"
    if error.errno == errno.EFBIG:
        reason += " (the file size limit of this shell; nothing was written)"
    return f"{name}: {reason}" if name else reason


def print_json(value: object) -> None:
    """Print one JSON document on standard output; letters that it does not have are escaped as JSON does."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    print(text)


class Steps:
    """Names and times the steps of a command; draws a spinner if standard error is a terminal."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self._quiet = quiet or not sys.stderr.isatty()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time the block under ``name``."""
        start = time.perf_counter()
        try:
            if self._quiet:
                yield
            else:
                from rich.console import Console

                with Console(stderr=True).status(name):
                    yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
