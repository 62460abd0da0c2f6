"""The commands of ``tpumlir debug`` as text: their names, their help, and what they do with a session."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tpumlir._core import isa
from tpumlir.debugger import show
from tpumlir.debugger.breakpoints import Breakpoint, Stop
from tpumlir.debugger.memory import DTYPES, LAYOUTS, address_text
from tpumlir.debugger.program import UNITS, Unit
from tpumlir.debugger.session import Access, Session
from tpumlir.errors import InputError

_COMMAND = re.compile(r"^(?:(?P<group>\d+):)?(?P<engine>tiu|gdma):(?P<id>\d+)$")
_SHAPE = re.compile(r"^\d+(x\d+)*$")
_LIST_BEFORE, _LIST_ALL = 3, 10
_ROWS = 20
_FROM_HERE = re.compile(r"^[+-]\d+$")


class Quit(Exception):
    """The user wants to leave."""


@dataclass(frozen=True)
class Entry:
    """A command: names, the first the full one; how it is written; what it does."""

    names: tuple[str, ...]
    usage: str
    help: str
    body: Callable[[Commands, list[str]], Iterator[str]]

    @property
    def name(self) -> str:
        """The full name."""
        return self.names[0]


class Commands:
    """A session that is told what to do in words."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def run(self, line: str) -> Iterator[str]:
        """Do what a line says; yields lines of text. An empty line and a comment do nothing.

        Raises: Quit. InputError and what else the session raises: the command has done nothing.
        """
        try:
            words = [] if line.lstrip().startswith("#") else shlex.split(line)
        except ValueError as error:
            raise InputError(f"expected quotes in pairs, got {line.strip()} ({error})") from None
        if not words:
            return iter(())
        name, arguments = words[0], words[1:]
        if name.startswith("x/"):
            name, arguments = "x", [name, *arguments]
        return find(name).body(self, arguments)

    def complete(self, line: str) -> list[str]:
        """What the last word of a line may become."""
        words = line.split()
        if line[-1:].isspace() or not words:
            words.append("")
        if len(words) == 1:
            return _starting(words[0], [name for entry in ENTRIES for name in entry.names])
        try:
            entry = find(words[0])
        except InputError:
            return []
        return _starting(words[-1], self._candidates(entry.name, words[1:-1]))

    def _candidates(self, name: str, before: Sequence[str]) -> list[str]:
        program = self.session.program
        nodes = list(dict.fromkeys(source.node for source in program.sources if source.node))
        kinds = sorted({source.op.removeprefix("tpu.") for source in program.sources})
        if name in {"break", "tbreak"}:
            if not before:
                return [*_BREAKS, "tiu:", "gdma:", *nodes]
            lists = {"op": kinds, "node": nodes, "tensor": program.tensor_names()}
            return lists.get(before[0], [])
        if name in {"step", "back"}:
            return [*UNITS]
        if name in {"print", "watch", "compare"}:
            return program.tensor_names()
        if name == "info":
            return [*_INFO] if not before else program.tensor_names() if before[0] == "tensor" else []
        if name == "help":
            return [entry.name for entry in ENTRIES]
        if name == "x":
            return [*DTYPES, *LAYOUTS] if before else []
        return []

    # --- running ---------------------------------------------------------------------------

    def _stop(self, stop: Stop) -> Iterator[str]:
        yield from show.stop(self.session, stop)

    def do_run(self, words: list[str]) -> Iterator[str]:
        """From the beginning."""
        _most(words, 0)
        yield from self._stop(self.session.run())

    def do_continue(self, words: list[str]) -> Iterator[str]:
        """On, past some breakpoints if a number is given."""
        _most(words, 1)
        count = _number(words[0]) if words else 1
        for _ in range(count):
            stop = self.session.cont()
            if not stop.breakpoints:
                break
        yield from self._stop(stop)

    def do_step(self, words: list[str]) -> Iterator[str]:
        """By units."""
        unit, count = _unit(words)
        yield from self._stop(self.session.step(unit, count))

    def do_next(self, words: list[str]) -> Iterator[str]:
        """By operations."""
        _most(words, 1)
        yield from self._stop(self.session.next(_number(words[0]) if words else 1))

    def do_finish(self, words: list[str]) -> Iterator[str]:
        """The present operation."""
        _most(words, 0)
        yield from self._stop(self.session.finish())

    def do_until(self, words: list[str]) -> Iterator[str]:
        """Up to a place."""
        yield from self._stop(self.session.until(self._position(_only(words, "a position or command"))))

    def do_back(self, words: list[str]) -> Iterator[str]:
        """By units."""
        unit, count = _unit(words)
        yield from self._stop(self.session.back(unit, count))

    def do_reverse_continue(self, words: list[str]) -> Iterator[str]:
        """Back to a breakpoint."""
        _most(words, 0)
        yield from self._stop(self.session.reverse_continue())

    def do_goto(self, words: list[str]) -> Iterator[str]:
        """To a place."""
        yield from self._stop(self.session.goto(self._position(_only(words, "a position or command"))))

    def _position(self, word: str) -> int:
        command = _COMMAND.match(word)
        if command:
            group = int(command["group"] or 0)
            return self.session.program.position(command["engine"], int(command["id"]), group)
        if _FROM_HERE.match(word):
            return self.session.position + int(word)
        return _number(word.removeprefix("#"))

    # --- breakpoints ------------------------------------------------------------------------

    def do_break(self, words: list[str]) -> Iterator[str]:
        """Set one."""
        yield f"breakpoint {self._break(words, temporary=False).describe()}"

    def do_tbreak(self, words: list[str]) -> Iterator[str]:
        """Set one that stops once."""
        yield f"breakpoint {self._break(words, temporary=True).describe()}"

    def _break(self, words: list[str], *, temporary: bool) -> Breakpoint:
        session = self.session
        if not words:
            return session.break_at(session.position, temporary=temporary)
        what, rest = words[0], words[1:]
        command = _COMMAND.match(what)
        if command:
            _most(rest, 0)
            group = int(command["group"] or 0)
            return session.break_command(command["engine"], int(command["id"]), group, temporary=temporary)
        if what == "slice":
            number, group_of = _slice(rest)
            return session.break_slice(number, group_of, temporary=temporary)
        if what == "address":
            begin, nbytes, mode = _range(rest)
            return session.break_address(begin, nbytes, mode, temporary=temporary)
        if what in {"nan", "diff"}:
            _most(rest, 0)
            stops = {"nan": session.break_nonfinite, "diff": session.break_difference}
            return stops[what](temporary=temporary)
        if what in _BREAKS:
            return self._break_called(what, _only(rest, f"a name or number behind {what}"), temporary)
        _most(rest, 0)
        if what.removeprefix("#").isdigit():
            return session.break_at(self._position(what), temporary=temporary)
        return self._break_name(what, temporary=temporary)

    def _break_called(self, what: str, name: str, temporary: bool) -> Breakpoint:
        session = self.session
        if what == "group":
            return session.break_group(_number(name), temporary=temporary)
        if what == "at":
            return session.break_at(self._position(name), temporary=temporary)
        by_name = {"op": session.break_op, "node": session.break_node, "tensor": session.break_tensor}
        return by_name[what](name, temporary=temporary)

    def _break_name(self, name: str, *, temporary: bool) -> Breakpoint:
        """A node, else an operation."""
        try:
            return self.session.break_node(name, temporary=temporary)
        except InputError as error:
            try:
                return self.session.break_op(name, temporary=temporary)
            except InputError:
                raise error from None

    def do_watch(self, words: list[str]) -> Iterator[str]:
        """Set a watchpoint."""
        if not words:
            raise InputError("expected a tensor, or an address and a number of bytes, got nothing")
        if len(words) == 1 and not _is_address(words[0]):
            point = self.session.watch_tensor(words[0])
        else:
            begin, nbytes, _ = _range(words)
            point = self.session.watch(begin, nbytes)
        yield f"watchpoint {point.describe()}"

    def do_delete(self, words: list[str]) -> Iterator[str]:
        """Take some back."""
        for word in words:
            self.session.delete(_number(word))
        if not words:
            self.session.delete()
        yield from ()

    def do_enable(self, words: list[str]) -> Iterator[str]:
        """Let them stop again."""
        for number in map(_number, words or map(str, self.session.breakpoints)):
            self.session.enable(number)
        yield from ()

    def do_disable(self, words: list[str]) -> Iterator[str]:
        """Let them not stop."""
        for number in map(_number, words or map(str, self.session.breakpoints)):
            self.session.enable(number, on=False)
        yield from ()

    # --- looking -------------------------------------------------------------------------------

    def do_where(self, words: list[str]) -> Iterator[str]:
        """What comes next."""
        _most(words, 1)
        at = self._position(words[0]) if words else None
        yield from show.place(self.session, self.session.where(at))

    def do_list(self, words: list[str]) -> Iterator[str]:
        """Commands around."""
        _most(words, 2)
        here = self.session.position
        first = self._position(words[0]) if words else max(0, here - _LIST_BEFORE)
        count = _number(words[1]) if len(words) > 1 else _LIST_ALL
        for at in range(max(0, first), min(first + count, self.session.total)):
            mark = "=>" if at == here else "  "
            yield f"{mark} {show.line(self.session.where(at))}"

    def do_print(self, words: list[str]) -> Iterator[str]:
        """A tensor."""
        if words and words[0] in {"lmem", "gmem"}:
            yield from self._memory(words)
            return
        if len(words) > 2 or (len(words) == 2 and words[1] not in {"local", "global"}):
            raise InputError("expected print NAME [local|global] (quote a name with blanks)")
        word = _only(words[:1], "the name of a tensor")
        name, index = show.split_index(word, self.session.program.tensor_names())
        found = self.session.tensor(name, words[1] if len(words) == 2 else "")
        yield from show.tensor(found, index)
        if name in self.session.program.named and not found.is_whole:
            yield from show.pieces(self.session.pieces(name))

    def do_x(self, words: list[str]) -> Iterator[str]:
        """Memory."""
        yield from self._memory(words)

    def _memory(self, words: list[str]) -> Iterator[str]:
        shape: list[int] = []
        dtype, layout = "f32", ""
        strides: list[int] | None = None
        address: int | None = None
        local = words[:1] == ["lmem"]
        for word in words[1:] if words[:1] in (["lmem"], ["gmem"]) else words:
            if word.startswith("x/"):
                shape = [_number(word[2:])]
            elif address is None:
                address = _address(f"lmem:{word}" if local else word)
            elif word in DTYPES:
                dtype = word
            elif word in LAYOUTS:
                layout = word
            elif word.startswith("strides="):
                strides = [_number(part) for part in word.partition("=")[2].split(",")]
            elif _SHAPE.match(word):
                shape = [int(extent) for extent in word.split("x")]
            else:
                raise InputError(
                    f"expected a shape such as 1x64x7x7, a type ({', '.join(DTYPES)}), a layout "
                    f"({', '.join(LAYOUTS)}) or strides=N,C,H,W, got {word}"
                )
        if address is None:
            raise InputError("expected an address, got none: x ADDRESS [SHAPE] [TYPE] [LAYOUT]")
        values = self.session.memory(address, shape or [4], dtype, layout, strides)
        yield from show.memory(address, values)

    def do_info(self, words: list[str]) -> Iterator[str]:
        """About something."""
        _most(words, 2)
        what = words[0] if words else "command"
        rest = words[1] if len(words) > 1 else None
        command = _COMMAND.match(what)
        if command:
            what, rest = "command", what
        full = [what] if what in _INFO else [name for name in _INFO if name.startswith(what)]
        if not full:
            raise InputError(f"expected info {' | '.join(_INFO)} or a command such as tiu:3, got {what}")
        yield from _INFO[full[0]](self, rest)

    def info_command(self, word: str | None) -> Iterator[str]:
        """One command."""
        at = self._position(word) if word else self.session.position
        if at >= self.session.total:
            raise InputError("expected a command, got the end of the program")
        yield from show.command(self.session, at, fields=True)

    def info_breakpoints(self, _word: str | None) -> Iterator[str]:
        """All of them."""
        if not self.session.breakpoints:
            yield "no breakpoints"
        for point in self.session.breakpoints.values():
            yield point.describe()

    def info_ops(self, word: str | None) -> Iterator[str]:
        """Where operations begin."""
        program = self.session.program
        for at in program.begins("op").tolist():
            where = self.session.where(at)
            if where.op and (word is None or word in f"{where.op} {where.node} {where.tensor}"):
                yield show.line(where)

    def info_nodes(self, word: str | None) -> Iterator[str]:
        """Nodes with their commands."""
        program = self.session.program
        for at in program.begins("node").tolist():
            where = self.session.where(at)
            if where.node and (word is None or word in where.node):
                yield f"#{at}  {where.node}  {where.op}"

    def info_tensors(self, word: str | None) -> Iterator[str]:
        """Tensors that are on the chip."""
        for name in self.session.program.named:
            alive = [piece.place for piece in self.session.pieces(name) if piece.overwritten is None]
            if alive and (word is None or word in name):
                shape = "x".join(map(str, alive[0].shape)) or "scalar"
                where = ", ".join(
                    dict.fromkeys(f"{place.kind} ({place.memory} {place.address:#x})" for place in alive)
                )
                yield f"{name}: {shape} {alive[0].dtype}: {where}"
        if not self.session.program.named:
            for spec in (*self.session.model.inputs, *self.session.model.outputs):
                yield f"{spec.name}: {'x'.join(map(str, spec.shape))} {spec.dtype} at {spec.address:#x}"

    def info_tensor(self, word: str | None) -> Iterator[str]:
        """Where one is."""
        if word is None:
            raise InputError("expected the name of a tensor, got nothing")
        yield from show.pieces(self.session.pieces(word)) or ()

    def info_writer(self, word: str | None) -> Iterator[str]:
        """Who wrote bytes last."""
        if word is None:
            raise InputError("expected an address, got nothing")
        address = _address(word)
        at = self.session.writer(address)
        if at is None:
            yield f"{address_text(address)}: no command has written it"
        else:
            yield show.line(self.session.where(at))

    def info_program(self, _word: str | None) -> Iterator[str]:
        """The whole."""
        session = self.session
        program = session.program
        yield f"{session.model.path.name}: {session.total} commands, {len(program.sources)} operations"
        yield f"  {len(program.named)} tensors with {len(program.places)} places"
        if session.text:
            yield f"  text of {session.text.path.name}"
        yield "  with a reference" if session.has_reference else "  no reference"

    # --- comparing and saving ---------------------------------------------------------------------

    def do_compare(self, words: list[str]) -> Iterator[str]:
        """With the reference."""
        _most(words, 1)
        names = words or self.session.comparable()
        if not names:
            yield "no tensor of the reference is on the chip now"
            return
        results = [self.session.compare(name) for name in names]
        failed = [result for result in results if not result.passed]
        shown = [*failed, *(result for result in results if result.passed)][:_ROWS]
        for result in shown:
            verdict = "equal" if result.status == "equal" else "similar" if result.passed else "DIFFERENT"
            yield f"{result.name}: {verdict}" + (f", {result.metrics()}" if result.metrics() else "")
        more = len(results) - len(shown)
        if len(results) > 1:
            rest = f" ({more} more not shown)" if more else ""
            yield f"{len(failed)} of {len(results)} tensors are different{rest}"

    def do_save(self, words: list[str]) -> Iterator[str]:
        """A reproducer."""
        from tpumlir.debugger import saved

        path = Path(_only(words, "a file NAME.npz (commands) or NAME.mlir (the operation)"))
        session = self.session
        if path.suffix == ".npz":
            if session.position == session.total:
                raise InputError("expected a command to save, got the end of the program")
            begins = session.program.begins("op")
            begin = session.position
            if session.program.source_of(begin) is not None:
                begin = int(begins[begins <= begin][-1])
            end = session.program.last_of(begin)
            commands = saved.SavedCommands.of(session, begin, end)
            commands.save(path)
            nbytes = sum(map(len, commands.before.values()))
            yield f"wrote {path}: {end - begin} commands from #{begin} on, {nbytes:,} bytes of memory"
            return
        if path.suffix != ".mlir":
            raise InputError(f"expected a file NAME.npz or NAME.mlir, got {path}")
        if session.module is None:
            raise InputError(
                "expected the module of this bmodel to cut from, got none (--mlir NAME_final.mlir)"
            )
        for line in saved.save_op(session, session.module, path):
            yield f"  {line}"
        yield f"wrote {path}, {path.stem}_inputs.npz, {path.stem}_outputs.npz"

    def do_help(self, words: list[str]) -> Iterator[str]:
        """About commands."""
        if words:
            entry = find(words[0])
            yield f"{entry.usage}" + (f"    (also {', '.join(entry.names[1:])})" if entry.names[1:] else "")
            yield from (f"  {row}" for row in entry.help.splitlines())
            return
        for entry in ENTRIES:
            names = ", ".join(entry.names)
            yield f"  {names:<24} {entry.help.splitlines()[0]}"
        yield "help COMMAND tells more; a command may be shortened as long as it stays clear"

    def do_quit(self, words: list[str]) -> Iterator[str]:
        """Leave."""
        _most(words, 0)
        raise Quit


_BREAKS = ("op", "node", "tensor", "group", "slice", "address", "at", "nan", "diff")
_INFO: dict[str, Callable[[Commands, str | None], Iterator[str]]] = {
    "command": Commands.info_command,
    "breakpoints": Commands.info_breakpoints,
    "ops": Commands.info_ops,
    "nodes": Commands.info_nodes,
    "tensors": Commands.info_tensors,
    "tensor": Commands.info_tensor,
    "writer": Commands.info_writer,
    "program": Commands.info_program,
}

ENTRIES = (
    Entry(("run", "r"), "run", "run from the beginning to the first breakpoint", Commands.do_run),
    Entry(
        ("continue", "c"), "continue [N]",
        "run on to the next breakpoint, or the N-th of them", Commands.do_continue,
    ),
    Entry(
        ("step", "s"), "step [command|slice|op|node] [N]",
        "run to where the next command (or slice, operation, node) begins, or the N-th of them",
        Commands.do_step,
    ),
    Entry(("next", "n"), "next [N]", "the same as step op [N]", Commands.do_next),
    Entry(
        ("finish", "fin"), "finish",
        "run to the end of this operation and slice: its result is there then", Commands.do_finish,
    ),
    Entry(
        ("until", "u"), "until POSITION",
        "run to a position (12, +3) or command (tiu:7)", Commands.do_until,
    ),
    Entry(
        ("back", "reverse-step", "rs"), "back [command|slice|op|node] [N]",
        "go back to where a command (or slice, operation, node) began", Commands.do_back,
    ),
    Entry(
        ("reverse-continue", "rc"), "reverse-continue",
        "go back to the last stop of a breakpoint", Commands.do_reverse_continue,
    ),
    Entry(
        ("goto", "g"), "goto POSITION",
        "go to a position (12, +3, -3) or command (tiu:7), forward or back, past all breakpoints",
        Commands.do_goto,
    ),
    Entry(
        ("break", "b"), "break WHAT",
        "stop at a place; WHAT is one of\n"
        "tiu:7, gdma:7, 1:tiu:7   a command by engine and cmd_id (of command group 1)\n"
        "op NAME                  operations of a kind (Conv2D), or that compute a tensor; * is anything\n"
        "node NAME                what was made of an ONNX node\n"
        "group N, slice N [group M]   a layer group; a slice\n"
        "tensor NAME              a piece of a tensor has been made\n"
        "address A [N] [read|write]   commands that touch the N bytes from address A on\n"
        "nan                      a NaN or an infinity has been made\n"
        "diff                     the first command that does something wrong, as tpumlir verify finds it\n"
        "at POSITION, NAME        a position; a node or an operation",
        Commands.do_break,
    ),
    Entry(("tbreak", "tb"), "tbreak WHAT", "the same, but stop only once", Commands.do_tbreak),
    Entry(
        ("watch",), "watch NAME | ADDRESS BYTES",
        "stop behind a command that changed the bytes of a tensor, or some at an address", Commands.do_watch,
    ),
    Entry(("delete", "d"), "delete [N ...]", "take breakpoints back, or all of them", Commands.do_delete),
    Entry(("enable",), "enable [N ...]", "let breakpoints stop again", Commands.do_enable),
    Entry(("disable",), "disable [N ...]", "let breakpoints not stop", Commands.do_disable),
    Entry(
        ("where", "bt"), "where [POSITION]",
        "what the next command is of: operation, node, slice, line of the Tpu text", Commands.do_where,
    ),
    Entry(
        ("list", "l"), "list [POSITION [N]]",
        "the commands around here, or from a position on", Commands.do_list,
    ),
    Entry(
        ("print", "p"), "print NAME[INDEX] [local|global]",
        "a tensor as it is on the chip now, or a part such as x7[0,:,3:5]\n"
        "print lmem ADDRESS SHAPE LAYOUT TYPE and print gmem ... show memory, see x",
        Commands.do_print,
    ),
    Entry(
        ("x",), "x[/N] ADDRESS [SHAPE] [TYPE] [LAYOUT]",
        "memory as numbers: an address of GDMA (0x100001000) or of the lanes (lmem:0x40; lmem:0x40@5 from\n"
        "lane 5 on), a shape (1x64x7x7), a type (f32, f16, bf16, i8 ...), and a layout: aligned or compact\n"
        "in the lanes, dense elsewhere, or strides=N,C,H,W in elements",
        Commands.do_x,
    ),
    Entry(
        ("info", "i"), "info [command [tiu:7]] | breakpoints | ops | nodes | tensors | tensor NAME | ...",
        "command [tiu:7]   fields, operands, what it touches, cycles; of the next one without a name\n"
        "breakpoints       all of them\n"
        "ops, nodes [TEXT]   where operations and nodes begin\n"
        "tensors [TEXT]    what is on the chip now\n"
        "tensor NAME       where a tensor is and was\n"
        "writer ADDRESS    the command that wrote a byte last\n"
        "program           commands, operations, tensors in all",
        Commands.do_info,
    ),
    Entry(
        ("compare", "cmp"), "compare [NAME]",
        "a tensor, or all that are on the chip now, against the reference", Commands.do_compare,
    ),
    Entry(
        ("save",), "save NAME.npz | NAME.mlir",
        "a reproducer: the commands of this operation with the memory that they read, or the operation cut\n"
        "out of its module (--mlir) with its inputs as they are on the chip",
        Commands.do_save,
    ),
    Entry(("help", "h", "?"), "help [COMMAND]", "the commands, or more of one", Commands.do_help),
    Entry(("quit", "q", "exit"), "quit", "leave", Commands.do_quit),
)  # fmt: skip


def find(name: str) -> Entry:
    """The command of a name, an alias or a beginning that only one has. Raises: InputError."""
    for entry in ENTRIES:
        if name in entry.names:
            return entry
    found = [entry for entry in ENTRIES if entry.name.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"expected a command, got {name} ({', '.join(e.name for e in found)} begin so)")
    raise InputError(f"expected a command, got {name} (help lists them)")


def _starting(word: str, names: Iterable[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(word)]


def _most(words: Sequence[str], count: int) -> None:
    if len(words) > count:
        raise InputError(f"expected at most {count} words behind the command, got {' '.join(words)}")


def _only(words: Sequence[str], what: str) -> str:
    if len(words) != 1:
        raise InputError(f"expected {what}, got {' '.join(words) or 'nothing'}")
    return words[0]


def _number(word: str) -> int:
    try:
        number = int(word, 0)
    except ValueError:
        number = -1
    if number < 0:
        raise InputError(f"expected a number, got {word}")
    return number


def _unit(words: Sequence[str]) -> tuple[Unit, int]:
    unit: Unit = "command"
    count = 1
    _most(words, 2)
    for place, word in enumerate(words):
        if place == 0 and word in UNITS:
            unit = word
        elif place == len(words) - 1 and word.isdigit():
            count = int(word)
        else:
            raise InputError(f"expected {', '.join(UNITS)} and a number, got {' '.join(words)}")
    return unit, count


def _slice(words: Sequence[str]) -> tuple[int, int | None]:
    if len(words) == 3 and words[1] in {"group", "of"}:
        return _number(words[0]), _number(words[2])
    return _number(_only(words, "the number of a slice")), None


def _is_address(word: str) -> bool:
    return word.startswith(("0x", "lmem:")) or word.isdigit()


def _address(word: str) -> int:
    """An address of GDMA, or of the lanes: lmem:OFFSET or lmem:OFFSET@LANE."""
    if not word.startswith("lmem:"):
        return _number(word)
    offset, _, lane = word.partition(":")[2].partition("@")
    found = _number(offset) + (_number(lane) if lane else 0) * isa.LANE_BYTES
    if found >= isa.LOCAL_MEMORY[1] - isa.LOCAL_MEMORY[0]:
        raise InputError(f"expected an address within {isa.LANES} lanes, got {word}")
    return isa.LOCAL_MEMORY[0] + found


def _range(words: Sequence[str]) -> tuple[int, int, Access]:
    mode: Access = "access"
    rest = list(words)
    if rest and rest[-1] in {"read", "write"}:
        mode = cast("Access", rest.pop())
    _most(rest, 2)
    if not rest:
        raise InputError("expected an address such as 0x100001000 or lmem:0x40, got nothing")
    return _address(rest[0]), _number(rest[1]) if len(rest) > 1 else 1, mode
