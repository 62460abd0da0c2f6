"""What a random model must give at every stage and in every mode.

A mode takes a network and yields what went wrong, a word for the kind and a text each. A refusal by name is
no failure; ``Tally`` counts them by their reasons, for some of them may be needless.
"""

from __future__ import annotations

import logging
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import grouping
import onnx
import tpumlir
from fuzz.networks import Network
from grouping import Span
from harness import DEVICE_TOLERANCES
from quantized import calibrated, random_like
from tpumlir.compare import compare
from tpumlir.onnx.load import load
from tpumlir.onnx.reference import run_onnx
from tpumlir.road.compile import transform

Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]
Failure = tuple[str, str]

# Up to these magnitudes all integers are numbers of the precision.
EXACT = {"F32": 2.0**24, "F16": 2048.0, "BF16": 256.0}
CUTS = [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (1, 5), (3, 4), (1, 7), (1, 13)]
# What ONNX Runtime's quantiser needs for a model of this size is well below; for some it never ends.
QUANTISER_SECONDS = 6


@dataclass
class Tally:
    """How many models ran in each mode, and why others were refused."""

    runs: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)

    def refused(self, error: tpumlir.UnsupportedError) -> None:
        """Take down the first reason."""
        message = error.diagnostics[0].message
        self.refusals["".join(c for c in message if not c.isdigit())[:120]] += 1


def differences(got: Tensors, want: Tensors, names: Sequence[str], *, share: float = 0.0) -> str:
    """Where tensors differ, or nothing.

    With ``share`` so many elements may be off, and all by 2 %: numbers of a half or of INT8 that another
    order of a sum rounds the other way.
    """
    for name in names:
        if name not in got:
            if np.size(want[name]) == 0:
                continue
            return f"{name} is missing"
        a, b = (np.asarray(side[name]).astype(np.float64) for side in (got, want))
        if a.shape != b.shape:
            return f"{name}: shape {list(a.shape)}, want {list(b.shape)}"
        with np.errstate(all="ignore"):
            off = (a != b) & ~(np.isnan(a) & np.isnan(b))
            if share:
                off &= ~(np.abs(a - b) <= 0.02 * (np.abs(b) + np.sqrt(np.mean(b * b))))
        if off.sum() > share * off.size + bool(share):
            at = tuple(int(i) for i in np.argwhere(off)[0])
            return f"{name}: {off.sum()} of {off.size} differ, at {list(at)} got {a[at]}, want {b[at]}"
    return ""


@contextmanager
def caught(kind: str, found: list[Failure], tally: Tally) -> Iterator[None]:
    """Takes down a refusal, and anything else that is raised as a failure."""
    try:
        yield
    except tpumlir.UnsupportedError as error:
        tally.refused(error)
    except tpumlir.OutOfRangeError:
        tally.runs["out of range"] += 1
    except Exception as error:  # whatever escapes is what is looked for
        found.append((kind, f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))


def run_chip(tpu: tpumlir.Module, net: Network) -> dict[str, Array]:
    """The outputs on the simulated chip, with the race detector on."""
    bmodel = tpu.compile()
    inputs = {spec.name: net.inputs[spec.name].astype(spec.numpy_dtype) for spec in bmodel.inputs}
    return bmodel.run(inputs, allow_nan=True, detect_races=True)


# --- modes ------------------------------------------------------------------------------


def floats(net: Network, seed: int, tally: Tally) -> Iterator[Failure]:
    """Top against ONNX Runtime; F32 and a half, with and without groups; in bits if all are integers."""
    found: list[Failure] = []
    with caught("top", found, tally):
        done = transform(net.proto, test_input=net.inputs)
        assert done.validation is not None
        if not done.validation.passed:
            found.append(("top", str(done.validation)))
        want = run_onnx(load(net.proto), net.inputs)
        tally.runs["Top"] += 1
        for precision in ("F32", ("F16", "BF16")[seed % 2]):
            with caught(precision, found, tally):
                _one_precision(done.module, net, want, precision, found, tally)
    yield from found


def _one_precision(
    top: tpumlir.Module, net: Network, want: Tensors, precision: str, found: list[Failure], tally: Tally
) -> None:
    deployed = tpumlir.deploy(top, quantize=precision, test_input=net.inputs)
    found += [(precision, str(verdict)) for verdict in deployed.validations if not verdict.passed]
    exact = net.exact and net.largest < EXACT[precision]
    tpu = deployed.tpu
    if exact and (off := differences(tpumlir.ModuleInterpreter(tpu).run(net.inputs), want, net.outputs)):
        found.append((f"{precision}-interpreter", off))
    alone: dict[str, Array] = {}
    for opt in (0, 1, 2, 3):
        got = run_chip(tpu.finalize(opt=opt), net)
        tally.runs[f"{precision} opt {opt}"] += 1
        alone = alone or got
        if exact:
            off = differences(got, want, net.outputs)
        else:
            tolerance = DEVICE_TOLERANCES[precision]
            verdict = compare(got, alone, tolerance=tolerance)
            off = "" if verdict.passed else str(verdict)
        if off:
            found.append((f"{precision}-opt{opt}", off))


def int8(net: Network, _seed: int, tally: Tally) -> Iterator[Failure]:
    """The interpreter and the chip: equal where all is integers, else close."""
    found: list[Failure] = []
    with caught("INT8", found, tally):
        tpu = _quantized(net)
        want = tpumlir.ModuleInterpreter(tpu).run(net.inputs, allow_nan=True)
        ops = [op for op in tpu.ops() if op.kind.startswith("tpu.") and not op.moves_data]
        whole = all(r.scales for op in ops if op.kind != "tpu.Cast" for r in op.results)
        for opt in (0, 2, 3):
            got = run_chip(tpu.finalize(opt=opt), net)
            tally.runs[f"INT8 opt {opt}"] += 1
            # An output without elements is none of the module's.
            if off := differences(got, want, list(want), share=0 if whole else 0.01):
                found.append((f"INT8-opt{opt}", off))
    yield from found


def _quantized(net: Network) -> tpumlir.Module:
    top, rng = tpumlir.load_onnx(net.proto), np.random.default_rng(1)
    other = {name: random_like(value, rng) for name, value in net.inputs.items()}
    return top.lower("INT8", calibration_table=calibrated(top, [net.inputs, other]))


def groups(net: Network, seed: int, tally: Tally) -> Iterator[Failure]:
    """Runs of operations as groups that the search would not choose, cut in ways that it would not."""
    found: list[Failure] = []
    rng = np.random.default_rng(seed)
    for precision in ("F32", ("F16", "BF16")[seed % 2], "INT8"):
        with caught(f"{precision}-groups", found, tally):
            tpu = _quantized(net) if precision == "INT8" else tpumlir.load_onnx(net.proto).lower(precision)
            alone = tpu.finalize(opt=0)
            want = run_chip(alone, net)
            searched = grouping.spans(tpu.finalize())
            for number in range(24):
                n, h = CUTS[rng.integers(len(CUTS))]
                if searched and number < 6:
                    span = searched[rng.integers(len(searched))]
                    begin, end = span.begin, span.end
                else:
                    begin = int(rng.integers(len(grouping.kinds(alone))))
                    end = min(len(grouping.kinds(alone)), begin + int(rng.integers(2, 7)))
                made = _forced(alone, Span(begin, end, n, h))
                if made is None:
                    continue
                tally.runs[f"{precision} groups"] += 1
                if off := differences(run_chip(made, net), want, list(want), share=0.002):
                    found.append((f"{precision}-groups", f"{Span(begin, end, n, h)}: {off}"))
    yield from found


def _forced(alone: tpumlir.Module, span: Span) -> tpumlir.Module | None:
    try:
        return grouping.forced(alone, [span])
    except AssertionError as error:
        if "to be computed before it" in str(error):  # something between that is in no group
            return None
        raise


def shapes(net: Network, _seed: int, tally: Tally) -> Iterator[Failure]:
    """A model that leaves all extents of its inputs open, and is given them, is the same one."""
    found: list[Failure] = []
    free = onnx.ModelProto()
    free.CopyFrom(net.proto)
    for number, entry in enumerate(free.graph.input):
        for axis, dim in enumerate(entry.type.tensor_type.shape.dim):
            dim.dim_param = f"d{number}_{axis}"
    for output in free.graph.output:
        output.type.tensor_type.ClearField("shape")
    given = {name: list(value.shape) for name, value in net.inputs.items()}
    with caught("shapes", found, tally):
        got = tpumlir.ModuleInterpreter(tpumlir.load_onnx(free, input_shapes=given)).run(net.inputs)
        want = tpumlir.ModuleInterpreter(tpumlir.load_onnx(net.proto)).run(net.inputs)
        tally.runs["shapes"] += 1
        if off := differences(got, want, list(want)):
            found.append(("shapes", off))
    yield from found


def qdq(net: Network, seed: int, tally: Tally) -> Iterator[Failure]:
    """The model as ONNX Runtime quantises it, by its own ranges in INT8, and in floats."""
    found: list[Failure] = []
    # Exact models are full of ties, which every stage may round its own way.
    made = None if net.exact else _with_qdq(net, seed)
    if made is None or not any(node.op_type == "QuantizeLinear" for node in made.graph.node):
        tally.runs["not quantised by ONNX Runtime"] += 1
        return
    with caught("qdq", found, tally):
        done = transform(made, test_input=net.inputs)
        if done.validation is not None and not done.validation.passed:
            found.append(("qdq-top", str(done.validation)))
        for precision in ("INT8", "F32", "F16"):
            deployed = tpumlir.deploy(done.module, quantize=precision, test_input=net.inputs)
            tally.runs[f"QDQ {precision}"] += 1
            found += [(f"qdq-{precision}", str(v)) for v in deployed.validations if not v.passed]
    yield from found


def _with_qdq(net: Network, seed: int) -> onnx.ModelProto | None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """The inputs of the network, once."""

        def __init__(self) -> None:
            self.left = [net.inputs]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    rng = np.random.default_rng(seed)
    logging.getLogger().setLevel(logging.ERROR)  # its advice is about speed
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "float.onnx"), Path(folder, "qdq.onnx")
        onnx.save(net.proto, source)
        signal.signal(signal.SIGALRM, _late)
        signal.alarm(QUANTISER_SECONDS)
        try:
            quantize_static(
                source, target, Reader(), quant_format=QuantFormat.QDQ, per_channel=bool(rng.random() < 0.5),
                weight_type=QuantType.QInt8, activation_type=(QuantType.QInt8, QuantType.QUInt8)[seed % 2],
            )  # fmt: skip
            model = onnx.load(target)
            run_onnx(load(model), net.inputs)
        except Exception:  # a fault of the quantiser, or a file that ONNX Runtime itself does not run
            return None
        finally:
            signal.alarm(0)
    return model


def _late(_number: int, _frame: Any) -> None:
    raise TimeoutError


MODES: dict[str, Callable[[Network, int, Tally], Iterator[Failure]]] = {
    "floats": floats, "int8": int8, "groups": groups, "shapes": shapes, "qdq": qdq,
}  # fmt: skip
