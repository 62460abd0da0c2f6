"""The summary at the end of a command: one row per validation, as a table or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from tpumlir import npz
from tpumlir.cli.common import EXIT_FAILED, EXIT_OK, print_json, print_table
from tpumlir.cli.tables import print_fitting
from tpumlir.compare import Comparison, TensorResult
from tpumlir.errors import TpumlirError
from tpumlir.precision.rules import by_rule, choices

if TYPE_CHECKING:
    from tpumlir.bmodel.profile import Profile
    from tpumlir.precision.ranges import AutoTable
    from tpumlir.road.deploy import Deployed
    from tpumlir.road.divergence import Finding
    from tpumlir.road.transform import Transformed


class Summary(NamedTuple):
    """What a command did: what was written, how each validation went and where it first went wrong.

    ``top`` tells of the inputs and the reference; ``estimates`` of the cycles of each stage of the bmodel.
    """

    title: str
    validations: Sequence[Comparison]
    outputs: Mapping[str, object]
    seconds: Mapping[str, float]
    divergences: Sequence[ShownFinding] = ()
    top: Transformed | None = None
    estimates: Mapping[str, Profile] = MappingProxyType({})


def report(summary: Summary, *, as_json: bool, isolate: Path | None = None) -> int:
    """Print the summary; returns the exit code. Reproducers are written into the folder ``isolate``."""
    validations, top = summary.validations, summary.top
    passed = all(v.passed for v in validations)
    if as_json:
        print_json({
            "passed": passed,
            "outputs": dict(summary.outputs),
            "seconds": {name: round(value, 4) for name, value in summary.seconds.items()},
            "validations": [v.to_json() for v in validations],
            **_about(top),
            **_estimates(summary.estimates),
            "divergences": show_findings(summary.divergences, isolate, quiet=True),
        })  # fmt: skip
        return EXIT_OK if passed else EXIT_FAILED
    styles = {"passed": "green", "FAILED": "bold red"}
    print_fitting([_COLUMNS, *_rows(validations)], words=_WORDS, expendable=_EXPENDABLE, styles=styles)
    if sys.stdout.isatty():
        _show_failed(validations)
    for verdict in validations:
        if not verdict.passed:
            print(verdict.summary(), file=sys.stderr)
    for note in top.notes if top else []:
        print(note, file=sys.stderr)
    show_findings(summary.divergences, isolate)
    for line in top.chosen.lines(top.module) if top and top.chosen else []:
        print(line)
    total = sum(summary.seconds.values())
    print("wrote " + ", ".join(f"{value}" for value in summary.outputs.values()) + f" in {total:.2f} s")
    if not validations:
        print("nothing was validated")
    for name, estimate in summary.estimates.items():
        print(
            f"{name}: " * (len(summary.estimates) > 1) + f"{estimate.summary()} (tpumlir profile tells more)"
        )
    return EXIT_OK if passed else EXIT_FAILED


def _estimates(estimates: Mapping[str, Profile]) -> dict[str, object]:
    """The cycles of the only stage, or those of each."""
    documents = {name: estimate.total_json() for name, estimate in estimates.items()}
    if len(documents) == 1:
        return {"estimate": next(iter(documents.values()))}
    return {"estimates": documents} if documents else {}


def _about(top: Transformed | None) -> dict[str, object]:
    """Of the import: which inputs are constants, who was the reference, what else there is to say."""
    if top is None or top.chosen is None:
        return {}
    return {
        "inputs": top.chosen.summary(top.module),
        "reference": top.reference,
        "notes": top.notes,
    }


class ShownFinding(NamedTuple):
    """A first divergence, and the files that a command to cut it out would name, if there are any."""

    finding: Finding
    mlir: Path | None = None
    reference: Path | None = None


def save_auto_table(bmodel: Path, auto: AutoTable) -> Path:
    """Write the table that the range analysis made, beside the bmodel. Raises: OSError."""
    from tpumlir.precision import table as qtable

    path = bmodel.with_name(f"{bmodel.stem}_auto_qtable")
    qtable.write(path, auto.table, comments=auto.comments())
    return path


def tell_precision(deployed: Deployed, *, quiet: bool, shown: int = 5) -> None:
    """Print what the precision rules and the range analysis chose, and on standard error what is lost."""
    if quiet:
        return
    _tell_rules(deployed, shown)
    _tell_types(deployed)
    if deployed.ranges is None:
        return
    from tpumlir.precision.ranges import imprecise

    auto = deployed.auto_table
    if auto:
        print(f"--auto_mixed keeps {len(auto.added)} operations in F32")
        if auto.added:
            print_table([(excess.tensor, excess.kind, f"{excess.largest:.6g}") for excess in auto.reasons])
    lost = imprecise(deployed.tpu, deployed.ranges)
    if lost:
        names = ", ".join(f"{name} ({error:.1e})" for name, error in lost[:shown])
        more = f" and {len(lost) - shown} more" if len(lost) > shown else ""
        print(
            f"warning: {len(lost)} tensors lose precision in F16 because of their small values (relative "
            f"error): {names}{more}; tpumlir ranges tells more",
            file=sys.stderr,
        )


def _tell_rules(deployed: Deployed, shown: int) -> None:
    found = choices(deployed.tpu)
    wide = [choice for choice in found if choice.precision == "F32"]
    if wide:
        print(f"precision rules keep {len(wide)} operations in F32 (docs/precision.md, --plain_half: none)")
        rows = []
        for why, tensors in by_rule(wide).items():
            more = f" and {len(tensors) - shown} more" if len(tensors) > shown else ""
            rows.append((why, str(len(tensors)), ", ".join(tensors[:shown]) + more))
        print_table(rows)
    for choice in found:
        if choice.overruled:
            print(
                f"warning: the quantize table puts {choice.tensor} into {choice.precision}, which rule "
                f"{choice.overruled} would keep in F32",
                file=sys.stderr,
            )


def _tell_types(deployed: Deployed) -> None:
    """Print which inputs and outputs the host has to convert."""
    for what, tensors in (("input", deployed.bmodel.inputs), ("output", deployed.bmodel.outputs)):
        for tensor in tensors:
            if tensor.is_quantized:
                how = f": a stored q is (q - {tensor.zero_point}) * {tensor.scale:.9g}"
                print(f"{what} {tensor.name}: {tensor.dtype}{how}")
            elif tensor.dtype in {"f16", "bf16"}:
                print(f"{what} {tensor.name}: {tensor.dtype}")


def save_findings(found: Sequence[Finding], modules: Mapping[str, Path]) -> list[ShownFinding]:
    """Write the few tensors that cutting a divergence out takes, beside the module of its stage.

    Raises: OSError.
    """
    shown = []
    for finding in found:
        mlir = modules[finding.stage]
        reference = mlir.with_name(f"{mlir.stem}_divergence.npz")
        names = (*finding.divergence.inputs, *finding.divergence.outputs)
        npz.save(reference, {name: finding.values[name] for name in names if name in finding.values})
        shown.append(ShownFinding(finding, mlir, reference))
    return shown


def show_findings(
    found: Sequence[ShownFinding], folder: Path | None, *, quiet: bool = False
) -> list[dict[str, object]]:
    """Print first divergences on standard error and write their reproducers into ``folder``; returns JSON."""
    documents: list[dict[str, object]] = []
    places: set[Path] = set()
    for shown in found:
        divergence = shown.finding.divergence
        document = divergence.to_json()
        lines = divergence.lines()
        if shown.mlir and shown.reference:
            document["command"] = divergence.command(shown.mlir, shown.reference)
            lines.append(f"  isolate it: {document['command']}")
        if folder:
            place = folder if len(found) == 1 else folder / shown.finding.stage
            if place in places:  # of another shape
                place = place.with_name(f"{place.name}_{len(places)}")
            places.add(place)
            document |= _isolate(shown.finding, place, lines)
        documents.append(document)
        if not quiet:
            print("\n".join(lines), file=sys.stderr)
    return documents


def _isolate(finding: Finding, folder: Path, lines: list[str]) -> dict[str, object]:
    """Write a reproducer, or say why there is none: what the command reports must not end here."""
    try:
        alone = finding.isolate(folder)
    except TpumlirError as error:
        lines.append(f"  no reproducer: {error}")
        return {"no_reproducer": str(error)}
    differs = "agrees: the difference comes from outside" if alone.passed else "differs as well"
    lines.append(f"  reproducer: {folder}/run.sh (the operation by itself {differs})")
    return {"folder": str(folder), "differs_alone": not alone.passed}


_COLUMNS = (
    "validation",
    "verdict",
    "tensors",
    "worst tensor",
    "cosine",
    "euclid",
    "max abs",
    "worst element",
)
_WORDS = {"verdict", "worst tensor", "worst element"}
_EXPENDABLE = ("worst element", "max abs", "tensors", "cosine", "euclid", "worst tensor")


def _rows(validations: Sequence[Comparison]) -> list[tuple[str, ...]]:
    rows = []
    for v in validations:
        worst = v.worst
        numbers = [_number(getattr(worst, key, None)) for key in ("cosine", "euclid", "max_abs")]
        name = "" if worst is None or worst.status == "equal" else worst.name
        rows.append(
            (
                v.label,
                "passed" if v.passed else "FAILED",
                str(v.compared),
                name or "all equal",
                *numbers,
                _element(worst),
            )
        )
    return rows


def _element(worst: TensorResult | None) -> str:
    """Index and both values of the worst element of a tensor."""
    if worst is None or worst.worst_index is None or worst.got is None or worst.want is None:
        return ""
    return f"{list(worst.worst_index)}: got {worst.got:.7g}, want {worst.want:.7g}"


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.7g}"


def _show_failed(validations: Sequence[Comparison]) -> None:
    from rich.console import Console

    console = Console()
    for verdict in validations:
        if not verdict.passed:
            console.print(verdict.table())
