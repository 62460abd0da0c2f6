"""``model_tool``: what a bmodel contains; several made one, and one taken apart."""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tpumlir import bmodel
from tpumlir.bmodel.container import read_container
from tpumlir.cli.common import EXIT_OK, Command, Parser, print_json
from tpumlir.files import atomic_write

_UNSUPPORTED = {
    "--all": "use --print",
    "--dynamic": "dynamic networks are not supported",
    "--update_weight": "compile the model again",
    "--encrypt": "encrypted bmodels are not supported",
    "--decrypt": "encrypted bmodels are not supported",
    "--combine_dir": "use --combine with the bmodels themselves",
    "--combine_coeff": "use --combine: weights that are equal are there once",
    "--refresh": "compile the model again",
    "--kernel_dump": "our bmodels carry no kernel module",
    "--kernel_update": "our bmodels carry no kernel module",
    "--kernel_remove": "our bmodels carry no kernel module",
}


def build_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser("model_tool", "Show what a bmodel contains, combine several, or extract each of them.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--info", metavar="FILE", help="networks, tensors, sizes, command counts")
    action.add_argument("--chip", metavar="FILE", help="the chip that the file is for")
    action.add_argument("--print", metavar="FILE", help="all tables of the container, as JSON")
    action.add_argument(
        "--weight", metavar="FILE", help="the parts of the weights, as far as the file names them"
    )
    action.add_argument(
        "--dump",
        nargs=4,
        metavar=("FILE", "START", "BYTES", "OUT"),
        help="write a byte range of the binary section to a file",
    )
    action.add_argument(
        "--combine",
        nargs="+",
        metavar="FILE",
        help="make one bmodel of several: networks of one name are stages for their shapes",
    )
    action.add_argument(
        "--extract", metavar="FILE", help="write each stage as a bmodel, bm_netN_stageM.bmodel"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help="the file of --combine, the folder of --extract"
    )
    parser.add_common()
    return parser


def _check(parser: Parser, args: argparse.Namespace) -> None:
    args.span = (0, 0)
    if args.combine and not args.output:
        parser.error("--combine: expected the file to write, -o OUT")
    if args.output and not (args.combine or args.extract):
        parser.error("-o says where --combine and --extract write: expected one of them")
    if not args.dump:
        return
    try:
        args.span = (int(args.dump[1], 0), int(args.dump[2], 0))
    except ValueError:
        parser.error(f"--dump: expected numbers for START and BYTES, got {args.dump[1]} and {args.dump[2]}")
    if min(args.span) < 0:
        parser.error(f"--dump: expected START and BYTES of at least 0, got {args.span[0]} and {args.span[1]}")


def _body(args: argparse.Namespace) -> int:
    if args.info:
        _info(args.info, as_json=args.json)
    elif args.chip:
        chip = bmodel.describe(args.chip)["chip"]
        print(json.dumps(chip) if args.json else chip)
    elif args.print:
        print_json(_printable(read_container(args.print).model))
    elif args.weight:
        _weights(args.weight, as_json=args.json)
    elif args.combine:
        _combine(args.combine, args.output, as_json=args.json)
    elif args.extract:
        _extract(args.extract, args.output or Path(), as_json=args.json)
    else:
        _dump(args.dump[0], args.span, args.dump[3])
    return EXIT_OK


def _combine(paths: Sequence[str], output: Path, *, as_json: bool) -> None:
    stages = [stage for path in paths for stage in bmodel.read(path).stages]
    whole = bmodel.join(stages)
    bmodel.write(output, whole)
    size = output.stat().st_size
    if as_json:
        print_json({"outputs": {"bmodel": str(output)}, "bytes": size, "stages": len(whole.stages)})
        return
    for network in whole.networks:
        for number, stage in enumerate(network.stages):
            shapes = ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in stage.inputs)
            print(f"net {network.name}, stage {number}: {shapes}")
    print(f"wrote {output} ({size} bytes)")


def _extract(path: str, folder: Path, *, as_json: bool) -> None:
    """The vendor's names, which tell the place of a stage in the file."""
    from tpumlir.bmodel.sharing import without_unread
    from tpumlir.files import all_or_none

    rows = []
    model = bmodel.read(path)
    folder.mkdir(parents=True, exist_ok=True)
    with all_or_none():
        for place, network in enumerate(model.networks):
            for number, stage in enumerate(network.stages):
                output = folder / f"bm_net{place}_stage{number}.bmodel"
                bmodel.write(output, without_unread(stage) if len(model.stages) > 1 else stage)
                rows.append({"net": network.name, "stage": number, "bmodel": str(output)})
    if as_json:
        print_json({"outputs": rows})
        return
    for row in rows:
        print(f"wrote {row['bmodel']} (net {row['net']}, stage {row['stage']})")


def _info(path: str, *, as_json: bool) -> None:
    info = bmodel.describe(path)
    if as_json:
        print_json(info)
        return
    for line in bmodel.describe_text(info):
        print(line)


def _weights(path: str, *, as_json: bool) -> None:
    rows = [
        {"net": net["name"], "stage": number, **part}
        for net in read_container(path).model["net"]
        for number, stage in enumerate(net.get("parameter", []))
        for part in stage.get("coeff_mem", {}).get("location", [])
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print(f"{row['net']} {row['stage']} {row['offset']:#x} {row['size']} {row['name']}")


def _dump(path: str, span: tuple[int, int], out: str) -> None:
    data = read_container(path).part("--dump", span)
    with atomic_write(Path(out)) as stream:
        stream.write(data)


def _printable(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b16encode(value).decode().lower()
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    return value


main = Command(build_parser, _body, refused=_UNSUPPORTED, check=_check)
