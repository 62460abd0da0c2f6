"""The node tests of ONNX's backend suite over ``tpumlir.onnx_backend``, and the lists of what they give.

    python tests/backend_suite.py [--device TOP] [--status FILE] [test ...]

Without names it runs every test on every device, writes the lists in tests/onnx/backend and prints the
counts; with names it prints what these tests give. A list has one line for each test: ``name pass``, or
``name refused`` and the reason. Wrong values and errors other than a refusal are never listed: the script
prints them and returns 1.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from onnx.backend.test.runner import Runner

import onnx
import tpumlir
from tpumlir import onnx_backend
from tpumlir.files import atomic_write

LISTS = Path(__file__).resolve().parent / "onnx" / "backend"
Verdict = Literal["pass", "refused", "wrong", "error"]
PLAIN = {
    onnx.TensorProto.BOOL,
    *(getattr(onnx.TensorProto, name) for name in ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16")),
    *(getattr(onnx.TensorProto, f"{sign}INT{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)),
}


# Expected values that are themselves off by more than ONNX's tolerance, in the form of its `test_kwargs`.
TOLERANCES = {
    name: {"atol": 5e-7}  # a float32 FFT, where the transform is 0
    for name in ("test_dft_inverse", "test_dft_inverse_opset19")
}


@dataclass(frozen=True)
class Outcome:
    """What a test gave on a device; ``reason`` says why it did not pass."""

    name: str
    verdict: Verdict
    reason: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.name, self.verdict, self.reason) if part)


@cache
def cases() -> dict[str, Any]:
    """The node tests that the installed onnx package generates, by name."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        # The generators overflow and divide by zero on purpose.
        warnings.simplefilter("ignore")
        return {case.name: case for case in load_model_tests(kind="node")}


def is_plain(case: Any) -> bool:
    """True for a test of ONNX's own operators on tensors of numbers of static shape.

    Numbers are integers of 8 to 64 bits, floats of 16 to 64 bits, and truth values.
    """
    if any(entry.domain not in {"", "ai.onnx"} for entry in case.model.opset_import):
        return False
    return all(
        value.type.HasField("tensor_type")
        and value.type.tensor_type.elem_type in PLAIN
        and value.type.tensor_type.HasField("shape")
        and all(dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim)
        for value in (*case.model.graph.input, *case.model.graph.output)
    )


def run(name: str, device: str) -> Outcome:
    """The outcome of one test, judged as ONNX judges it: types, shapes, and values to its tolerance."""
    case = cases()[name]
    tolerance = {"rtol": case.rtol, "atol": case.atol}
    try:
        prepared = onnx_backend.prepare(case.model, device, detect_races=True)
        for inputs, wanted in case.data_sets:
            got = prepared.run([_array(value) for value in inputs])
            with np.errstate(all="ignore"):
                expected = [_array(value) for value in wanted]
                Runner.assert_similar_outputs(expected, got, **(tolerance | TOLERANCES.get(name, {})))
    except tpumlir.UnsupportedError as error:
        return Outcome(name, "refused", error.diagnostics[0].message)
    except AssertionError as error:
        return Outcome(name, "wrong", " ".join(str(error).split())[:300])
    except Exception as error:  # whatever else escapes is what the suite looks for
        return Outcome(name, "error", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    return Outcome(name, "pass")


def _array(value: Any) -> Any:
    """Data sets hold arrays or protos."""
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def list_path(device: str) -> Path:
    """The committed list of a device."""
    return LISTS / f"{device}.txt"


def read_list(device: str) -> tuple[str, dict[str, Outcome]]:
    """The onnx version that the list of ``device`` is of, and the outcomes by test."""
    header, *lines = list_path(device).read_text().splitlines()
    outcomes = {}
    for line in lines:
        name, verdict, *reason = line.split(" ", 2)
        assert verdict in {"pass", "refused"}, f"expected pass or refused, got {line}"
        outcomes[name] = Outcome(name, verdict, *reason)  # type: ignore[arg-type]
    return header.split()[-1], outcomes


def write_list(device: str, outcomes: Iterable[Outcome]) -> None:
    """Write the list of ``device``."""
    with atomic_write(list_path(device)) as out:
        out.write(f"# Node tests of onnx {onnx.__version__}\n".encode())
        for outcome in sorted(outcomes, key=lambda o: o.name):
            out.write(f"{outcome}\n".encode())


def status(results: dict[str, list[Outcome]]) -> Iterator[str]:
    """The counts, then per operator what its tests give on each device, in lines."""
    for device, outcomes in results.items():
        plain = {o.name for o in outcomes if is_plain(cases()[o.name])}
        counts = Counter(o.verdict for o in outcomes)
        passed = sum(o.verdict == "pass" for o in outcomes if o.name in plain)
        yield (
            f"{device}: {dict(counts)} of {len(outcomes)}; of the {len(plain)} of plain tensors {passed} pass"
        )
    for device, outcomes in results.items():
        yield f"\n== {device}: by operator"
        groups: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in outcomes:
            groups[_operator(outcome.name)].append(outcome)
        for op, group in sorted(groups.items()):
            counts = Counter(o.verdict for o in group)
            yield f"{op:28} {len(group):4} tests  " + "  ".join(f"{v} {n}" for v, n in sorted(counts.items()))
            reasons: dict[str, list[str]] = defaultdict(list)
            for outcome in group:
                if outcome.verdict != "pass":
                    reasons[f"{outcome.verdict}: {outcome.reason[:160]}"].append(outcome.name)
            for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1])):
                yield f"      {len(names):3} {reason}  [{', '.join(names[:3])}{', ...' if names[3:] else ''}]"


def _operator(name: str) -> str:
    """The operator a test is about: the one of its first node, or the function that it expands."""
    ops = [node.op_type for node in cases()[name].model.graph.node if node.op_type != "Constant"]
    return name.partition("_expanded")[0] if "_expanded" in name else (ops or ["Constant"])[0]


def _outcomes(names: Iterable[str], device: str, jobs: int) -> list[Outcome]:
    names = list(names)
    if jobs == 1:
        return [run(name, device) for name in names]
    with ProcessPoolExecutor(jobs) as pool:
        return list(pool.map(run, names, [device] * len(names), chunksize=64))


def main() -> int:
    """Run, write, print; 1 if a test gave wrong values or an error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=onnx_backend.DEVICES, action="append")
    parser.add_argument("--status", type=Path, help="write the table by operator to this file")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("names", nargs="*", metavar="test")
    args = parser.parse_args()
    results = {
        device: _outcomes(args.names or cases(), device, 1 if args.names else args.jobs)
        for device in args.device or onnx_backend.DEVICES
    }
    lines = list(status(results))
    if args.names:
        sys.stdout.writelines(
            f"{device} {outcome}\n" for device, outcomes in results.items() for outcome in outcomes
        )
    else:
        for device, outcomes in results.items():
            write_list(device, (o for o in outcomes if o.verdict in {"pass", "refused"}))
        sys.stdout.write("\n".join(lines[: len(results)]) + "\n")
    if args.status:
        args.status.write_text("\n".join(lines) + "\n")
    bad = [(d, o) for d, outcomes in results.items() for o in outcomes if o.verdict in {"wrong", "error"}]
    if not args.names:
        sys.stdout.writelines(f"{device} {outcome}\n" for device, outcome in bad)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
