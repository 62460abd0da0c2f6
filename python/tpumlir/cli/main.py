"""``tpumlir COMMAND``: every command under one name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from tpumlir.cli.common import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    drop_output,
    prepare_streams,
)

COMMANDS = {
    "compile": ("compile", "ONNX -> bmodel, every stage validated"),
    "check": ("check", "say which nodes of an ONNX model can be compiled"),
    "gen_shell": ("gen_shell", "a workspace for an ONNX model, with the script that compiles it"),
    "model_transform": ("model_transform", "ONNX -> Top MLIR"),
    "run_calibration": ("run_calibration", "Top MLIR and samples -> the table that INT8 needs"),
    "quantize": ("quantize", "the cheapest table of INT8 and floats that meets a target"),
    "sensitivity": ("sensitivity", "the error of every operation of a quantised module"),
    "isolate": ("isolate", "every operation of a module by itself, on right inputs"),
    "model_deploy": ("model_deploy", "Top MLIR -> bmodel"),
    "model_runner": ("model_runner", "run an ONNX model, an MLIR module or a bmodel"),
    "mlir_cut": ("mlir_cut", "cut a part out of an MLIR module, with data to run it"),
    "ranges": ("ranges", "which tensors of a module F16 does not hold"),
    "npz_tool": ("npz_tool", "look at, compare and edit npz files"),
    "bmodel_dis": ("bmodel_dis", "disassemble a bmodel"),
    "model_tool": ("model_tool", "describe a bmodel"),
    "profile": ("profile", "what the time of a bmodel goes into; compare two"),
    "verify": ("verify", "every tensor of a bmodel on the simulated chip, against its Tpu module"),
    "graph": ("graph", "a module as a page to look at, and as an ONNX file for Netron"),
    "debug": ("debug", "run a bmodel under a debugger, forward and back"),
    "regress": ("regress", "run a suite of models again: what is not as expected, what became worse"),
    "reduce": ("reduce", "the smallest model that still shows a fault"),
    "opt": ("tpumlir_opt", "run passes on an MLIR file"),
    "doctor": ("doctor", "versions, CPU, missing packages and a self-test, for bug reports"),
    "completion": ("completion", "the script for completion in bash or zsh"),
}


# Programs of TPU-MLIR that have another name here, or none.
ELSEWHERE = {
    "bmodel_checker": "tpumlir verify",
    "bmodel_combine": "model_tool --combine",
    "bmodel_dumper": "tpumlir debug",
    "fp_forward": "a --quantize_table (docs/precision.md)",
    "gen_rand_input": "no file: without --test_input inputs are random",
    "mlir2graph": "tpumlir graph",
    "mlir2onnx": "tpumlir graph --onnx",
    "mlir_debugger": "tpumlir isolate",
    "mlir_truncio": "mlir_cut",
    "op_locator": "bmodel_dis or tpumlir debug",
    "run_bmprofile": "tpumlir profile",
    "run_qtable": "tpumlir quantize",
    "run_sensitive_layer": "tpumlir sensitivity",
    "tdb": "tpumlir debug",
    "tpu_profile": "tpumlir profile",
    "visual": "tpumlir isolate --html, or tpumlir graph --failed",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    own_process = argv is None
    argv = sys.argv[1:] if argv is None else argv
    if own_process:
        prepare_streams()
    if not argv or argv[0] in {"-h", "--help", "--version", "-V"}:
        try:
            print(_version() if argv and "v" in argv[0].lower() else _usage(), flush=True)
        except BrokenPipeError:
            drop_output()
        except OSError as error:
            drop_output()
            print(f"tpumlir: error: standard output: {error.strerror}", file=sys.stderr)
            return EXIT_FAILED
        return EXIT_OK if argv else EXIT_USAGE
    name = argv[0].removesuffix(".py")
    if name not in COMMANDS:
        print(f"tpumlir: error: {_unknown(name)} (see tpumlir --help)", file=sys.stderr)
        return EXIT_USAGE
    try:
        module = importlib.import_module(f"tpumlir.cli.{COMMANDS[name][0]}")
    except KeyboardInterrupt:
        if not own_process:
            raise
        print(f"tpumlir {name}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    if own_process:  # the command reads its arguments itself, and knows that the process is its own
        sys.argv = [f"tpumlir {name}", *argv[1:]]
    code: int = module.main(None if own_process else list(argv[1:]))
    return code


def _version() -> str:
    from tpumlir import __version__

    return f"tpumlir {__version__}"


def _usage() -> str:
    rows = [f"  {name:<16} {text}" for name, (_, text) in COMMANDS.items()]
    last = "tpumlir COMMAND --help tells more; tpumlir --version prints the version"
    return "\n".join(["usage: tpumlir COMMAND ...", "", *rows, "", last])


def _unknown(name: str) -> str:
    """What is said of a word that is no command, with the one that was probably meant."""
    if name.lower() in ELSEWHERE:
        return f"expected a command of tpumlir, got {name} of TPU-MLIR: use {ELSEWHERE[name.lower()]}"
    import difflib

    spelled = {known.replace("-", "_"): known for known in COMMANDS}
    close = difflib.get_close_matches(name.lower().replace("-", "_"), spelled, 1, 0.7)
    hint = f", did you mean {spelled[close[0]]}?" if close else ""
    return f"expected a command of tpumlir, got {name}{hint}"
