"""``npz_tool``: look at, compare and edit files of named tensors."""

from __future__ import annotations

import argparse
import csv
import io
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tpumlir import npz
from tpumlir.cli.common import EXIT_FAILED, EXIT_OK, Accepted, Command, Parser, print_json
from tpumlir.cli.options import positive, typed
from tpumlir.cli.report import ShownFinding, show_findings
from tpumlir.compare import Comparison, ElementBound, Tolerance, compare
from tpumlir.errors import Diagnostic, TpumlirError
from tpumlir.files import atomic_write
from tpumlir.npz import Array

Action = Callable[[argparse.Namespace], int]
Adder = Callable[..., argparse.ArgumentParser]  # name, action, what it does, names of files


# Flags of TPU-MLIR's npz_tool that are not accepted, and what to do instead.
_REFUSED = {
    **dict.fromkeys(("--fuzzy_match", "--fuzzy-match"), "tensors are matched by name; drop the flag"),
    "--per_axis_compare": "every tensor is judged as a whole; tpumlir ranges --tensor shows its channels",
    "--stats_int8_tensor": "use npz_tool statistic",
    "--key": "use npz_tool print_diff TARGET REFERENCE NAME",
    **dict.fromkeys(("--dequant", "--op_info"), "give files of real numbers: those of model_runner are"),
}
_ACCEPTED = {
    "--full-array": Accepted("npz_tool print_diff shows elements"),
    "--forall": Accepted("-v shows every tensor"),
    "--int8_tensor_close": Accepted("integers are judged as numbers", ("0", "1")),
}


def _names(text: str) -> list[str]:
    return [] if text == "-" else [name for name in text.split(",") if name]


def _ints(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers such as 0,2,3,1, got {text!r}") from None


def _tolerance(text: str) -> Tolerance:
    try:
        return Tolerance.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _element_bound(text: str) -> ElementBound:
    try:
        return ElementBound.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _pick(path: Path, tensors: dict[str, Array], name: str) -> Array:
    if name not in tensors:
        raise TpumlirError(Diagnostic(f"{path}: no tensor of this name (it has: {_some(tensors)})", name))
    return tensors[name]


def _some(names: Sequence[str] | dict[str, Array]) -> str:
    names = list(names)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "nothing"


def _write(args: argparse.Namespace, tensors: dict[str, Array]) -> int:
    npz.save(args.output or args.file, tensors)
    return EXIT_OK


# --- comparing ---------------------------------------------------------------


def _compare(args: argparse.Namespace) -> int:
    got, want = npz.load(args.target), npz.load(args.reference)
    names = None
    if args.common:
        names = [name for name in want if name in got]
    if args.mlir:
        names = _in_order(args.mlir, names or list(dict.fromkeys([*want, *got])))
    result = compare(
        got, want, tolerance=args.tolerance, bound=args.element_tolerance, names=names, excepts=args.excepts
    )
    found = _first_divergence(args, result, got, want)
    if args.save:
        _save_csv(args.save, result)
    if args.json:
        print_json(result.to_json() | {"divergences": show_findings(found, args.isolate, quiet=True)})
    else:
        from rich.console import Console

        # A pipe has no width of its own; cut names would be useless there.
        console = Console() if sys.stdout.isatty() else Console(width=160)
        console.print(result.table(all_tensors=args.verbose > 0))
        if args.verbose > 1:
            for tensor in result.failed:
                console.print(f"{tensor.name}: {tensor.message}", markup=False, highlight=False)
        if args.common:
            alone = len(set(got) ^ set(want))
            console.print(
                f"{alone} tensors are in one file only and were not judged", markup=False, highlight=False
            )
        console.print(result.summary(), markup=False, highlight=False)
        one_sided = {"missing", "unexpected"}
        if result.failed and all(tensor.status in one_sided for tensor in result.failed):
            print("what both files have is similar: --common judges only that")
        show_findings(found, args.isolate)
    return EXIT_OK if result.passed else EXIT_FAILED


def _in_order(mlir: Path, names: Sequence[str]) -> list[str]:
    """``names`` in the order in which a module computes them, others behind."""
    from tpumlir.ir.module import Module

    order = {name: i for i, name in enumerate(Module.load(mlir).tensor_names())}
    return sorted(names, key=lambda name: order.get(name, len(order)))


def _first_divergence(
    args: argparse.Namespace, result: Comparison, got: dict[str, Array], want: dict[str, Array]
) -> list[ShownFinding]:
    if args.mlir is None or result.passed:
        return []
    from tpumlir.ir.module import Module
    from tpumlir.road.divergence import Finding, find

    module = Module.load(args.mlir)
    divergence = find(module, result, got, want)
    if divergence is None:
        return []
    finding = Finding(divergence, module, want, args.tolerance, "module", str(args.reference))
    return [ShownFinding(finding, args.mlir, args.reference)]


def _save_csv(path: Path, result: Comparison) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    columns = ("name", "status", "passed", "cosine", "euclid", "snr", "max_abs", "max_rel", "message")
    writer.writerow(columns)
    writer.writerows([getattr(tensor, column) for column in columns] for tensor in result.tensors)
    with atomic_write(path) as stream:
        stream.write(text.getvalue().encode())


def _print_diff(args: argparse.Namespace) -> int:
    a = _pick(args.target, npz.load(args.target), args.name)
    b = _pick(args.reference, npz.load(args.reference), args.name)
    if a.shape != b.shape:
        raise TpumlirError(Diagnostic(f"expected shape {list(b.shape)}, got {list(a.shape)}", args.name))
    x, y = a.astype(np.float64).reshape(-1), b.astype(np.float64).reshape(-1)
    with np.errstate(invalid="ignore"):
        error = np.abs(x - y)
    error[np.isnan(error) & ~((x == y) | (np.isnan(x) & np.isnan(y)))] = np.inf
    error[np.isnan(error)] = 0.0
    order = np.argsort(-error, kind="stable")[: args.count]
    print(f"{args.name} {list(a.shape)}: {int((error > 0).sum())} of {error.size} elements differ")
    print(f"{'index':>24} {'got':>16} {'want':>16} {'|difference|':>16}")
    for i in order[error[order] > 0]:
        index = ",".join(str(int(k)) for k in np.unravel_index(int(i), a.shape))
        print(f"{index:>24} {x[i]:>16.9g} {y[i]:>16.9g} {error[i]:>16.9g}")
    return EXIT_OK if not (error > 0).any() else EXIT_FAILED


def _visualize_diff(args: argparse.Namespace) -> int:
    from tpumlir.difference import WRITERS, Difference

    a = _pick(args.target, npz.load(args.target), args.name)
    b = _pick(args.reference, npz.load(args.reference), args.name)
    difference = Difference.of(args.name, a, b, args.axis)
    if args.output:
        content = WRITERS[args.output.suffix.lower()](difference)
        with atomic_write(args.output) as stream:
            stream.write(content)
        print(f"{args.name} {list(a.shape)}: {difference.summary()}")
        print(f"wrote {args.output}")
        return EXIT_OK
    error = difference.error[np.isfinite(difference.error)]
    print(f"{args.name}: got - want, {error.size} finite of {a.size}")
    if error.size:
        counts, edges = np.histogram(error, bins=args.bins)
        for count, low, high in zip(counts, edges, edges[1:], strict=False):
            bar = "#" * max(int(60 * count / counts.max()), int(count > 0))
            print(f"{low:>12.4g} .. {high:>12.4g} {count:>9} {bar}")
    return EXIT_OK


# --- looking -----------------------------------------------------------------


def _dump(args: argparse.Namespace) -> int:
    tensors = npz.load(args.file)
    if args.name is None:
        for name, value in tensors.items():
            print(f"{name}  {list(value.shape)}  {value.dtype}")
        return EXIT_OK
    value = _pick(args.file, tensors, args.name)
    print(f"{args.name}  {list(value.shape)}  {value.dtype}")
    flat = value.reshape(-1)
    count = flat.size if args.count < 0 else args.count
    print(
        np.array2string(
            flat[:count] if count < flat.size else value, threshold=sys.maxsize, max_line_width=110
        )
    )
    if count < flat.size:
        print(f"... {flat.size - count} more (-1 shows all)")
    return EXIT_OK


def _get_shape(args: argparse.Namespace) -> int:
    value = _pick(args.file, npz.load(args.file), args.name)
    print(",".join(map(str, value.shape)))
    return EXIT_OK


def _statistic(args: argparse.Namespace) -> int:
    print(f"{'min':>13} {'max':>13} {'mean':>13} {'std':>13} {'zeros':>9} {'nan/inf':>9}  name")
    for name, value in npz.load(args.file).items():
        if value.dtype.kind not in "fiub":
            print(f"{'':>74}  {name} ({value.dtype}: no numbers)")
            continue
        numbers = value.astype(np.float64).reshape(-1)
        finite = numbers[np.isfinite(numbers)]
        low, high, mean, std = (
            (finite.min(), finite.max(), finite.mean(), finite.std()) if finite.size else (np.nan,) * 4
        )
        print(
            f"{low:>13.6g} {high:>13.6g} {mean:>13.6g} {std:>13.6g} {int((numbers == 0).sum()):>9} "
            f"{numbers.size - finite.size:>9}  {name}"
        )
    return EXIT_OK


def _check_nan_inf(args: argparse.Namespace) -> int:
    found = 0
    for name, value in npz.load(args.file).items():
        if value.dtype.kind != "f":
            continue
        nan, inf = int(np.isnan(value).sum()), int(np.isinf(value).sum())
        if nan or inf:
            found += 1
            print(f"{name}: {nan} NaN, {inf} infinities of {value.size}")
    print(f"{found} tensors with NaN or infinities")
    return EXIT_FAILED if found else EXIT_OK


# --- editing -----------------------------------------------------------------


def _extract(args: argparse.Namespace) -> int:
    tensors = npz.load(args.file)
    npz.save(args.output, {name: _pick(args.file, tensors, name) for name in args.names})
    return EXIT_OK


def _remove(args: argparse.Namespace) -> int:
    tensors = npz.load(args.file)
    for name in args.names:
        _pick(args.file, tensors, name)
    npz.save(args.output, {name: value for name, value in tensors.items() if name not in args.names})
    return EXIT_OK


def _insert(args: argparse.Namespace) -> int:
    tensors = npz.load(args.file)
    if args.name in tensors and not args.force:
        raise TpumlirError(
            Diagnostic(f"{args.file}: has a tensor of this name already (--force replaces it)", args.name)
        )
    tensors[args.name] = _load_npy(args.array)
    return _write(args, tensors)


def _load_npy(path: Path) -> Array:
    try:
        with path.open("rb") as stream:
            if zipfile.is_zipfile(stream):
                raise TpumlirError(Diagnostic(f"{path}: expected an npy file, got an npz file (use merge)"))
            stream.seek(0)
            return npz.read_array(stream)
    except FileNotFoundError:
        raise TpumlirError(Diagnostic(f"{path}: no such file")) from None
    except ValueError as error:
        raise TpumlirError(Diagnostic(f"{path}: expected an npy file, got {error}")) from None


def _merge(args: argparse.Namespace) -> int:
    merged: dict[str, Array] = {}
    for path in args.files:
        tensors = npz.load(path)
        twice = [name for name in tensors if name in merged]
        if twice and not args.force:
            raise TpumlirError(
                Diagnostic(f"{path}: {_some(twice)} already came from an earlier file (--force: last wins)")
            )
        merged |= tensors
    npz.save(args.output, merged)
    return EXIT_OK


def _rename(args: argparse.Namespace) -> int:
    tensors = npz.load(args.file)
    _pick(args.file, tensors, args.old)
    if args.new in tensors and args.new != args.old:
        raise TpumlirError(Diagnostic(f"{args.file}: has a tensor of this name already", args.new))
    return _write(args, {args.new if name == args.old else name: value for name, value in tensors.items()})


def _reshape(args: argparse.Namespace) -> int:
    tensors = npz.load(args.file)
    value = _pick(args.file, tensors, args.name)
    try:
        tensors[args.name] = value.reshape(args.shape)
    except ValueError:
        raise TpumlirError(
            Diagnostic(f"expected a shape of {value.size} elements, got {args.shape}", args.name)
        ) from None
    return _write(args, tensors)


def _permute(args: argparse.Namespace) -> int:
    tensors = npz.load(args.file)
    value = _pick(args.file, tensors, args.name)
    if sorted(args.order) != list(range(value.ndim)):
        raise TpumlirError(
            Diagnostic(f"expected a permutation of 0..{value.ndim - 1}, got {args.order}", args.name)
        )
    tensors[args.name] = np.ascontiguousarray(value.transpose(args.order))
    return _write(args, tensors)


def _to_npy(args: argparse.Namespace) -> int:
    value = _pick(args.file, npz.load(args.file), args.name)
    with atomic_write(args.output) as stream:
        np.lib.format.write_array(stream, value, allow_pickle=False)
    return EXIT_OK


def _to_bin(args: argparse.Namespace) -> int:
    value = _pick(args.file, npz.load(args.file), args.name)
    if args.dtype:
        value = value.astype(args.dtype)
    with atomic_write(args.output) as stream:
        stream.write(np.asarray(value, order="C").tobytes())
    return EXIT_OK


def _to_dat(args: argparse.Namespace) -> int:
    with atomic_write(args.output) as stream:
        for value in npz.load(args.file).values():
            stream.write(np.asarray(value, order="C").tobytes())
    return EXIT_OK


def _convert(change: Callable[[Array], Array]) -> Action:
    def command(args: argparse.Namespace) -> int:
        npz.save(args.output, {name: change(value) for name, value in npz.load(args.file).items()})
        return EXIT_OK

    return command


def _bf16_to_fp32(value: Array) -> Array:
    return npz.to_f32_from_bf16_bits(value) if value.dtype == np.uint16 else value  # type: ignore[arg-type]


def _fp16_to_fp32(value: Array) -> Array:
    half = value.view(np.float16) if value.dtype == np.uint16 else value
    return half.astype(np.float32) if half.dtype == np.float16 else value


def _fp32_to_bf16(value: Array) -> Array:
    return npz.to_bf16_bits(value) if value.dtype == np.float32 else value  # type: ignore[arg-type]


def _fp32_to_fp16(value: Array) -> Array:
    with np.errstate(over="ignore"):
        return value.astype(np.float16) if value.dtype == np.float32 else value


def build_parser() -> Parser:
    """The parser of all subcommands."""
    parser = Parser("npz_tool", "Look at, compare and edit npz files of named tensors.")
    parser.add_argument("--debug", action="store_true", help="show a traceback if something goes wrong")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    def command(name: str, body: Action, text: str, *paths: str) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(body=body, prog=f"npz_tool {name}")
        for path in paths:
            sub.add_argument(path, type=Path)
        return sub

    _add_judges(command)
    _add_views(command)
    _add_editors(command)
    _add_conversions(command)
    return parser


def _add_judges(command: Adder) -> None:
    sub = command(
        "compare", _compare, "judge every tensor of TARGET against REFERENCE, strictly", "target", "reference"
    )
    sub.add_argument(
        "--tolerance", type=_tolerance, default="0.9999,0.999", help="least cosine,euclid[,snr in dB]"
    )
    sub.add_argument("--element_tolerance", type=_element_bound, metavar="REL[,SCALE]",
                     help="how far any element may be off: REL of itself + SCALE (default: REL) of the "
                     "tensor's rms; without it elements are not judged")  # fmt: skip
    sub.add_argument("--excepts", type=_names, default=[], metavar="NAME,...", help="tensors not to judge")
    sub.add_argument("--common", action="store_true", help="judge only names that both files have")
    sub.add_argument("--save", type=Path, metavar="CSV", help="write the verdicts as csv")
    sub.add_argument(
        "--mlir",
        type=Path,
        help="the module that computes the tensors: tells which operation goes wrong first",
    )
    sub.add_argument(
        "--isolate", type=Path, metavar="DIR", help="with --mlir: write that operation as a folder that runs"
    )
    sub.add_argument(
        "-v", "--verbose", action="count", default=0, help="show every tensor; twice: every message"
    )
    sub.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    sub = command("print_diff", _print_diff, "print the elements that differ most", "target", "reference")
    sub.add_argument("name")
    sub.add_argument("--count", type=int, default=20, help="how many elements")
    sub = command(
        "visualize_diff",
        _visualize_diff,
        "draw where and how much a tensor differs: a page, a png, or a histogram of text",
        "target",
        "reference",
    )
    sub.add_argument("name")
    sub.add_argument("-o", "--output", type=Path, metavar="FILE", help="the .html or .png file to write")
    sub.add_argument("--axis", type=int, help="of the channels; default: 1, or the last of fewer than 3")
    sub.add_argument("--bins", type=typed(positive), default=16, metavar="N", help="of the histogram of text")


def _add_views(command: Adder) -> None:
    sub = command("dump", _dump, "list the tensors, or print COUNT elements of one (-1: all)", "file")
    sub.add_argument("name", nargs="?")
    sub.add_argument("count", nargs="?", type=int, default=1000)
    command("get_shape", _get_shape, "print the shape of a tensor", "file").add_argument("name")
    command("statistic", _statistic, "print range, mean and deviation of every tensor", "file")
    command(
        "check_nan_inf",
        _check_nan_inf,
        "list tensors with NaN or infinities; exit code 1 if there are any",
        "file",
    )


def _add_editors(command: Adder) -> None:
    for name, body, text in (
        ("extract", _extract, "copy the named tensors to another file"),
        ("remove", _remove, "copy all but the named tensors to another file"),
    ):
        command(name, body, text, "file", "output").add_argument("names", type=_names, metavar="NAME,...")
    sub = command("merge", _merge, "join several files")
    sub.add_argument("files", type=Path, nargs="+")
    sub.add_argument("-o", "--output", type=Path, required=True)
    sub.add_argument(
        "--force", action="store_true", help="let a later file replace tensors of an earlier one"
    )
    in_place = "the file to write; default: the file itself"
    sub = command("insert", _insert, "add the array of an npy file under a name", "file")
    sub.add_argument("name")
    sub.add_argument("array", type=Path, help="npy file")
    sub.add_argument("--force", action="store_true", help="replace a tensor of that name")
    sub.add_argument("-o", "--output", type=Path, help=in_place)
    sub = command("rename", _rename, "rename a tensor", "file")
    sub.add_argument("old")
    sub.add_argument("new")
    sub.add_argument("-o", "--output", type=Path, help=in_place)
    sub = command("reshape", _reshape, "reshape a tensor", "file")
    sub.add_argument("name")
    sub.add_argument("shape", type=_ints, metavar="D0,D1,...")
    sub.add_argument("-o", "--output", type=Path, help=in_place)
    sub = command("permute", _permute, "transpose a tensor", "file")
    sub.add_argument("name")
    sub.add_argument("order", type=_ints, metavar="I0,I1,...")
    sub.add_argument("-o", "--output", type=Path, help=in_place)


def _add_conversions(command: Adder) -> None:
    for name, body, text in (
        ("to_npy", _to_npy, "write one tensor as an npy file"),
        ("to_bin", _to_bin, "write the bytes of one tensor, no header"),
    ):
        sub = command(name, body, text, "file")
        sub.add_argument("name")
        sub.add_argument("output", type=Path)
        if name == "to_bin":
            sub.add_argument(
                "--dtype",
                choices=["float32", "float16", "int32", "int16", "int8", "uint8"],
                help="convert first",
            )
    command("to_dat", _to_dat, "write the bytes of all tensors, one after the other", "file", "output")
    for name, change, text in (
        ("bf16_to_fp32", _bf16_to_fp32, "turn uint16 tensors (bfloat16 bits) into float32"),
        ("fp16_to_fp32", _fp16_to_fp32, "turn float16 tensors (or uint16 bits) into float32"),
        ("fp32_to_bf16", _fp32_to_bf16, "turn float32 tensors into bfloat16 bits in uint16"),
        ("fp32_to_fp16", _fp32_to_fp16, "turn float32 tensors into float16"),
    ):
        command(name, _convert(change), text, "file", "output")


def _check(parser: Parser, args: argparse.Namespace) -> None:
    if args.command == "compare" and args.isolate and not args.mlir:
        parser.error("--isolate needs --mlir, the module to cut the operation out of")
    drawn = args.output if args.command == "visualize_diff" else None
    if drawn and drawn.suffix.lower() not in {".html", ".png"}:
        parser.error(f"--output: expected a .html or .png file, got {drawn}")


main = Command(
    build_parser, lambda args: int(args.body(args)), refused=_REFUSED, accepted=_ACCEPTED, check=_check
)
