"""``tpumlir graph``: a module as a page to look at, and as an ONNX file for viewers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tpumlir.cli.common import EXIT_OK, Command, Parser, print_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tpumlir.drawing.scene import Scene
    from tpumlir.npz import Array


def build_parser(prog: str = "tpumlir graph") -> Parser:
    """The command line."""
    parser = Parser(
        prog,
        "Draw a Top, Tpu or final module: a page that works without a network, with colours for precisions, "
        "groups, cycles and failed tensors; or an ONNX file that Netron opens.",
    )
    parser.add_argument("mlir", type=Path, metavar="MLIR", help="the module")
    parser.add_argument(
        "--bmodel",
        type=Path,
        metavar="BMODEL",
        help="what was made of it: cycles (its BMODEL.json has the names)",
    )
    parser.add_argument(
        "--failed",
        type=Path,
        metavar="JSON",
        help="verdicts on tensors: what npz_tool compare, isolate, verify or model_deploy print with --json",
    )
    parser.add_argument("--weights", action="store_true", help="show constants too")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="HTML",
        help="the page; default: MLIR's name with .html, unless --onnx",
    )
    parser.add_argument("--onnx", type=Path, metavar="ONNX", help="write an ONNX file for Netron")
    parser.add_common()
    return parser


def _body(args: argparse.Namespace) -> int:
    from tpumlir.bmodel import read as read_bmodel
    from tpumlir.bmodel.profile import profile
    from tpumlir.drawing import verdicts
    from tpumlir.drawing.scene import Scene
    from tpumlir.errors import InputError
    from tpumlir.ir.module import Module

    if args.output is None and args.onnx is None:
        args.output = args.mlir.with_suffix(".html")
    timed = None
    if args.bmodel:
        timed = profile(read_bmodel(args.bmodel, legality=False))
        if not timed.sources:
            raise InputError(
                f"{args.bmodel}: expected the names of its operations beside it ({args.bmodel}.json, which "
                "model_deploy writes), got none of this very file"
            )
    judged = verdicts.read(args.failed) if args.failed else None
    module = Module.load(args.mlir)
    scene = Scene.of(module, args.mlir.stem, profile=timed, verdicts=judged, weights=args.weights)
    if judged and not any(box.verdict for box in scene.boxes):
        raise InputError(f"{args.failed}: expected verdicts on tensors of this module, got none of its names")
    if timed and not any(box.cycles for box in scene.boxes):
        raise InputError(f"{args.bmodel}: expected the operations of this module, got none of their names")
    written = _write(args, scene, module.weights)
    if args.json:
        print_json(_document(scene) | {"outputs": written})
        return EXIT_OK
    operations = sum(box.kind not in {"output", "top.Input", "top.Weight"} for box in scene.boxes)
    print(f"{scene.title}: {operations} operations; wrote {', '.join(written.values())}")
    if scene.unmatched:
        few = ", ".join(scene.unmatched[:5])
        print(f"{len(scene.unmatched)} names that were judged are not in this module: {few}")
    return EXIT_OK


def _write(args: argparse.Namespace, scene: Scene, weights: Mapping[str, Array]) -> dict[str, str]:
    """Write the files that were asked for, or none. Raises: OSError; InputError: too many constants."""
    from tpumlir.drawing.onnx_file import model
    from tpumlir.drawing.page import page
    from tpumlir.files import all_or_none, atomic_write

    written = {}
    with all_or_none():
        if args.output:
            content = page(scene)
            with atomic_write(args.output) as stream:
                stream.write(content)
            written["html"] = str(args.output)
        if args.onnx:
            content = model(scene, weights).SerializeToString()
            with atomic_write(args.onnx) as stream:
                stream.write(content)
            written["onnx"] = str(args.onnx)
    return written


def _document(scene: Scene) -> dict[str, object]:
    return {
        "state": scene.state,
        "cycles": scene.cycles,
        "unmatched": list(scene.unmatched),
        "operations": [
            {
                "tensor": box.name, "operation": box.kind, "node": box.node, "precision": box.precision,
                "group": box.group, "cycles": box.cycles,
                "verdict": box.verdict.state if box.verdict else None,
            }
            for box in scene.boxes
            if box.kind not in {"output", "top.Input", "top.Weight"}
        ],
    }  # fmt: skip


main = Command(build_parser, _body, read=("mlir", "bmodel", "failed"), written=("output", "onnx"))
