"""What bash and zsh need to complete our command lines, from the parsers that read them.

The scripts hold every word they offer: a completion starts no Python.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from tpumlir.cli.main import COMMANDS

PROGRAMS = {
    "tpumlir": "",
    "gen_shell": "gen_shell",
    "model_transform": "model_transform",
    "run_calibration": "run_calibration",
    "model_deploy": "model_deploy",
    "model_runner": "model_runner",
    "mlir_cut": "mlir_cut",
    "npz_tool": "npz_tool",
    "bmodel_dis": "bmodel_dis",
    "model_tool": "model_tool",
    "tpumlir-opt": "opt",
    "tpuc-opt": "opt",
}
"""Programs that are installed, and which command of ``tpumlir`` each is; all exist with ``.py`` too."""

_ENDINGS = frozenset(
    ("bmodel", "csv", "html", "json", "mlir", "npy", "npz", "onnx", "pb", "png", "svg", "toml", "xml")
)
_FOLDERS = frozenset(("DIR", "FOLDER"))
_FILES = frozenset(("FILE", "PATH", "TABLE", "QTABLE", "SUITE", "MODEL", "OUT"))


@dataclass(frozen=True)
class Value:
    """What one word of the command line may be. Without anything to offer it is free text."""

    name: str
    words: tuple[str, ...] = ()
    pattern: str = ""  # of files; "*" for any
    folder: bool = False


@dataclass(frozen=True)
class Argument:
    """A flag by its ``flags``, or a positional argument; ``many``: the last of ``values`` may come again."""

    flags: tuple[str, ...]
    help: str
    values: tuple[Value, ...]
    many: bool = False
    optional: bool = False


@dataclass
class Line:
    """One command: its arguments, or the commands below it."""

    help: str
    flags: list[Argument] = field(default_factory=list)
    places: list[Argument] = field(default_factory=list)
    below: dict[str, Line] = field(default_factory=dict)


def command_line() -> Line:
    """``tpumlir`` with all of its commands."""
    top = Line("compile neural networks to the BM1684X tensor processor")
    for name in ("--help", "--version"):
        top.flags.append(Argument((name,), f"print the {name[2:]}", ()))
    for name, (module, text) in COMMANDS.items():
        parser = importlib.import_module(f"tpumlir.cli.{module}").build_parser()
        top.below[name] = _line(parser, text)
    return top


def _line(parser: argparse.ArgumentParser, text: str) -> Line:
    line = Line(text)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {one.dest: one.help or "" for one in action._choices_actions}
            line.below = {name: _line(sub, helps.get(name, "")) for name, sub in action.choices.items()}
        elif action.help != argparse.SUPPRESS:
            (line.flags if action.option_strings else line.places).append(_argument(action))
    return line


def _argument(action: argparse.Action) -> Argument:
    names = action.metavar or action.dest
    text = " ".join(((action.help or "") % vars(action)).split())
    flags = tuple(action.option_strings)
    if isinstance(action.nargs, int):
        several = names if isinstance(names, tuple) else (names,) * action.nargs
        return Argument(flags, text, tuple(_value(action, name) for name in several))
    value = _value(action, names if isinstance(names, str) else names[0])
    many = action.nargs in ("+", "*", argparse.REMAINDER)
    return Argument(flags, text, (value,), many, optional=many or action.nargs == "?")


def _value(action: argparse.Action, name: str) -> Value:
    """What a value is, by what it may be and by the name it has in the help."""
    if action.choices is not None:
        return Value(name, tuple(map(str, action.choices)))
    if name == "MODE":
        from tpumlir.precision.formats import MODES

        return Value(name, MODES)
    if name == "CHIP" and isinstance(action.default, str):
        return Value(name, (action.default,))
    first = name.split(",", maxsplit=1)[0]
    if first in _FOLDERS:
        return Value(name, folder=True)
    if first.lower() in _ENDINGS:
        return Value(name, pattern=f"*.{first.lower()}")
    return Value(name, pattern="*" if first in _FILES or action.type is Path else "")


def _lines(line: Line, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Line]]:
    yield " ".join(path), line
    for name, below in line.below.items():
        yield from _lines(below, (*path, name))


def _program_cases() -> Iterator[str]:
    """Which command a program is; its own name for those that are called the same."""
    for program, key in PROGRAMS.items():
        if program != key:
            yield f"    {program}) key={quote(key)} ;;"


def _programs() -> str:
    names = [name + ending for name in PROGRAMS for ending in ("", ".py")]
    return " ".join(name for name in names if name not in {"tpumlir.py", "tpumlir-opt.py", "tpuc-opt.py"})


# --- bash --------------------------------------------------------------------------


def bash() -> str:
    """The script for bash 4 or newer."""
    lines = dict(_lines(command_line()))
    rows = [
        f"    {quote(key)}) flags={_array(flag for arg in line.flags for flag in arg.flags)} "
        f"below={_array(line.below)} places={_array(_slots(arg) for arg in line.places)} ;;"
        for key, line in lines.items()
    ]
    values = [
        "    "
        + "|".join(quote(f"{key} {flag}") for flag in arg.flags)
        + f") slots={_array(_slot_list(arg))} ;;"
        for key, line in lines.items()
        for arg in line.flags
        if arg.values
    ]
    return _BASH.format(
        lines="\n".join(rows),
        values="\n".join(values),
        programs="\n".join(_program_cases()),
        names=_programs(),
    )


def _array(words: Iterator[str] | Sequence[str] | dict[str, Line]) -> str:
    return f"({' '.join(map(quote, words))})"


def _slot(value: Value) -> str:
    """A value in one word: ``=a b`` for words, ``/`` for a folder, a pattern for files, nothing."""
    if value.words:
        return "=" + " ".join(map(quote, value.words))
    return "/" if value.folder else value.pattern


def _slot_list(arg: Argument) -> list[str]:
    slots = [_slot(value) for value in arg.values]
    return [*(["?"] if arg.optional else []), *slots, *(["..."] if arg.many else [])]


def _slots(arg: Argument) -> str:
    """A positional argument has one value, which may come again."""
    return ("+" if arg.many else " ") + _slot(arg.values[0])


_BASH = """\
# Completion of tpumlir and its programs for bash. `tpumlir completion bash` wrote it.

# What a command has: flags, commands below it, and what its places hold.
_tpumlir_line() {{
  flags=() below=() places=()
  case $1 in
{lines}
  esac
}}

# What the values of a flag are: "=words", "/" a folder, a pattern of files, or free text. A "?" before them
# says that there may be none, "..." behind them that there may be more.
_tpumlir_flag() {{
  slots=()
  case $1 in
{values}
  esac
}}

_tpumlir_files() {{
  compopt -o filenames 2>/dev/null
  local -a found
  mapfile -t found < <(compgen -f -X "!$1" -- "$current")
  if ((${{#found[@]}} == 0)) && [[ $1 != "*" ]]; then
    mapfile -t found < <(compgen -f -- "$current")
  else
    mapfile -t -O "${{#found[@]}}" found < <(compgen -d -- "$current")
  fi
  mapfile -t COMPREPLY < <(((${{#found[@]}})) && printf '%s\\n' "${{found[@]}}" | sort -u)
}}

_tpumlir_offer() {{
  case $1 in
    =*) mapfile -t COMPREPLY < <(compgen -W "${{1:1}}" -- "$current") ;;
    /)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$current")
      ;;
    ?*) _tpumlir_files "$1" ;;
  esac
}}

_tpumlir() {{
  local key=${{1##*/}} current=${{COMP_WORDS[COMP_CWORD]}} glued= word name i place=0 only=0
  local -a words=() flags below places slots
  key=${{key%.py}}
  case $key in
{programs}
  esac
  COMPREPLY=()
  # bash may cut --flag=value into three words, or leave it one.
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${{COMP_WORDS[i]}}
    case $word in
      =) ;;
      --?*=*) words+=("${{word%%=*}}" "${{word#*=}}") ;;
      *) words+=("$word") ;;
    esac
  done
  case $current in
    =) current= ;;
    --?*=*) glued=${{current%%=*}}= words+=("${{current%%=*}}") current=${{current#*=}} ;;
  esac
  if ((COMP_CWORD)) && [[ ${{COMP_WORDS[COMP_CWORD - 1]}} =~ ^[0-9\\&]*[\\<\\>]+$ ]]; then
    _tpumlir_files "*"
    return
  fi
  _tpumlir_line "$key"
  slots=()
  for word in "${{words[@]}}"; do
    if [[ ${{slots[0]-}} == "?" ]]; then
      slots=("${{slots[@]:1}}")
      [[ $word != -* ]] || slots=()
    fi
    if ((${{#slots[@]}})) && [[ ${{slots[0]}} == "..." ]]; then
      slots=()
    fi
    if ((${{#slots[@]}})); then
      if [[ ${{slots[1]-}} == "..." ]]; then
        slots=("?" "${{slots[@]}}")
      else
        slots=("${{slots[@]:1}}")
      fi
    elif ((!only)) && [[ $word == -- ]]; then
      only=1
    elif ((!only)) && [[ $word == -* ]]; then
      _tpumlir_flag "$key $word"
    elif ((${{#below[@]}})); then
      for name in "${{below[@]}}"; do
        if [[ $name == "${{word%.py}}" ]]; then
          key=${{key:+$key }}$name
          _tpumlir_line "$key"
          continue 2
        fi
      done
      return
    else
      ((place += 1))
    fi
  done
  if [[ ${{slots[0]-}} == "?" ]]; then
    slots=("${{slots[@]:1}}")
    [[ $current != -* ]] || slots=()
  fi
  if ((${{#slots[@]}})); then
    _tpumlir_offer "${{slots[0]}}"
  elif ((!only)) && [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "${{flags[*]}}" -- "$current")
  elif ((${{#below[@]}})); then
    mapfile -t COMPREPLY < <(compgen -W "${{below[*]}}" -- "$current")
  else
    if ((place >= ${{#places[@]}} && ${{#places[@]}})) && [[ ${{places[-1]}} == +* ]]; then
      place=$((${{#places[@]}} - 1))
    fi
    if ((place < ${{#places[@]}})); then
      _tpumlir_offer "${{places[place]:1}}"
    elif ((!only)); then
      mapfile -t COMPREPLY < <(compgen -W "${{flags[*]}}" -- "$current")
    fi
  fi
  [[ -z $glued ]] || COMPREPLY=("${{COMPREPLY[@]/#/$glued}}")
}}

complete -F _tpumlir {names}
"""


# --- zsh ---------------------------------------------------------------------------


def zsh() -> str:
    """The script for zsh: to be a file ``_tpumlir`` in ``fpath``, or to be read after ``compinit``."""
    cases = []
    for key, line in _lines(command_line()):
        if line.below:
            names = " ".join(quote(f"{_colons(name)}:{one.help}") for name, one in line.below.items())
            cases.append(f"    {quote(key)}) below=({names}) ;;")
            continue
        specs = [spec for arg in line.flags for spec in _zsh_flag(arg)] + list(_zsh_places(line.places))
        cases.append(
            f"    {quote(key)}) specs=(\n" + "".join(f"      {quote(s)}\n" for s in specs) + "    ) ;;"
        )
    return _ZSH.format(lines="\n".join(cases), programs="\n".join(_program_cases()), names=_programs())


def _colons(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")


def _zsh_action(value: Value) -> str:
    if value.words:
        return f"({' '.join(map(quote, value.words))})"
    if value.folder:
        return "_files -/"
    if value.pattern:
        return "_files" if value.pattern == "*" else f'_files -g "{value.pattern}"'
    return " "


def _zsh_flag(arg: Argument) -> Iterator[str]:
    """One specification for each spelling, each of which excludes the others."""
    text = arg.help.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    others = f"({' '.join(arg.flags)})" if len(arg.flags) > 1 else ""
    between = "::" if arg.optional else ":"
    for flag in arg.flags:
        equals = "=" if flag.startswith("--") and len(arg.values) == 1 else ""
        values = "".join(f"{between}{_colons(value.name)}:{_zsh_action(value)}" for value in arg.values)
        if arg.many:  # up to the next flag
            values = f":*-*:{_colons(arg.values[0].name)}:{_zsh_action(arg.values[0])}"
            equals = ""
        yield f"{others}{flag}{equals}[{text}]{values}"


def _zsh_places(places: Sequence[Argument]) -> Iterator[str]:
    for number, arg in enumerate(places, 1):
        value = arg.values[0]
        where = "*" if arg.many else str(number)
        between = "::" if arg.optional and not arg.many else ":"
        yield f"{where}{between}{_colons(value.name)}:{_zsh_action(value)}"


_ZSH = """\
#compdef {names}
# Completion of tpumlir and its programs for zsh. `tpumlir completion zsh` wrote it.

_tpumlir() {{
  local key=${{${{service:t}}%.py}} name curcontext=$curcontext
  local -a below specs
  case $key in
{programs}
  esac
  while true; do
    below=() specs=()
    case $key in
{lines}
    esac
    if (( ! ${{#below}} )); then
      _arguments -S : $specs
      return
    fi
    if (( CURRENT == 2 )); then
      if [[ -z $key && $PREFIX == -* ]]; then
        compadd -- --help --version
      else
        _describe -t commands command below
      fi
      return
    fi
    name=${{words[2]%.py}}
    [[ -n ${{(M)below:#${{(b)name}}:*}} ]] || return 1
    shift words
    (( CURRENT -= 1 ))
    key=${{key:+$key }}$name
  done
}}

if [[ $funcstack[1] == _tpumlir ]]; then
  _tpumlir "$@"
else
  compdef _tpumlir {names}
fi
"""
