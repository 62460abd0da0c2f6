"""The commands of ``tpumlir debug``: their text, their mistakes, scripts, reproducers."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from bmodel import program
from debugger.net import Net
from tpumlir import npz
from tpumlir.cli.main import main
from tpumlir.debugger.commands import ENTRIES, Commands, Quit, find
from tpumlir.debugger.saved import SavedCommands, differences
from tpumlir.debugger.session import Options, Session
from tpumlir.errors import InputError, TpumlirError
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.ir.module import Module


def add(tmp_path: Path) -> Commands:
    return Commands(Session(program.write_model(tmp_path / "add.bmodel"), {"x": program.x_values()}))


def said(commands: Commands, *lines: str) -> list[str]:
    """What the last of some lines prints."""
    found: list[str] = []
    for line in lines:
        found = list(commands.run(line))
    return found


# Command lines, and what the last one prints first.
TEXTS: list[tuple[tuple[str, ...], str]] = [
    (("run",), "the program has ended"),
    (("b tiu:1", "r"), "breakpoint 1: command tiu:1"),
    (("break 0:gdma:3", "r"), "breakpoint 1: command gdma:3"),
    (("b 2",), "breakpoint 1: at 2, 1 places, 0 hits"),
    (("b #2", "r", "where"), "#2 of 6: tiu:1 arith.add  tpu.Add Add_3"),
    (("s 2",), "#2 of 6: tiu:1 arith.add  tpu.Add Add_3"),
    (("s 2", "s command 1"), "#3 of 6: tiu:2 sys.end"),
    (("until tiu:1",), "#2 of 6: tiu:1 arith.add  tpu.Add Add_3"),
    (("goto 4", "back 2"), "#2 of 6: tiu:1 arith.add  tpu.Add Add_3"),
    (("goto 4", "goto -2"), "#2 of 6: tiu:1 arith.add  tpu.Add Add_3"),
    (("goto 1", "until +1"), "#2 of 6: tiu:1 arith.add  tpu.Add Add_3"),
    (("b at tiu:1",), "breakpoint 1: at 2, 1 places, 0 hits"),
    (("b op Add", "r"), "breakpoint 1: op Add"),
    (("b Add_3", "r"), "breakpoint 1: node Add_3"),
    (("tb op tpu.Add",), "breakpoint 1: op tpu.Add, 1 places, once, 0 hits"),
    (("b address lmem:0x4000 64 write", "r"), "breakpoint 1: write of [0x8004000, 0x8004040)"),
    (("watch y", "r"), "watch 1: watch y"),
    (("watch lmem:0x4000@5 4", "r", "where"), "#3 of 6: tiu:2 sys.end"),
    (("b nan", "r"), "the program has ended"),
    (("info breakpoints",), "no breakpoints"),
    (("b 1", "disable", "i b"), "1: at 1, 1 places, disabled, 0 hits"),
    (("b 1", "disable 1", "enable 1", "i b"), "1: at 1, 1 places, 0 hits"),
    (("b 1", "d", "i b"), "no breakpoints"),
    (("list",), "=> #0 of 6: gdma:1 dma.tensor  tpu.Add Add_3"),
    (("l 2 1",), "   #2 of 6: tiu:1 arith.add  tpu.Add Add_3"),
    (("info tiu:1",), "#2 of 6: tiu:1 arith.add  tpu.Add Add_3"),
    (("p x",), "x: 1x70x6x6 float32"),
    (("x/2 0x100001000",), "0x100001000: 2 float32"),
    (("print lmem 0x4000 1x70x6x6 aligned f32",), "local 0x4000: 1x70x6x6 float32"),
    (("print gmem 0x100001000 2x3 f32",), "0x100001000: 2x3 float32"),
    (("x lmem:0x4000@3 4 f16 strides=0,0,0,2",), "local 0x4000 from lane 3 on: 4 float16"),
    (("r", "info writer lmem:0x4000"), "#2 of 6: tiu:1 arith.add  tpu.Add Add_3"),
    (("info writer 0x100000000",), "0x100000000: no command has written it"),
    (("info program",), "add.bmodel: 6 commands, 1 operations"),
    (("info tensors",), "x: 1x70x6x6 f32 at 0x100001000"),
    (("help back",), "back [command|slice|op|node] [N]    (also reverse-step, rs)"),
    (("conti",), "the program has ended"),
    (("# nothing",), ""),
    (("",), ""),
]


@pytest.mark.parametrize(("lines", "first"), TEXTS, ids=[" / ".join(lines) for lines, _ in TEXTS])
def test_what_a_command_prints(tmp_path: Path, lines: tuple[str, ...], first: str) -> None:
    found = said(add(tmp_path), *lines)
    assert (found[:1] or [""])[0] == first


# Command lines that are wrong, and what is said of the last.
MISTAKES: list[tuple[tuple[str, ...], str]] = [
    (("frobnicate",), "expected a command, got frobnicate"),
    (("w",), "(watch, where begin so)"),
    (("b tiu:7",), "expected a command of the program, got tiu:7 (ids up to 2)"),
    (("b 3:tiu:7",), "no such engine or group"),
    (("b node nope",), "expected the name of a node of the program"),
    (("b op Conv2D",), "expected the name of a operation of the program"),
    (("b group 1",), "no module: put NAME_final.mlir beside the bmodel"),
    (("b slice x",), "expected a number, got x"),
    (("b slice",), "expected the number of a slice, got nothing"),
    (("b tensor",), "expected a name or number behind tensor, got nothing"),
    (("b address",), "expected an address such as 0x100001000 or lmem:0x40"),
    (("b address 0x50 4",), "within one memory"),
    (("b address lmem:0x0 0",), "at least 1 byte, got 0"),
    (("b address lmem:0x0@64",), "within 64 lanes"),
    (("b diff",), "expected a reference to compare with"),
    (("b 7",), "expected a position of 0 to 6, got 7"),
    (("watch",), "expected a tensor, or an address"),
    (("watch nope",), "expected the name of a tensor of the program"),
    (("delete 4",), "expected the number of a breakpoint (none), got 4"),
    (("enable 4",), "expected the number of a breakpoint (none), got 4"),
    (("step sideways",), "expected command, slice, op, node and a number"),
    (("step 0",), "at least 1, got 0"),
    (("back 0",), "at least 1, got 0"),
    (("next x",), "expected a number, got x"),
    (("until",), "expected a position or command, got nothing"),
    (("goto 3", "until 1"), "expected a position of 3 to 6, got 1"),
    (("goto 9",), "expected a position of 0 to 6, got 9"),
    (("goto -1",), "expected a position of 0 to 6, got -1"),
    (("p",), "expected the name of a tensor, got nothing"),
    (("p nope",), "expected the name of a tensor of the program"),
    (("p x[9,9]",), "expected an index into [1, 70, 6, 6] such as 0,:,3:5, got [9,9]"),
    (("p x[0:1:2:3]",), "such as 0,:,3:5"),
    (("p x elsewhere",), "expected print NAME [local|global]"),
    (("x",), "expected an address, got none"),
    (("x 0x100001000 4 f32 upside-down",), "expected a shape such as 1x64x7x7"),
    (("x 0x100001000 4 f32 strides=1,x",), "expected a number, got x"),
    (("info everything",), "expected info command | breakpoints"),
    (("r", "info command"), "expected a command, got the end of the program"),
    (("info tensor",), "expected the name of a tensor, got nothing"),
    (("info writer",), "expected an address, got nothing"),
    (("compare",), "expected a reference to compare with"),
    (("save",), "expected a file NAME.npz"),
    (("save x.txt",), "expected a file NAME.npz or NAME.mlir, got x.txt"),
    (("save x.mlir",), "expected the module of this bmodel to cut from"),
    (("r", "save x.npz"), "expected a command to save, got the end of the program"),
    (("p 'x",), "expected quotes in pairs"),
    (("run now",), "expected at most 0 words"),
    (("help frobnicate",), "expected a command, got frobnicate"),
]


@pytest.mark.parametrize(("lines", "message"), MISTAKES, ids=[" / ".join(lines) for lines, _ in MISTAKES])
def test_a_mistake_is_one_line(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    commands = add(tmp_path)
    for line in lines[:-1]:
        list(commands.run(line))
    before = (commands.session.position, dict(commands.session.breakpoints))
    with pytest.raises(TpumlirError) as caught:
        list(commands.run(lines[-1]))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert (commands.session.position, commands.session.breakpoints) == before


def test_quit_leaves(tmp_path: Path) -> None:
    for name in ("quit", "q", "exit"):
        with pytest.raises(Quit):
            list(add(tmp_path).run(name))


def test_every_command_has_its_own_names_and_help(tmp_path: Path) -> None:
    names = [name for entry in ENTRIES for name in entry.names]
    assert len(names) == len(set(names))
    whole = said(add(tmp_path), "help")
    for entry in ENTRIES:
        assert find(entry.name) is entry
        assert any(line.strip().startswith(entry.name) for line in whole)
        assert said(add(tmp_path), f"help {entry.name}")[1:]


def test_a_part_of_a_tensor(tmp_path: Path) -> None:
    x = program.x_values()
    found = said(add(tmp_path), "p x[0,69,2:4,5]")
    assert found[0] == "x: 1x70x6x6 float32"
    numbers = np.array([float(part) for part in found[1].strip(" []").split()])
    np.testing.assert_allclose(numbers, x[0, 69, 2:4, 5], atol=1e-6)


COMPLETIONS = [
    ("b", ["break", "back", "b", "bt"]),
    ("con", ["continue"]),
    ("break no", ["node"]),
    ("break node A", ["Add_3"]),
    ("break op ", ["Add"]),
    ("step s", ["slice"]),
    ("print ", ["x", "y"]),
    ("info br", ["breakpoints"]),
    ("info tensor ", ["x", "y"]),
    ("help wa", ["watch"]),
    ("x 0x0 bf", ["bf16"]),
    ("quit ", []),
    ("nonsense ", []),
]


@pytest.mark.parametrize(("line", "expected"), COMPLETIONS, ids=[line for line, _ in COMPLETIONS])
def test_completion(tmp_path: Path, line: str, expected: list[str]) -> None:
    assert sorted(add(tmp_path).complete(line)) == sorted(expected)


# --- scripts -----------------------------------------------------------------------------------


def debug(*words: object) -> int:
    return main(["debug", *map(str, words)])


def files(tmp_path: Path, script: str) -> tuple[Path, Path, Path]:
    model = program.write_model(tmp_path / "add.bmodel")
    npz.save(tmp_path / "x.npz", {"x": program.x_values()})
    (tmp_path / "script").write_text(script)
    return model, tmp_path / "x.npz", tmp_path / "script"


def test_a_script_shows_commands_and_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, x, script = files(tmp_path, "# the addition\nb tiu:1\n\n  run\nquit\nnonsense\n")
    assert debug(model, "--input", x, "--commands", script) == 0
    assert capsys.readouterr().out.splitlines() == [
        "(tpu) b tiu:1",
        "breakpoint 1: command tiu:1, 1 places, 0 hits",
        "(tpu) run",
        "breakpoint 1: command tiu:1",
        "#2 of 6: tiu:1 arith.add  tpu.Add Add_3",
        "(tpu) quit",
    ]


def test_a_wrong_line_of_a_script_ends_it_with_its_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, x, script = files(tmp_path, "run\n\nprint nope\nrun\n")
    assert debug(model, "--input", x, "--commands", script) == 1
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        f"tpumlir debug: error: {script}:3: nope: expected the name of a tensor of the program, got one that "
        "it does not have (there are: x, y)"
    ]
    assert out.splitlines()[-1] == "(tpu) print nope"


def test_a_script_from_standard_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, _ = files(tmp_path, "")
    monkeypatch.setattr(sys, "stdin", io.StringIO("s\ns 0\n"))
    assert debug(model, "--input", x, "--commands", "-") == 1
    assert "<stdin>:2: expected a number of steps of at least 1" in capsys.readouterr().err


def test_a_pipe_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, _ = files(tmp_path, "")
    monkeypatch.setattr(sys, "stdin", io.StringIO("nonsense\ns 2\n\n"))
    assert debug(model, "--input", x) == 0
    assert capsys.readouterr().out.splitlines() == [
        "add.bmodel: 6 commands, 1 operations",
        "  0 tensors with 0 places",
        "  no reference",
        "error: expected a command, got nonsense (help lists them)",
        "#2 of 6: tiu:1 arith.add  tpu.Add Add_3",
        "#4 of 6: gdma:3 dma.tensor  tpu.Add Add_3",  # an empty line repeats a step
    ]


BAD: list[tuple[list[str], str]] = [
    (["{folder}/none.bmodel"], "none.bmodel: No such file or directory"),
    (["{model}", "--input", "{folder}/none.npz"], "none.npz: no such file"),
    (["{model}", "--commands", "{folder}/none"], "none: No such file or directory"),
    (["{model}", "--reference", "{folder}/none.npz"], "none.npz: no such file"),
    (["{model}", "--mlir", "{folder}/none.mlir"], "none.mlir: No such file or directory"),
    (["{folder}/x.npz", "--replay"], "x.npz: expected commands as `tpumlir debug` saves them"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_files_are_one_line(
    tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model, _, _ = files(tmp_path, "")
    assert debug(*(word.format(model=model, folder=tmp_path) for word in words)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


# --- reproducers -------------------------------------------------------------------------------------


def test_saved_commands_run_again(f32: Net, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = Commands(f32.session())
    path = tmp_path / "c.npz"
    for line in ("b node Sigmoid_d", "r", f"save {path}"):
        found = list(commands.run(line))
    position = commands.session.position
    assert found[0].startswith(f"wrote {path}: ")
    assert debug(path, "--replay") == 0
    assert capsys.readouterr().out.endswith("bytes as saved\n")
    saved = SavedCommands.load(path)
    assert saved.commands[0][0] == commands.session.program.key(position)
    assert not differences(saved, saved.run())
    # Another input gives another result, and that is told.
    address = next(iter(saved.before))
    changed = SavedCommands(
        saved.commands, dict(saved.before) | {address: bytes(len(saved.before[address]))}, saved.after
    )
    changed.save(path)
    assert debug(path, "--replay") == 1
    assert "bytes are not as they were saved" in capsys.readouterr().out
    assert commands.session.position == position


@pytest.mark.parametrize("node", ["Conv_c", "GlobalAveragePool_e", "Gemm_y"])
def test_a_saved_operation_runs_by_itself(f32: Net, tmp_path: Path, node: str) -> None:
    commands = Commands(f32.session(module=lambda: Module.load(f32.final)))
    path = tmp_path / "op.mlir"
    for line in (f"b node {node}", "r", f"save {path}"):
        found = list(commands.run(line))
    assert found[-1] == f"wrote {path}, op_inputs.npz, op_outputs.npz"
    module = Module.load(path)
    got = ModuleInterpreter(module).run(npz.load(tmp_path / "op_inputs.npz"))
    for name, want in npz.load(tmp_path / "op_outputs.npz").items():
        np.testing.assert_allclose(got[name], want.astype(np.float32), rtol=1e-4, atol=1e-5)
    assert any(text.endswith((": from the chip", ": from the reference")) for text in found[:-1])


def test_an_operation_needs_its_inputs(f32: Net, tmp_path: Path) -> None:
    bare = Commands(Session(f32.bmodel, f32.inputs, {}, Options(module=lambda: Module.load(f32.final))))
    list(bare.run("b node Conv_c"))
    list(bare.run("r"))
    with pytest.raises(InputError, match="whole on the chip, or in the reference"):
        list(bare.run(f"save {tmp_path / 'op.mlir'}"))
    assert not list(tmp_path.iterdir())


def test_any_tpu_module_is_a_reference(f32: Net, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    npz.save(tmp_path / "x.npz", f32.inputs)
    script = tmp_path / "script"
    script.write_text("where\nrun\ncompare y\n")
    shown = {}
    for name in ("F32_tpu.mlir", "F32_final.mlir"):
        module = f32.bmodel.with_name(name)
        words = (f32.bmodel, "--mlir", module, "--input", tmp_path / "x.npz", "--commands", script)
        assert debug(*words) == 0
        shown[name] = capsys.readouterr().out
    assert "F32_tpu.mlir:" not in shown["F32_tpu.mlir"]  # its lines are not those of the program
    assert re.search(r'F32_final.mlir:\d+: %\d+ = "tpu.Conv2D"', shown["F32_final.mlir"])
    for text in shown.values():
        assert text.splitlines()[-1].startswith("y: similar, ")
