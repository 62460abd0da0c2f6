"""Completion as bash and zsh themselves do it, with the printed scripts."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tpumlir.cli import shells
from tpumlir.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[2]
FILES = ("net.onnx", "net.mlir", "my net.onnx", "in.npz", "net.bmodel", "other.bmodel", "notes.txt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files to complete, and both scripts in a folder."""
    folder = tmp_path_factory.mktemp("completion")
    for name in FILES:
        (folder / name).touch()
    (folder / "sub").mkdir()
    (folder / "sub" / "deep.onnx").touch()
    scripts = tmp_path_factory.mktemp("scripts")
    (scripts / "tpumlir.bash").write_text(shells.bash())
    (scripts / "_tpumlir").write_text(shells.zsh())
    (folder / "where").write_text(str(scripts))
    return folder


def shell(name: str, script: str, folder: Path) -> str:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"needs {name}")
    clean = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"]}[name]
    scripts = (folder / "where").read_text()
    done = subprocess.run(
        [program, *clean, "-c", script], capture_output=True, text=True, cwd=folder, timeout=60, check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "SCRIPTS": scripts, "TERM": "dumb"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


# The words before the one to complete, that word, and what is offered: this, or with "..." at least this.
CASES = [
    ("tpumlir", "", ["compile", "check", "doctor", "completion", "..."]),
    ("tpumlir", "comp", ["compile", "completion"]),
    ("tpumlir", "--v", ["--version"]),
    ("tpumlir compile", "--quantize_", ["--quantize_table"]),
    ("tpumlir compile --quantize", "", ["F32", "F16", "BF16", "INT8", "..."]),
    ("tpumlir compile --quantize", "B", ["BF16"]),
    ("tpumlir compile --quantize F16", "--quantize_", ["--quantize_table"]),
    ("tpumlir compile", "n", ["net.onnx"]),
    ("tpumlir compile", "my\\ n", ["my net.onnx"]),
    ("tpumlir compile", "sub/", ["sub/deep.onnx"]),
    ("tpumlir compile -o", "o", ["other.bmodel"]),
    ("tpumlir compile net.onnx", "--auto", ["--auto_mixed"]),
    ("tpumlir compile.py", "--auto", ["--auto_mixed"]),
    ("model_transform", "--model_", ["--model_def", "--model_name"]),
    ("model_transform.py", "--model_", ["--model_def", "--model_name"]),
    ("/usr/local/bin/model_transform", "--model_", ["--model_def", "--model_name"]),
    ("model_transform --model_def", "n", ["net.onnx"]),
    ("model_transform --model_name", "n", []),
    ("model_transform --pixel_format", "gr", ["gray"]),
    ("model_deploy --isolate", "", ["sub"]),
    ("npz_tool", "co", ["compare"]),
    ("npz_tool compare", "--ele", ["--element_tolerance"]),
    ("tpumlir npz_tool compare", "--ele", ["--element_tolerance"]),
    ("npz_tool merge in.npz in.npz", "in", ["in.npz"]),
    ("npz_tool merge in.npz in.npz", "--fo", ["--force"]),
    ("model_tool --dump", "o", ["other.bmodel"]),
    ("model_tool --dump net.bmodel 0 16", "o", ["other.bmodel"]),
    ("model_tool --dump net.bmodel", "o", []),
    ("tpuc-opt", "--split", ["--split-input-file"]),
    ("tpumlir-opt net.mlir -o", "n", ["net.mlir"]),
    ("tpumlir completion", "", ["bash", "zsh"]),
    ("tpumlir profile net.bmodel", "n", ["net.bmodel"]),
    ("tpumlir profile --by", "", ["op", "node", "kind"]),
]


def check(offered: list[str], expected: list[str]) -> None:
    if expected[-1:] == ["..."]:
        assert set(expected[:-1]) <= set(offered)
    else:
        assert sorted(offered) == sorted(expected)


# --- bash --------------------------------------------------------------------------

# What readline does: the words to COMP_WORDS, then the function that `complete -p` names.
BASH = """
. "$SCRIPTS/tpumlir.bash"
complete_words() {{
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
  local line=$(complete -p "${{1##*/}}")
  local name=${{line#*-F }}
  "${{name%% *}}" "$1" "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"
  printf '%s\\n' "${{COMPREPLY[@]}}"
}}
complete_words {words}
"""


def bash(words: str, folder: Path) -> list[str]:
    return [line for line in shell("bash", BASH.format(words=words), folder).splitlines() if line]


@pytest.mark.parametrize(("before", "word", "expected"), CASES, ids=str)
def test_bash(before: str, word: str, expected: list[str], folder: Path) -> None:
    check(bash(f"{before} {word or chr(39) * 2}", folder), expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("tpumlir compile --quantize = ''", ["F32", "F16", "BF16", "INT8", "..."]),
        ("tpumlir compile --quantize = B", ["BF16"]),
        ("tpumlir compile --quantize =", ["F32", "..."]),
        ("tpumlir compile --quantize = F16 n", ["net.onnx"]),
        ("tpumlir compile --quantize=B", ["--quantize=BF16"]),  # = is no break: the user's COMP_WORDBREAKS
        ("tpumlir compile --quantize=F16 n", ["net.onnx"]),
        ("model_transform --model_def = n", ["net.onnx"]),
        ("tpumlir compile '>' no", ["notes.txt"]),
        ("tpumlir compile -- n", ["net.onnx"]),
        ("tpumlir compile -- --q", []),
        ("tpumlir nothing n", []),
        ("bmodel_dis no", ["notes.txt"]),  # no file with the ending: any
        ("model_tool", ["..."]),
    ],
)
def test_bash_equals_signs_and_other_words(words: str, expected: list[str], folder: Path) -> None:
    check(bash(words, folder), expected)


def test_bash_completes_every_program(folder: Path) -> None:
    out = shell("bash", '. "$SCRIPTS/tpumlir.bash"; complete -p', folder)
    assert {line.split()[-1] for line in out.splitlines() if "_tpumlir" in line} == programs()


def test_bash_leaves_only_its_own_names(folder: Path) -> None:
    names = "compgen -A function; compgen -v | grep -vE '^(_|BASH|PIPESTATUS|before|after|FUNCNAME)'"
    out = shell(
        "bash",
        f'before=$({names}); . "$SCRIPTS/tpumlir.bash"; diff <(echo "$before") <({names}) || true',
        folder,
    )
    assert set(re.findall(r"^> (.*)$", out, re.MULTILINE)) == {
        "_tpumlir", "_tpumlir_files", "_tpumlir_flag", "_tpumlir_line", "_tpumlir_offer"
    }  # fmt: skip


# --- zsh ---------------------------------------------------------------------------

# An interactive zsh at a pseudo-terminal: its completion needs a line editor. Tab records what is offered.
RC = r"""
fpath=($SCRIPTS $fpath)
autoload -Uz compinit
compinit -u -D
unsetopt autolist automenu beep
compadd() {
  if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\ * ]]; then
    local -a found
    builtin compadd -A found "$@"
    (( $#found )) && print -rl -- "${(Q)found[@]}" >> $OFFERS
  fi
  builtin compadd "$@"
}
record() { print -- '==' >> $OFFERS; zle complete-word; BUFFER=; print -n DONE; }
zle -N record
zle -C complete-word complete-word _main_complete
bindkey '^I' record
print READY
"""
# zsh offers the last part of a path, and for flags with a value the flag with what joins them.
ZSH_CASES = [
    (f"{before} {word}", expected)
    for before, word, expected in CASES
    if word not in {"sub/", "my\\ n"} and before not in {"model_tool --dump net.bmodel"}
] + [
    ("tpumlir compile --quantize=", ["F32", "F16", "BF16", "INT8"]),
    ("tpumlir compile --quantize=B", ["BF16"]),
    ("model_transform --model_def=n", ["net.onnx"]),
    ("tpumlir nothing n", []),
    ("npz_tool compare --json --", ["--element_tolerance", "--excepts", "..."]),
]


class Terminal:
    """An interactive zsh, and what it has printed."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("zsh")
        if program is None:
            pytest.skip("needs zsh")
        scripts = (folder / "where").read_text()
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "SCRIPTS": scripts, "TERM": "dumb",
                       "OFFERS": f"{scripts}/offers"}  # fmt: skip
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [program, "-f", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)

    def say(self, text: str, until: bytes) -> None:
        """Type ``text`` and wait for ``until``."""
        os.write(self.ours, text.encode())
        end = time.monotonic() + 30
        seen = b""
        while until not in seen:
            assert time.monotonic() < end, seen
            if select.select([self.ours], [], [], 1)[0]:
                seen += os.read(self.ours, 4096)


@pytest.fixture(scope="module")
def zsh(folder: Path) -> list[list[str]]:
    """What is offered for each of the cases, in one session."""
    scripts = Path((folder / "where").read_text())
    (scripts / "rc.zsh").write_text(RC)
    with Terminal(folder) as terminal:
        terminal.say("source $SCRIPTS/rc.zsh\n", b"READY")
        for line, _ in ZSH_CASES:
            terminal.say(f"{line}\t", b"DONE")
    return [part.split("\n")[1:-1] for part in (scripts / "offers").read_text().split("==")[1:]]


@pytest.mark.parametrize("number", range(len(ZSH_CASES)), ids=[line for line, _ in ZSH_CASES])
def test_zsh(number: int, zsh: list[list[str]]) -> None:
    assert len(zsh) == len(ZSH_CASES)
    offered = list(dict.fromkeys(name for name in zsh[number] if name))
    check(offered, ZSH_CASES[number][1])


def test_zsh_reads_the_script_too(folder: Path) -> None:
    """Read after compinit it is there as well, for those who have no folder for it."""
    script = "autoload -Uz compinit; compinit -u -D; source $SCRIPTS/_tpumlir; print $_comps[npz_tool.py]"
    assert shell("zsh", script, folder) == "_tpumlir\n"


# --- the tables --------------------------------------------------------------------


def programs() -> set[str]:
    """The programs that pyproject.toml installs."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.split("[project.scripts]")[1].split("\n[")[0]
    return {name.strip('"') for name in re.findall(r"^(\S+) = ", section, re.MULTILINE)}


def test_every_program_is_known() -> None:
    assert set(shells._programs().split()) == programs()


def test_every_command_is_there() -> None:
    assert list(shells.command_line().below) == list(COMMANDS)


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_the_command_prints_the_script(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", name]) == 0
    assert capsys.readouterr().out == getattr(shells, name)()


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["completion", "fish"])
    assert left.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_reading_the_script_starts_no_program(folder: Path) -> None:
    """An empty PATH: whatever the script would start is not there."""
    shell("bash", 'PATH=; . "$SCRIPTS/tpumlir.bash"', folder)
