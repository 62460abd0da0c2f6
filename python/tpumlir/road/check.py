"""Whether a model can be compiled: every node that cannot, in which precision, why, and the way out.

Nothing is run, so INT8 is left out, which needs the ranges that a run of the model shows. The model is
imported, lowered and translated to instructions in memory, and a node that one of these steps refuses is
taken out: its results become inputs, and the rest of the model is looked at again.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from tpumlir.errors import Diagnostic, TpumlirError
from tpumlir.ir.module import TOP_PASSES, Module
from tpumlir.ir.names import whole_of
from tpumlir.onnx.inputs import choose_inputs
from tpumlir.onnx.load import NodeInfo, load
from tpumlir.onnx.options import FixedInputs, ImportOptions, InputShapes
from tpumlir.onnx.refusals import REPLACE, with_cut
from tpumlir.onnx.survey import Survey, survey_model
from tpumlir.precision.formats import FLOATS

SMALLER = "make its tensors smaller, for example by a smaller batch or picture"
"""What to do if no single node is refused, but the whole: there is not that much memory."""


@dataclass
class Refusal:
    """One node, and the step and precisions in which it is refused."""

    node: str
    op_type: str
    step: str
    precisions: list[str]
    reason: str
    remedy: str


@dataclass
class Report:
    """The answer for a model: ``counts`` of its operators, what is refused, what could not be looked at."""

    counts: dict[str, int]
    refusals: list[Refusal] = field(default_factory=list)
    unreached: dict[str, str] = field(default_factory=dict)
    """Operator of each node that lies behind a refused one whose result has no known shape."""
    notes: list[Diagnostic] = field(default_factory=list)
    """What nodes cost that a user would not expect."""
    warnings: list[Diagnostic] = field(default_factory=list)
    """What may go wrong at a run."""

    @property
    def passed(self) -> bool:
        """True if every node can be compiled in every precision of floats."""
        return not self.refusals

    def refused(self, op_type: str, precision: str) -> int:
        """How many nodes of an operator are refused in a precision."""
        return len({r.node for r in self.refusals if r.op_type == op_type and precision in r.precisions})


def check_model(
    source: str | os.PathLike[str] | Any,
    *,
    input_shapes: InputShapes | None = None,
    output_names: Sequence[str] | None = None,
    fixed_inputs: FixedInputs | None = None,
    runtime_inputs: Collection[str] = (),
) -> Report:
    """Look at every node of an ONNX model in every precision of floats.

    Raises: OnnxImportError: a file or graph that is not valid, or shapes that do not fit.
    """
    return check(source, ImportOptions(None, input_shapes, output_names, fixed_inputs, runtime_inputs))


def check(source: str | os.PathLike[str] | Any, options: ImportOptions) -> Report:
    """As ``check_model``, with the options of the import in one piece."""
    chosen = choose_inputs(load(source), options)
    first = survey_model(chosen, options)
    report = Report(dict(sorted(Counter(_op_type(node) for node in first.nodes).items())))
    for entry in first.unsupported:
        report.refusals.append(
            Refusal(entry.node, entry.op_type, "import", list(FLOATS), entry.reason, entry.remedy)
        )
    report.notes, report.warnings = first.notes, first.warnings
    report.unreached = {node.label: _op_type(node) for node in first.unreached}

    def survey(replaced: Collection[str]) -> Survey:
        return survey_model(chosen, options, replaced=replaced)

    late: set[str] = set()
    for precision in FLOATS:
        late |= _look(first, survey, precision, report)
    cut = survey(late).cut if late else first.cut
    for refusal in report.refusals:
        refusal.remedy = with_cut(refusal.remedy, cut)
    return report


def _look(
    survey: Survey, again: Callable[[Collection[str]], Survey], precision: str, report: Report
) -> set[str]:
    """Lower and translate what ``survey`` imported, then without its refused nodes, until none is.

    Returns the nodes that were taken out.
    """
    names = _Names(survey.nodes)
    replaced: set[str] = set()
    while survey.module is not None:
        step, diagnostics = _try(Module(survey.module), precision)
        found = {names.node(diagnostic): diagnostic for diagnostic in diagnostics}
        for node, diagnostic in found.items():
            _add(report, names, node, step, precision, diagnostic)
        fresh = {node for node in found if names.knows(node)} - replaced
        if not fresh:
            break
        replaced |= fresh
        survey = again(replaced)
    return replaced


def _try(module: Module, precision: str) -> tuple[str, Sequence[Diagnostic]]:
    """The step that fails, with what it says; nothing if the module can be compiled."""
    from tpumlir._core import codegen

    step = "Top"
    try:
        module = module.clone().run_pipeline(TOP_PASSES)
        step = "lowering"
        module = module.lower(precision)
        step = "code generation"
        codegen.check_code(module.finalize(opt=0).core)
    except TpumlirError as error:
        return step, error.diagnostics
    return "", ()


def _add(report: Report, names: _Names, node: str, step: str, precision: str, diagnostic: Diagnostic) -> None:
    # Every precision is lowered by way of F32.
    reason = diagnostic.message.replace(" is not supported in F32: ", " is not supported: ")
    for known in report.refusals:
        if (known.node, known.step, known.reason) == (node, step, reason):
            known.precisions.append(precision)
            return
    remedy = REPLACE if names.knows(node) else SMALLER
    report.refusals.append(Refusal(node, names.op_type(node), step, [precision], reason, remedy))


class _Names:
    """From what a diagnostic names, a node or a tensor, to the node of the model."""

    def __init__(self, nodes: Sequence[NodeInfo]) -> None:
        self._labels = {node.label: node for node in nodes}
        self._producers = {output: node for node in nodes for output in node.outputs if output}

    def node(self, diagnostic: Diagnostic) -> str:
        """The label of the node; what the diagnostic names if the model has no such node."""
        name = diagnostic.node or ""
        part = name
        while part:
            info = self._labels.get(part) or self._producers.get(part)
            if info:
                return info.label
            part = whole_of(part)
        return name

    def knows(self, label: str) -> bool:
        """True if ``label`` is that of a node."""
        return label in self._labels

    def op_type(self, label: str) -> str:
        """The operator of a node."""
        info = self._labels.get(label)
        return _op_type(info) if info else ""


def _op_type(info: NodeInfo) -> str:
    return f"{info.domain}.{info.op_type}" if info.domain else info.op_type
