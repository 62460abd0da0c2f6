"""The page of the commands, from their parsers, so that no option is described twice."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping

from tpumlir.cli import (
    bmodel_dis,
    check,
    completion,
    debug,
    doctor,
    gen_shell,
    graph,
    isolate,
    mlir_cut,
    model_deploy,
    model_runner,
    model_tool,
    model_transform,
    npz_tool,
    profile,
    quantize,
    ranges,
    reduce,
    regress,
    run_calibration,
    sensitivity,
    tpumlir_opt,
    verify,
)
from tpumlir.cli import (
    compile as compile_command,
)
from tpumlir.cli.common import ANY, Accepted
from tpumlir.cli.main import ELSEWHERE

_PARSERS: dict[str, argparse.ArgumentParser] = {
    "tpumlir compile": compile_command.build_parser(),
    "tpumlir check": check.build_parser(),
    "gen_shell": gen_shell.build_parser(),
    "model_transform": model_transform.build_parser(),
    "run_calibration": run_calibration.build_parser(),
    "tpumlir quantize": quantize.build_parser(),
    "tpumlir sensitivity": sensitivity.build_parser(),
    "tpumlir isolate": isolate.build_parser(),
    "model_deploy": model_deploy.build_parser(),
    "model_runner": model_runner.build_parser(),
    "mlir_cut": mlir_cut.build_parser(),
    "tpumlir ranges": ranges.build_parser(),
    "npz_tool": npz_tool.build_parser(),
    "bmodel_dis": bmodel_dis.build_parser(),
    "model_tool": model_tool.build_parser(),
    "tpumlir profile": profile.build_parser(),
    "tpumlir graph": graph.build_parser(),
    "tpumlir verify": verify.build_parser(),
    "tpumlir debug": debug.build_parser(),
    "tpumlir regress": regress.build_parser(),
    "tpumlir doctor": doctor.build_parser(),
    "tpumlir completion": completion.build_parser(),
    "tpumlir reduce": reduce.build_parser(),
    "tpumlir-opt": tpumlir_opt.build_parser("tpumlir-opt"),
}


def commands_page() -> Iterator[str]:
    """Yield the lines of the page."""
    yield "# Commands"
    yield ""
    yield "Each command also exists with the suffix `.py` and as `tpumlir <command>` (`tpumlir opt` for"
    yield "tpumlir-opt, which is also `tpuc-opt`). Exit codes: 0 done, 1 failed (one line on standard error),"
    yield "2 wrong usage, 130 interrupted."
    yield ""
    yield "Output files appear whole or not at all. A place where they cannot is told before the work begins,"
    yield "and no file that a command reads is written over. A link stays a link; what is no file"
    yield "(`/dev/null`, a pipe) is written as it is, with nothing beside it."
    yield ""
    for name, parser in _PARSERS.items():
        yield from _command(name, parser, 2)
    for name, module in (
        ("model_transform", model_transform),
        ("run_calibration", run_calibration),
        ("model_deploy", model_deploy),
        ("model_runner", model_runner),
        ("npz_tool", npz_tool),
        ("mlir_cut", mlir_cut),
        ("bmodel_dis", bmodel_dis),
        ("model_tool", model_tool),
    ):
        yield from _rows(f"Flags of TPU-MLIR that {name} refuses", "flag", "instead", module.main.refused)
        reasons = {flag: _reason(entry) for flag, entry in module.main.accepted.items()}
        yield from _rows(f"Flags of TPU-MLIR that change nothing in {name}", "flag", "because", reasons)
    yield from _rows("Programs of TPU-MLIR that have another name here", "program", "here", ELSEWHERE)


def _reason(entry: Accepted) -> str:
    """Why a flag changes nothing, and which values it may have."""
    why = f"{entry.why}; with `{entry.beside}`" if entry.beside else entry.why
    if not entry.values or entry.values == ANY:
        return why
    return f"{why}; only {' or '.join(f'`{value}`' for value in entry.values)}"


def _command(name: str, parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    yield f"{'#' * level} {name}"
    yield ""
    if parser.description:
        yield parser.description[0].upper() + parser.description[1:].rstrip(".") + "."
        yield ""
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        if isinstance(action, argparse._SubParsersAction):
            for sub, choice in action.choices.items():
                yield from _command(f"{name} {sub}", choice, level + 1)
            return
        rows.append(_row(action))
    if rows:
        yield "| argument | value | meaning |"
        yield "| --- | --- | --- |"
        yield from rows
        yield ""


def _row(action: argparse.Action) -> str:
    flags = ", ".join(f"`{flag}`" for flag in action.option_strings) or f"`{action.dest}`"
    value = "" if action.nargs == 0 else str(action.metavar or "")
    if action.choices is not None:
        value = ", ".join(map(str, action.choices))
    meaning = (action.help or "") % vars(action)
    if action.nargs != 0 and action.default not in (None, argparse.SUPPRESS, []):
        meaning += f" (default: {action.default})"
    if action.option_strings and action.required:
        meaning += " (required)"
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (flags, value, meaning.strip())) + " |"


def _rows(heading: str, what: str, column: str, texts: Mapping[str, str]) -> Iterator[str]:
    if not texts:
        return
    yield f"## {heading}"
    yield ""
    yield f"| {what} | {column} |"
    yield "| --- | --- |"
    yield from (f"| `{name}` | {text} |" for name, text in texts.items())
    yield ""


def pages() -> dict[str, Callable[[], Iterable[str]]]:
    """Name below docs/generated -> what yields its lines."""
    return {"commands.md": commands_page}
