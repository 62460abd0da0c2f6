"""Options that several commands share, with TPU-MLIR's names, and the flags of TPU-MLIR that are refused."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tpumlir.cli.common import ANY, Accepted, Parser
from tpumlir.data.formats import FORMATS
from tpumlir.data.preprocess import Preprocess
from tpumlir.data.recipe import CHOICES, YUV_TYPES

if TYPE_CHECKING:
    from tpumlir.compare import ElementBound, Tolerance
    from tpumlir.onnx.options import ImportOptions
    from tpumlir.road.options import DeployOptions, JudgeOptions

T = TypeVar("T")

INPUT_HELP = (
    "npz, or a npy, jpg, png, bmp or yuv file for each input (in order, or NAME=FILE); random numbers "
    "without it"
)

_ALWAYS_STATIC = "shapes are static: fix them with --input_shapes"

# Each flag of TPU-MLIR's model_transform that is not accepted, and what to do instead.
TRANSFORM_REFUSED = {
    "--model_data": "only ONNX models are read; weights belong into the model or its external data",
    "--model_extern": "only ONNX models are read",
    "--input_types": "types are read from the ONNX file; drop the flag",
    "--add_postprocess": "run the post-processing on the host, or put it into the ONNX model",
    "--pruning": "drop the flag",
    "--dynamic": _ALWAYS_STATIC,
    "--dynamic_shape_input_names": _ALWAYS_STATIC,
    "--shape_influencing_input_names": _ALWAYS_STATIC,
    "--op_custom_shape": _ALWAYS_STATIC,
    "--replace_topk_indices": "drop the flag",
    "--struct_optimize": "drop the flag",
    "--use_rewriter_config": "drop the flag",
    "--preprocess_list": "all inputs that are images are preprocessed alike; drop the flag",
    "--path_yaml": "give the flags themselves",
    "--enable_maskrcnn": "models are imported in one way; drop the flag",
}

# The same of model_deploy.
DEPLOY_REFUSED = {
    **dict.fromkeys(
        ("--quant_output_bf16", "--quant_input_bf16", "--quant_input_int8", "--quant_output_int8"),
        "inputs and outputs have the type of the operations at them: --quant_input, --quant_output and, for "
        "these operations, --quantize_table",
    ),
    **dict.fromkeys(
        ("--q_group_size", "--q_symmetric"), "weights of 4 bits are not supported; drop the flag"
    ),
    "--fazzy_match": "tensors are matched by name; drop the flag",
    "--fuzzy_match": "tensors are matched by name; drop the flag",
    "--ip": "run the bmodel on the device yourself, then compare with npz_tool",
    "--pwd": "run the bmodel on the device yourself, then compare with npz_tool",
    **dict.fromkeys(
        ("--layer_group_config", "--lg_debugger", "--global_op_types", "--op_divide"),
        "layers are grouped in one way (--opt, --disable_layer_group); drop the flag",
    ),
    **dict.fromkeys(
        ("--same_addr", "--iomem_set", "--save_use_io_alone_config", "--save_io_alone_config",
         "--use_io_alone_config"),
        "addresses are assigned in one way; drop the flag",
    ),
    "--dynamic": "shapes are static; tpumlir compile takes several --input_shapes",
    "--trunc_final": "cut the ONNX model with model_transform --output_names",
    "--time_fixed_subnet": "drop the flag",
    "--subnet_params": "drop the flag",
    "--do_winograd": "BM1684X has no Winograd convolution; drop the flag",
    "--debug_cmd": "use tpumlir-opt to run single passes",
    "--io_alone": "addresses are assigned in one way; drop the flag",
    "--merge_weight": "model_tool --combine keeps weights that are equal once; drop the flag",
    "--not_gen_bmodel": "NAME_tpu.mlir is written beside the bmodel; drop the flag",
    "--includeWeight": "weights are in the npz beside the module; drop the flag",
    "--enable_maskrcnn": "models are imported in one way; drop the flag",
    "--rvti": "code is generated in one way; drop the flag",
    **dict.fromkeys(
        ("--future_update_rank", "--future_update_list"), "weights of a bmodel are not changed; drop the flag"
    ),
}  # fmt: skip

_LOG_LEVEL = Accepted("--debug shows where an error comes from", ANY)
_NO_CACHE = Accepted("nothing is cached between runs")
_OWN_GROUPS = "layers are grouped in one way (--opt, --disable_layer_group)"

# Flags of TPU-MLIR's model_transform that mean nothing here, so scripts may keep them.
TRANSFORM_ACCEPTED = {
    "--onnx_sim": Accepted("constants are always folded", ANY),
    "--do_onnx_sim": Accepted("constants are always folded", ANY),
    "--cache_skip": _NO_CACHE,
    "--log_level": _LOG_LEVEL,
    "--patterns_count": Accepted("rewrites are not counted", ANY),
    "--dump_final_opt": Accepted("no other ONNX file is made", ANY),
}

# The same of model_deploy.
DEPLOY_ACCEPTED = {
    "--cache_skip": _NO_CACHE,
    "--log_level": _LOG_LEVEL,
    "--cuda": Accepted("validation runs on the processor"),
    "--aligned_input": Accepted(
        "frames of BM1684X are not padded, with TPU-MLIR too (docs/pictures.md)", beside="--fuse_preprocess"
    ),
    "--gen_test_input": Accepted("a random input is used when --test_input is not given"),
    "--high_precision": Accepted("sums are held in F32; --auto_mixed keeps overflowing tensors in F32"),
    "--num_device": Accepted("there is one device", ("1",)),
    "--num_core": Accepted("BM1684X has one core", ("1",)),
    "--addr_mode": Accepted("addresses are assigned in one way", ("auto", "basic")),
    "--asymmetric": Accepted("INT8 chooses a zero point for each tensor"),
    "--matmul_perchannel": Accepted("the weights of a product always have a scale for each column"),
    "--compress_mode": Accepted("BM1684X has no compression", ("none",)),
    "--disable_gdma_check": Accepted("every command is checked (docs/legality.md)"),
    "--gelu_mode": Accepted("floats compute GELU as it is, INT8 by a table", ("normal",)),
    "--patterns_count": Accepted("rewrites are not counted", ANY),
    "--model_version": Accepted("the container has one version", ("latest",)),
    "--shape_secs_search_strategy": Accepted(_OWN_GROUPS, ("0", "1", "2")),
    "--group_by_cores": Accepted(_OWN_GROUPS, ANY),
    **dict.fromkeys(
        ("--disable_structure_detect_opt", "--disable_topo_sort", "--disable_affine",
         "--enable_lghash"),
        Accepted(_OWN_GROUPS),
    ),
}  # fmt: skip


def typed(parse: Callable[[str], T]) -> Callable[[str], T]:
    """``parse`` for argparse, with its own message kept."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def count(text: str) -> int:
    """A number from 0 on."""
    if not text.isdecimal():
        raise ValueError(f"expected a number from 0 on, got {text!r}")
    return int(text)


def positive(text: str) -> int:
    """A number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"expected a number from 1 on, got {text!r}")
    return int(text)


def names(text: str) -> list[str]:
    """Read ``a,b`` as two names, and TPU-MLIR's ``-`` as none."""
    return [] if text == "-" else [name.strip() for name in text.split(",") if name.strip()]


def tolerance(text: str) -> Tolerance:
    """Read ``cosine,euclid[,snr]``."""
    from tpumlir.compare import Tolerance

    return Tolerance.parse(text)


def element_bound(text: str) -> ElementBound:
    """Read ``relative[,scale]``."""
    from tpumlir.compare import ElementBound

    return ElementBound.parse(text)


def _floats(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"expected numbers such as 123.7,116.3,103.5, got {text!r}")
    return values


def _height_width(text: str) -> tuple[int, int]:
    try:
        height, width = (int(part) for part in text.split(","))
    except ValueError:
        height = width = 0
    if min(height, width) < 1:
        raise ValueError(f"expected height,width such as 224,224, got {text!r}")
    return height, width


def _byte(text: str) -> int:
    if not text.isdecimal() or int(text) > 255:
        raise ValueError(f"expected a number from 0 to 255, got {text!r}")
    return int(text)


def _shapes(text: str) -> list[list[int]]:
    from tpumlir.onnx.shapes import parse_input_shapes

    return parse_input_shapes(text)


class _Once(argparse.Action):
    """An option that is given once: the first of two would be lost."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        args: argparse.Namespace,
        value: object,
        _flag: str | None = None,
    ) -> None:
        """Keep the value. Raises: argparse.ArgumentError: there is one."""
        if getattr(args, self.dest) is not None:
            raise argparse.ArgumentError(self, "expected it once (tpumlir compile takes several shapes)")
        setattr(args, self.dest, value)


def add_input_shapes(parser: Parser, *, several: bool = False) -> None:
    """Add what fixes the extents that the model leaves open; ``several`` times makes a stage of each."""
    more = "; given several times, the bmodel has a stage for each" if several else ""
    parser.add_argument(
        "--input_shapes",
        action="append" if several else _Once,
        type=typed(_shapes),
        metavar="[[...],...]",
        help=f"static shape of each input{more}",
    )


def add_onnx_options(parser: Parser, *, several: bool = False) -> None:
    """Add what selects and shapes the model, ``several`` times if that is wanted."""
    add_input_shapes(parser, several=several)
    parser.add_argument(
        "--output_names", type=names, metavar="NAME,...", help="cut the model at these tensors"
    )
    add_input_options(parser)


def add_input_options(parser: Parser) -> None:
    """Add what makes constants of inputs, and inputs of constants."""
    parser.add_argument(
        "--fix_input",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="make this input a constant: a number, true, false, a list such as [1,2], or an npz or npy file "
        "(may be repeated)",
    )
    parser.add_argument(
        "--runtime_inputs",
        type=names,
        default=[],
        metavar="NAME,...",
        help="inputs that are read at run time though the model has a value for them",
    )


def import_options(args: argparse.Namespace, name: str | None = None) -> ImportOptions:
    """What ``add_onnx_options`` and ``add_preprocess_options`` parsed, for a module called ``name``."""
    from tpumlir.onnx.options import ImportOptions

    preprocess = preprocess_of(args) if hasattr(args, "pixel_format") else None
    return ImportOptions(
        name, args.input_shapes, args.output_names, args.fix_input, args.runtime_inputs, preprocess
    )


def add_nonfinite_option(parser: Parser) -> None:
    """Add what lets NaN and infinities pass."""
    parser.add_argument(
        "--allow_nonfinite", action="store_true", help="take inputs with NaN or infinity, such as masks"
    )


def add_stage_options(parser: Parser) -> None:
    """Add what chooses in a bmodel with several networks or shapes."""
    parser.add_argument("--net", metavar="NAME", help="of a bmodel with several networks")
    parser.add_argument(
        "--stage", type=typed(count), metavar="N", help="of a bmodel with several shapes: which, from 0 on"
    )


class _Precisions:
    """The names of the precisions, looked up for a help only: to read a command line takes no core."""

    def __str__(self) -> str:
        from tpumlir.precision.formats import listed

        return listed()


def add_precision_options(parser: Parser) -> None:
    """Add what chooses the chip and the number format."""
    quantize = parser.add_argument(
        "--quantize", default="F32", metavar="MODE", help="precision: %(precisions)s"
    )
    vars(quantize)["precisions"] = _Precisions()
    parser.add_argument(
        "--quantize_table",
        type=Path,
        metavar="FILE",
        help="lines `tensor mode`: precisions of single tensors; auto: as --auto_mixed",
    )
    parser.add_argument(
        "--calibration_table",
        type=Path,
        metavar="FILE",
        help="ranges of the tensors, as run_calibration writes them; INT8 needs it",
    )
    parser.add_argument("--chip", "--processor", default="bm1684x", metavar="CHIP", help="bm1684x")
    parser.add_argument(
        "--opt",
        type=int,
        choices=(1, 2, 3),
        default=2,
        metavar="LEVEL",
        help="effort of the search for layer groups: 1, 2 or 3; default: 2",
    )
    parser.add_argument(
        "--disable_layer_group", action="store_true", help="no layer groups: every operation goes through DDR"
    )
    group = parser.add_argument_group(
        "types of inputs and outputs", "F32 by default; a stored q of 8 bits is (q - zero_point) * scale"
    )
    for what, verb in (("input", "read"), ("output", "computed")):
        group.add_argument(
            f"--quant_{what}",
            action="store_true",
            help=f"{what}s of the bmodel in the type that they are {verb} in, F16, BF16 or 8 bits, without a "
            "cast on the chip; those of F32 stay",
        )
        group.add_argument(
            f"--quant_{what}_list",
            metavar="N,...",
            help=f"of these {what}s only, by position from 1 on; an error if one is {verb} in F32",
        )
    group = parser.add_argument_group("pictures into the chip")
    group.add_argument(
        "--fuse_preprocess",
        action="store_true",
        help="the bmodel reads frames of bytes; crop, channels, mean and scale are its own",
    )
    group.add_argument(
        "--customization_format",
        type=str.upper,
        choices=list(FORMATS),
        metavar="FORMAT",
        help=f"what the bytes are: {', '.join(FORMATS)}; default: as the model has its channels",
    )
    group = parser.add_argument_group(
        "values that a half precision does not hold",
        "measured in F32 before the lowering; an error by default",
    )
    group.add_argument(
        "--auto_mixed",
        action="store_true",
        help="keep in F32 what computes or reads such tensors, and write the table as NAME_auto_qtable",
    )
    group.add_argument(
        "--plain_half",
        action="store_true",
        help="no precision rules: every operation in the half precision but those of the table",
    )
    group.add_argument("--ignore_f16_overflow", action="store_true", help="go on regardless")
    add_range_options(group)


def add_range_options(parser: argparse._ActionsContainer) -> None:
    """Add what ranges are measured with."""
    parser.add_argument(
        "--cali_data",
        type=Path,
        metavar="DIR",
        help="further inputs to measure ranges with: a folder of npz, npy or picture files, or one file",
    )
    parser.add_argument(
        "--range_margin",
        type=typed(_margin),
        default="2",
        metavar="FACTOR",
        help="--auto_mixed leaves so much room above the largest value measured",
    )


def check_precision(parser: Parser, args: argparse.Namespace) -> None:
    """Make ``--quantize_table auto`` an ``--auto_mixed``; refuse what has no meaning together."""
    if str(args.quantize_table) == "auto":
        args.quantize_table, args.auto_mixed = None, True
    if args.customization_format and not args.fuse_preprocess:
        parser.error("--customization_format says what --fuse_preprocess reads: expected both")
    if args.auto_mixed and args.ignore_f16_overflow:
        parser.error("expected --auto_mixed or --ignore_f16_overflow, got both")
    if not args.auto_mixed:
        return
    from tpumlir.precision.formats import HALVES, PRECISIONS, listed

    mode = PRECISIONS.get(args.quantize.upper())
    if mode and not mode.is_half:
        parser.error(f"--auto_mixed needs a half precision: --quantize {listed(HALVES)}")


def deploy_options(args: argparse.Namespace, name: str) -> DeployOptions:
    """What ``add_precision_options`` parsed, for a bmodel called ``name``."""
    from tpumlir.precision.policy import RangePolicy
    from tpumlir.road.options import DeployOptions

    ranges = RangePolicy(
        args.auto_mixed, args.ignore_f16_overflow, args.range_margin, args.cali_data, args.plain_half
    )
    opt = 0 if args.disable_layer_group else args.opt
    return DeployOptions(
        args.quantize, args.quantize_table, ranges, args.chip, name, opt, args.calibration_table,
        args.fuse_preprocess, args.customization_format, args.quant_input_list or args.quant_input,
        args.quant_output_list or args.quant_output,
    )  # fmt: skip


def _margin(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value < float("inf"):
        raise ValueError(f"expected a factor of at least 1, got {text!r}")
    return value


def add_judge_options(parser: Parser, *, several: bool = False) -> None:
    """Add what decides whether a validation passes; ``several`` test inputs are for several shapes."""
    more = "; for several shapes once for each, or for the one that it fits" if several else ""
    parser.add_argument(
        "--test_input",
        action="append" if several else "store",
        metavar="FILE,...",
        help=INPUT_HELP + more,
    )
    add_nonfinite_option(parser)
    parser.add_argument("--tolerance", type=typed(tolerance), metavar="COS,EUCLID",
                        help="least similarity of every tensor; without it 0.9999,0.999 in F32, "
                        "less in half precision")  # fmt: skip
    parser.add_argument("--element_tolerance", type=typed(element_bound), metavar="REL[,SCALE]",
                        help="how far any element may be off: REL of itself + SCALE (default: REL) of the "
                        "tensor's rms; inf: not judged; without it by the operations behind it")  # fmt: skip
    parser.add_argument("--excepts", type=names, default=[], metavar="NAME,...", help="tensors not to judge")
    parser.add_argument(
        "--isolate",
        type=Path,
        metavar="DIR",
        help="if a validation fails: write the first operation that goes wrong as a folder that runs",
    )


def judge_options(args: argparse.Namespace) -> JudgeOptions:
    """What ``add_judge_options`` parsed."""
    from tpumlir.road.options import JudgeOptions

    return JudgeOptions(
        test_input=args.test_input,
        allow_nonfinite=args.allow_nonfinite,
        tolerance=args.tolerance,
        element_bound=args.element_tolerance,
        excepts=args.excepts,
        locate=args.isolate is not None,
    )


def add_preprocess_options(parser: Parser, *, recorded: bool = True) -> None:
    """Add how a picture becomes a tensor.

    Where the flags are ``recorded`` in what the command writes, each has a value; elsewhere only those that
    are given count.
    """
    defaults = Preprocess()
    group = parser.add_argument_group(
        "pictures (photo.jpg as an input)",
        "the tensor is (pixel - mean) * scale after resizing; "
        + ("recorded in the model" if recorded else "for models that record nothing of it"),
    )
    default = {
        item.name: _flag_default(getattr(defaults, item.name)) if recorded else argparse.SUPPRESS
        for item in fields(Preprocess)
    }

    def add(name: str, text: str, **options: Any) -> None:
        group.add_argument(f"--{name}", help=text, default=default[name], **options)

    add("resize_dims", "resize to, then crop to the model's size", type=typed(_height_width), metavar="H,W")
    add("keep_aspect_ratio", "do not distort", action="store_true")
    add("keep_ratio_mode", "pad to fill, or crop what is over", choices=_choices("keep_ratio_mode"))
    add("mean", "in the order of --pixel_format", type=typed(_floats), metavar="M,...")
    add("scale", "in the order of --pixel_format", type=typed(_floats), metavar="S,...")
    add("pixel_format", "what the channels are", choices=_choices("pixel_format"))
    add("channel_format", "where the channels are", choices=_choices("channel_format"))
    add("pad_value", "of letterbox, 0 to 255", type=typed(_byte), metavar="N")
    add("pad_type", "pad right and below, or all around", choices=_choices("pad_type"))
    add(
        "yuv_type",
        f"what the bytes of .yuv files are: {', '.join(YUV_TYPES)}; --resize_dims are then the rows of the "
        "file, 3/2 of the picture's, and its columns",
        type=str.upper,
        choices=YUV_TYPES,
        metavar="TYPE",
    )


def _flag_default(value: object) -> object:
    """As on a command line, which the help shows."""
    return ",".join(f"{item:g}" for item in value) if isinstance(value, tuple) else value


def _choices(name: str) -> list[str]:
    return list(CHOICES[name])


def preprocess_of(args: argparse.Namespace) -> Preprocess:
    """What ``add_preprocess_options`` parsed."""
    return Preprocess(**given_preprocess(args))


def given_preprocess(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of Preprocess that ``add_preprocess_options`` parsed."""
    names = [item.name for item in fields(Preprocess) if item.name != "customization_format"]
    return {name: getattr(args, name) for name in names if hasattr(args, name)}
