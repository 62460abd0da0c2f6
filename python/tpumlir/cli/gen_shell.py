"""``gen_shell``: a folder with everything that takes an ONNX model to bmodels."""

from __future__ import annotations

import argparse
from pathlib import Path

from tpumlir.cli.common import EXIT_OK, Command, Parser, print_json
from tpumlir.cli.options import add_input_options, add_input_shapes, add_nonfinite_option
from tpumlir.onnx.noise import RANDOM_MODES


def build_parser() -> Parser:
    """The command line."""
    parser = Parser(
        "gen_shell",
        "Write a workspace for an ONNX model: the model, its inputs, and convert.sh, which makes bmodels. "
        "For a torch module call tpumlir.gen_shell.generate.",
    )
    parser.add_argument("model", type=Path, metavar="ONNX", help="the model")
    parser.add_argument("--model_name", metavar="NAME", help="name of the files; default: the file's")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help="the folder to write; default: NAME_workspace"
    )
    add_input_shapes(parser)
    add_input_options(parser)
    parser.add_argument("--test_input", type=Path, metavar="NPZ", help="inputs; random numbers without it")
    add_nonfinite_option(parser)
    parser.add_argument(
        "--random", choices=RANDOM_MODES, help="replace nodes that draw random numbers; else they are refused"
    )
    parser.add_common()
    return parser


def _body(args: argparse.Namespace) -> int:
    from tpumlir.gen_shell import generate_onnx

    name = args.model_name or args.model.stem
    workspace = generate_onnx(
        name, args.model, args.output or Path(f"{name}_workspace"), input_shapes=args.input_shapes,
        fixed_inputs=args.fix_input, runtime_inputs=args.runtime_inputs, test_input=args.test_input,
        allow_nonfinite=args.allow_nonfinite, random=args.random,
    )  # fmt: skip
    if args.json:
        print_json({
            "passed": True,
            "files": [str(path) for path in workspace.files],
            "inputs": {key: list(shape) for key, shape in workspace.inputs.items()},
        })  # fmt: skip
    else:
        print(f"wrote {', '.join(map(str, workspace.files))}")
        print(f"next: bash {workspace.script}")
    return EXIT_OK


main = Command(build_parser, _body)
