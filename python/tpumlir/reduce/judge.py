"""What one model shows: runs in a worker, which may die of it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.compare import Comparison, compare
from tpumlir.data.inputs import named_of
from tpumlir.errors import CalibrationError, InputError, OnnxImportError, TpumlirError, UnsupportedError
from tpumlir.ir.graph import Graph
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.onnx.load import NodeInfo, load, read_proto
from tpumlir.onnx.options import ImportOptions
from tpumlir.onnx.reference import run_reference
from tpumlir.onnx.refusals import UnsupportedModelError
from tpumlir.precision import table as qtable
from tpumlir.precision.formats import PRECISIONS, least_precise
from tpumlir.reduce.case import MODEL, all_nodes
from tpumlir.reduce.outcome import Kind, Outcome, coarse, first_lines, skeleton
from tpumlir.reduce.processes import die_with_parent
from tpumlir.road.deploy import check_target, deploy_module
from tpumlir.road.divergence import Finding, classify
from tpumlir.road.fuse import Fusion
from tpumlir.road.options import DeployOptions, JudgeOptions
from tpumlir.road.transform import Transformed, in_types_of, transform_model

if TYPE_CHECKING:
    from tpumlir.ir.module import Module
    from tpumlir.reduce.request import Request, Task
    from tpumlir.road.deploy import Deployed

Array = npt.NDArray[Any]

TOP, TPU, BMODEL = "Top", "Tpu", "bmodel"
_FEW = 40  # operations of a bmodel that are compiled one by one to find the one that deviates
# Errors of what is given, not of the model.
_OF_INPUT = (InputError, CalibrationError)


def judge(task: Task) -> Outcome:
    """What the model of ``task`` shows of the predicate."""
    start = time.perf_counter()
    found = _PREDICATES[task.request.predicate](task)
    if found.shown(task.wanted) and any(task.judges) and task.request.predicate != "script":
        # The rule for scripts is checked before they run: they may take long.
        refusal = foreign(task)
        if refusal:
            found = Outcome((), refusal, foreign=True)
    return replace(found, seconds=time.perf_counter() - start)


# --- whether others take it --------------------------------------------------------


def foreign(task: Task) -> str:
    """Why ONNX's checker or ONNX Runtime does not take the model; nothing if they do."""
    import onnx

    try:
        onnx.checker.check_model(task.model)
    except (onnx.checker.ValidationError, ValueError) as error:
        return f"ONNX's checker refuses it: {first_lines(str(error))}"
    try:
        model = load(task.model)
        named = named_of(task.test_input)
        found = run_reference(model, named.arrays if named else {}).judge
    except TpumlirError as error:
        return f"nobody runs it: {first_lines(str(error))}"
    return "" if found in task.judges else f"{task.judges[0]} does not run it"


# --- the road ----------------------------------------------------------------------


def _judge_options(task: Task) -> JudgeOptions:
    request = task.request
    named = named_of(task.test_input)
    finite = all(
        np.isfinite(v).all() for v in (named.arrays if named else {}).values() if v.dtype.kind == "f"
    )
    return JudgeOptions(
        test_input=task.test_input, allow_nonfinite=request.allow_nonfinite or not finite,
        tolerance=request.tolerance, element_bound=request.element_bound,
    )  # fmt: skip


def _transformed(task: Task, options: ImportOptions, judged: JudgeOptions) -> Transformed:
    excepts = [name for name in task.request.excepts if name in _tensors_of(task.model)]
    return transform_model(task.model, options, replace(judged, excepts=excepts))


def _tensors_of(path: str) -> set[str]:
    model = load(path)
    return {name for node in model.nodes for name in node.outputs}


def target_of(target: DeployOptions, module: Module) -> DeployOptions:
    """``target`` with the rows of its precision table that a part of the model still has."""
    if target.quantize_table is None:
        return target
    given = target.quantize_table
    rows = given if isinstance(given, Mapping) else qtable.read(given)
    known = set(module.tensor_names())
    return replace(target, quantize_table={name: mode for name, mode in rows.items() if name in known})


def _deployed(task: Task, top: Transformed, judged: JudgeOptions) -> Deployed:
    target = task.request.target
    if task.part:
        target = target_of(target, top.module)
    few = len(top.module.ops()) <= _FEW
    given = replace(judged, test_input=top.inputs, locate=few)
    return deploy_module(top.module, target, given, reference=top.inputs | top.tensors)


def _fails_validation(task: Task) -> Outcome:
    check_target(task.request.target)
    try:
        judged = _judge_options(task)
        top = _transformed(task, task.options, judged)
        kinds = _failures(TOP, top.validation, top.divergences)
        if kinds or (task.wanted and task.wanted.parts[:1] == (TOP,)):
            return Outcome(kinds, "" if kinds else "Top agrees")
        deployed = _deployed(task, top, judged)
    except TpumlirError as error:
        if not task.part and isinstance(error, _OF_INPUT):
            raise
        return Outcome((), f"it is refused: {first_lines(str(error))}")
    except Exception as error:
        return Outcome((), f"it crashes: {_told(error)}")
    by_stage = {finding.stage: finding for finding in deployed.divergences}
    kinds = ()
    for stage, verdict in zip((TPU, BMODEL), deployed.validations, strict=True):
        finding = by_stage.get(stage.lower())
        kinds += _failures(stage, verdict, [finding] if finding else [])
    return Outcome(kinds, "" if kinds else "every validation passes")


def _failures(stage: str, verdict: Comparison | None, found: Sequence[Finding]) -> tuple[Kind, ...]:
    if verdict is None or verdict.passed:
        return ()
    if not found:
        failed = verdict.failed
        names = tuple(result.name for result in failed)
        text = first_lines(
            f"{verdict.label}: {names[0] if names else ''}: {failed[0].message if failed else ''}"
        )
        return (Kind("fails-validation", (stage, "values"), text, names),)
    divergence = found[0].divergence
    ops, region = _between(Graph(found[0].module), divergence.inputs, divergence.tensor)
    text = (
        f"{verdict.label}: {divergence.tensor}, computed by {divergence.op}"
        f"{f' of node {divergence.node}' if divergence.node != divergence.tensor else ''}: "
        f"{divergence.kind}: {divergence.detail}"
    )
    where = tuple(filter(None, (divergence.tensor, divergence.node)))
    return (
        Kind(
            "fails-validation", (stage, coarse(divergence.kind)), text, where, ops, region, divergence.inputs
        ),
    )


def _between(graph: Graph, ends: Sequence[str], tensor: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The kinds of the operations from ``ends`` to ``tensor``, of any dialect, and what they compute."""
    ops: dict[str, None] = {}
    region: dict[str, None] = {}
    pending = [tensor]
    while pending:
        name = pending.pop()
        op = graph.producers.get(name)
        if op is None or name in region or name in ends:
            continue
        region[name] = None
        ops[op.kind.rpartition(".")[2]] = None
        pending += graph.sources(op)
    return tuple(ops), tuple(region)


# --- refusals and crashes ----------------------------------------------------------


def _compiled(task: Task) -> None:
    """The whole road, as ``tpumlir compile`` goes it."""
    check_target(task.request.target)
    judged = _judge_options(task)
    top = _transformed(task, task.options, judged)
    _deployed(task, top, replace(judged, locate=False))


def _refused(task: Task) -> Outcome:
    try:
        _compiled(task)
    except TpumlirError as error:
        if isinstance(error, _OF_INPUT):
            if not task.part:
                raise
            return Outcome((), first_lines(str(error)))
        return Outcome(tuple(_refusals(task, error)))
    except Exception as error:
        return Outcome((), f"it crashes: {_told(error)}")
    return Outcome((), "nothing is refused")


def _refusals(task: Task, error: TpumlirError) -> Iterator[Kind]:
    name = type(error).__name__
    if isinstance(error, UnsupportedModelError):
        for entry in error.nodes:
            parts = (name, entry.op_type, skeleton(entry.reason, _names(task)))
            yield Kind("refused", parts, first_lines(str(entry.diagnostic())), (entry.node,))
        return
    names = _names(task)
    for diagnostic in error.diagnostics:
        # What to do stands in brackets, and may name other places of the model.
        reason = _of_any_folder(task, diagnostic.message).partition(" (")[0]
        op = getattr(error, "op_type", None) or getattr(error, "op", None) or ""
        kind = name if not isinstance(error, (OnnxImportError, UnsupportedError)) else f"{name} {op}".strip()
        text = first_lines(f"{name}: {_of_any_folder(task, str(diagnostic))}")
        yield Kind(
            "refused", (kind, skeleton(reason, names)), text,
            (diagnostic.node,) if diagnostic.node else (),
        )  # fmt: skip


def _of_any_folder(task: Task, text: str) -> str:
    """A message of a model, wherever it lies."""
    return text.replace(task.model, MODEL).replace(f"{Path(task.model).parent}{os.sep}", "")


def _names(task: Task) -> set[str]:
    try:
        graph = read_proto(Path(task.model)).graph
    except TpumlirError:
        return set()
    nodes = all_nodes(graph.node)
    found = {part for node in nodes for part in (node.name, *node.output, *node.input)}
    return (found | {value.name for value in (*graph.input, *graph.output, *graph.initializer)}) - {""}


def _crashes(task: Task) -> Outcome:
    try:
        _compiled(task)
    except TpumlirError as error:
        if not task.part and isinstance(error, _OF_INPUT):
            raise
        return Outcome((), f"it is refused: {first_lines(str(error))} (--refused)")
    except (Exception, SystemExit) as error:
        return Outcome((crash_of(error),))
    return Outcome((), "it is compiled")


def crash_of(error: BaseException) -> Kind:
    """An exception that nobody raised on purpose: its class, and the function of ours that raised it."""
    place, where = "", tuple[str, ...]()
    step: TracebackType | None = error.__traceback__
    while step is not None:
        frame = step.tb_frame
        if _is_ours(frame.f_code.co_filename):
            place = f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}"
        nodes = [value.label for value in frame.f_locals.values() if isinstance(value, NodeInfo)]
        where = tuple(nodes) or where
        step = step.tb_next
    return Kind("crashes", (type(error).__name__, place), _told(error), where)


def _is_ours(file: str) -> bool:
    """Whether a frame is of tpumlir or of what the user imported: not of a library."""
    parts = Path(file).parts
    return "tpumlir" in parts or not {"site-packages", "dist-packages"}.intersection(parts)


def _told(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" ({Path(last[0].filename).name}:{last[0].lineno})" if last else ""
    return first_lines(f"{type(error).__name__}: {error}{where}")


# --- one tensor --------------------------------------------------------------------


def _wrong(task: Task) -> Outcome:
    check_target(task.request.target)
    request = task.request
    try:
        judged = replace(_judge_options(task), tolerance=None, element_bound=None)
        options = replace(task.options, output_names=list(task.outputs))
        top = _transformed(task, options, judged)
        kinds = _deviations(task, top, judged, request)
    except TpumlirError as error:
        if not task.part and isinstance(error, _OF_INPUT):
            raise
        return Outcome((), f"it is refused: {first_lines(str(error))}")
    except Exception as error:
        return Outcome((), f"it crashes: {_told(error)}")
    return Outcome(kinds, "" if kinds else "every stage agrees with ONNX Runtime")


def _deviations(task: Task, top: Transformed, judged: JudgeOptions, request: Request) -> tuple[Kind, ...]:
    """The first stage whose results are not those of ONNX Runtime."""
    assert top.chosen is not None
    names = list(task.outputs)
    feeds = _feeds(task, top)
    raw = run_reference(top.chosen.model, feeds, outputs=names).tensors
    target = target_of(request.target, top.module) if task.part else request.target
    stages: list[tuple[str, str]] = [(TOP, "F32")]
    found = _against(task, TOP, top.tensors, in_types_of(top.tensors, raw), "F32")
    if found or (task.wanted and task.wanted.parts[:1] == (TOP,)):
        return found
    given = replace(judged, test_input=top.inputs, validate=False)
    deployed = deploy_module(top.module, target, given)
    tensors = ModuleInterpreter(deployed.tpu).run(top.inputs, all_tensors=True, allow_nan=True)
    precision = least_precise(Fusion.of(top.module, target).types(deployed.tpu))
    stages.append((TPU, precision))
    found = _against(task, TPU, tensors, in_types_of(tensors, raw), precision)
    if found:
        return found
    bmodel = deployed.bmodel
    results = bmodel.run({spec.name: top.inputs[spec.name] for spec in bmodel.inputs}, allow_nan=True)
    return _against(task, BMODEL, results, in_types_of(results, raw), precision)


def _feeds(task: Task, top: Transformed) -> dict[str, Array]:
    """What the file reads: the values of the test input or those that the validation drew, and constants."""
    assert top.chosen is not None
    named = named_of(task.test_input)
    given = named.arrays if named else {}
    feeds = dict(top.chosen.fixed)
    for info in top.chosen.model.inputs:
        if info.name in feeds:
            continue
        value = given.get(info.name, top.inputs.get(info.name))
        if value is None:
            shape = top.chosen.shapes.get(info.name) or [extent or 1 for extent in info.shape or ()]
            value = np.zeros(shape, info.dtype)
        feeds[info.name] = np.asarray(value).astype(info.dtype)
    return feeds


def _against(
    task: Task, stage: str, got: Mapping[str, Array], want: Mapping[str, Array], precision: str
) -> tuple[Kind, ...]:
    row = PRECISIONS[precision].lowering
    request = task.request
    tolerance = request.tolerance or row.tolerance
    verdict = compare(
        got, want, names=[name for name in task.outputs if name in want], tolerance=tolerance,
        bound=request.element_bound or row.model, label=f"{stage} against ONNX Runtime",
    )  # fmt: skip
    if verdict.passed:
        return ()
    result = verdict.failed[0]
    kind, detail = classify(got.get(result.name), want.get(result.name), result, tolerance)
    text = first_lines(f"{verdict.label}: {result.name}: {kind}: {detail}")
    return (Kind("wrong", (stage, coarse(kind)), text, (result.name,)),)


# --- a script of the user ----------------------------------------------------------


def _script(task: Task) -> Outcome:
    if any(task.judges):
        refusal = foreign(task)
        if refusal:
            return Outcome((), refusal, foreign=True)
    folder, script = Path(task.folder), task.request.script
    try:
        # A session of its own: with it ends whatever the script has started.
        process = subprocess.Popen(
            [script, str(folder / MODEL)], cwd=folder, stdin=subprocess.DEVNULL, start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - it calls the system, nothing of Python
        )  # fmt: skip
    except OSError as error:
        raise InputError(f"{script}: {(error.strerror or str(error)).lower()} (--script)") from None
    try:
        code = process.wait(task.limit)
    except subprocess.TimeoutExpired:
        return Outcome((), f"the script takes longer than {task.limit:g} s")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if code == 0:
        return Outcome((Kind("script", (), f"{Path(script).name} ends with 0"),))
    return Outcome((), f"the script ends with {code}")


_PREDICATES = {
    "fails-validation": _fails_validation,
    "crashes": _crashes,
    "refused": _refused,
    "wrong": _wrong,
    "script": _script,
}
