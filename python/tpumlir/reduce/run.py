"""A whole reduction: the original is judged, then made smaller in rounds until nothing helps."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tpumlir.data.inputs import holds_picture
from tpumlir.errors import InputError, TpumlirError, unknown_name
from tpumlir.onnx.inputs import choose_inputs
from tpumlir.onnx.load import OnnxModel, load, read_proto
from tpumlir.onnx.options import ImportOptions
from tpumlir.onnx.reference import EVALUATOR, ONNX_RUNTIME
from tpumlir.reduce import unloaded
from tpumlir.reduce.bodies import bypass, open_bodies
from tpumlir.reduce.case import INPUT, MODEL, Case
from tpumlir.reduce.constants import simplify
from tpumlir.reduce.graph import Source
from tpumlir.reduce.nodes import cut_nodes
from tpumlir.reduce.outcome import Kind, Outcome
from tpumlir.reduce.pictures import without_pictures
from tpumlir.reduce.pool import Pool, TimeIsUpError
from tpumlir.reduce.reducer import Candidate, Journal, Reducer
from tpumlir.reduce.report import Report, counted
from tpumlir.reduce.request import Request, Task
from tpumlir.reduce.shapes import shrink_shapes
from tpumlir.reduce.values import Values

if TYPE_CHECKING:
    from tpumlir.data.inputs import TestInput

MakeReport = Callable[[tuple[int, int], str | None], Report]
"""Called with the size of the original and the calibration table that it is compiled with."""
STATE = ".reduce"
_REQUEST, _JOURNAL = "request.json", "journal.jsonl"
LIMIT = 60.0
"""Seconds for one candidate."""
_FUSED = 32  # tensors inside of one operation
_LEAST_LIMIT, _SLOWER = 20.0, 5.0


class NotShownError(TpumlirError):
    """The predicate does not hold on the model that was given."""


@dataclass(frozen=True)
class Options:
    """What is reduced, and with what: ``limit`` None stands for a multiple of what the original takes."""

    model: str
    request: Request
    folder: Path
    onnx: ImportOptions = field(default_factory=ImportOptions)
    test_input: TestInput = None
    timeout: float = 600.0
    limit: float | None = None
    jobs: int = 1
    resume: bool = False
    any_kind: bool = False
    samples: tuple[Any, Any, int] | None = None
    """Of INT8: dataset, data_list, input_num."""
    pictures: Mapping[str, Any] = field(default_factory=dict)
    """The fields of Preprocess that were chosen for a test input of pictures."""


@dataclass(frozen=True)
class Reduced:
    """The end of a reduction."""

    folder: Path
    kind: Kind
    before: tuple[int, int]
    after: tuple[int, int]
    finished: bool
    judged: int
    seconds: float
    steps: Sequence[str]


def check(options: Options, scratch: Path) -> Outcome:
    """Judge the model as it is. Raises: TpumlirError."""
    options = _with_tensors(options, scratch)
    with Pool(1) as pool:
        deadline = time.monotonic() + options.timeout
        return _original(pool, options, scratch, lambda: deadline - time.monotonic(), part=True)


def _with_tensors(options: Options, folder: Path) -> Options:
    """The options with tensors in the place of pictures. Raises: as ``without_pictures``."""
    if not holds_picture(options.test_input) or _loaded(options) is None:
        return options
    path = folder.absolute() / "pictures.npz"
    made = without_pictures(options.model, options.onnx, options.test_input, options.pictures, path)
    return replace(options, test_input=made)


def _loaded(options: Options) -> OnnxModel | None:
    """The model; None if reading it is what is refused, and asked for. Raises: TpumlirError."""
    try:
        return load(options.model)
    except TpumlirError:
        if options.request.predicate != "refused":
            raise
        read_proto(Path(options.model))
        return None


def outputs_of(options: Options, model: OnnxModel) -> tuple[str, ...]:
    """The tensors of the node that ``wrong`` names. Raises: InputError: there is no such node."""
    if options.request.predicate != "wrong":
        return ()
    wanted = options.request.node
    for node in model.original.graph.node:
        if wanted in node.output:
            return (wanted,)
    for node in model.original.graph.node:
        if wanted == node.name:
            return tuple(name for name in node.output if name)
    names = [name for node in model.original.graph.node for name in (node.name, *node.output) if name]
    raise InputError(unknown_name("node or tensor that a node computes", wanted, names))


def _original(
    pool: Pool, options: Options, scratch: Path, left: Callable[[], float], *, part: bool = False
) -> Outcome:
    """The verdict on the file as it was given. Raises: TpumlirError."""
    model = _loaded(options)
    test_input = options.test_input
    folder = scratch / "original"
    folder.mkdir(parents=True, exist_ok=True)
    names = outputs_of(options, model) if model else ()
    task = Task(
        options.request, str(folder), str(Path(options.model).absolute()),
        test_input,
        options.onnx, outputs=names, limit=options.limit or max(LIMIT, options.timeout / 2), part=part,
    )  # fmt: skip
    if model and options.request.predicate == "script":
        _lay_out(options, model, folder)
    try:
        return pool.outcome(pool.start(task), task, left)
    except TimeIsUpError:
        raise NotShownError(f"the time was over before {options.model} was judged (--timeout)") from None


def _lay_out(options: Options, model: OnnxModel, folder: Path) -> None:
    """Copy a model and its input as a script finds them."""
    shutil.copy(options.model, folder / MODEL)
    for name in model.external_files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(model.folder) / name, folder / name)
    parts = _parts(options.test_input)
    if len(parts) == 1 and parts[0].endswith(".npz"):
        shutil.copy(parts[0], folder / INPUT)


def reduce_model(options: Options, report: MakeReport, tell: Callable[[str], None]) -> Reduced:
    """Reduce a model; the folder always holds the smallest so far.

    ``report`` makes the writer of the folder, ``tell`` is called with every step that helped.
    Raises: NotShownError; TpumlirError: what is given does not fit.
    """
    was_there = options.folder.exists()
    try:
        return _Run(options, report, tell).run()
    except (NotShownError, InputError):
        # There is nothing in it: the next run may have the name.
        if not was_there:
            shutil.rmtree(options.folder, ignore_errors=True)
        raise


class _Run:
    def __init__(self, options: Options, report: MakeReport, tell: Callable[[str], None]) -> None:
        self.options, self.make_report, self.tell = options, report, tell
        self.start = time.monotonic()
        self.state = (options.folder / STATE).absolute()
        self.report: Report | None = None
        self.traces = 0
        self.hints = Kind("")

    def left(self) -> float:
        return self.start + self.options.timeout - time.monotonic()

    def run(self) -> Reduced:
        options = self.options
        model = _loaded(options)
        outputs = outputs_of(options, model) if model else ()
        self._prepare()
        self.options = options = _with_tensors(options, self.state)
        journal = Journal(self.state / _JOURNAL)
        journal.read()
        with Pool(options.jobs) as pool:
            try:
                self.options = options = replace(options, request=self._calibrated(pool))
            except TimeIsUpError:
                raise NotShownError(
                    f"the time was over before {options.model} was calibrated (--timeout)"
                ) from None
            reducer = Reducer(
                pool, options.request, self.state, journal, self.start + options.timeout,
                options.limit or LIMIT, outputs=outputs, any_kind=options.any_kind, taken=self._taken,
            )  # fmt: skip
            finished = True
            try:
                source = self._begin(reducer, model, outputs) if model else None
                if source is None:
                    self._of_file(reducer)
                else:
                    self._rounds(reducer, source)
            except TimeIsUpError:
                finished = False
        if reducer.best is None or reducer.seen is None or self.report is None:
            raise NotShownError(f"the time was over before {options.model} was judged (--timeout)")
        self._write(reducer, finished=finished)
        return Reduced(
            options.folder, reducer.seen, self.report.before, reducer.best.size, finished, reducer.judged,
            time.monotonic() - self.start, reducer.steps,
        )  # fmt: skip

    # --- the folder ------------------------------------------------------------------

    def _prepare(self) -> None:
        """Take the folder, or what a run before this one left there. Raises: InputError."""
        folder, options = self.options.folder, self.options
        wanted = fingerprint(options)
        if folder.exists() and any(folder.iterdir()):
            known = _read_json(self.state / _REQUEST)
            if not options.resume:
                more = " or --resume" if known is not None else ""
                raise InputError(f"{folder}: expected a new or an empty folder{more}, got one with files")
            if known is None:
                raise InputError(f"{folder}: expected the folder of a reduction to resume, got another one")
            other = sorted(key for key in {*wanted, *known} if wanted.get(key) != known.get(key))
            if other:
                raise InputError(
                    f"{folder}: expected what was asked of this folder before, got another {', '.join(other)}"
                )
        elif options.resume:
            raise InputError(f"{folder}: expected the folder of a reduction to resume, got none")
        self.state.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.state / "tasks", ignore_errors=True)
        (self.state / _REQUEST).write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")

    def _taken(self, case: Case, kind: Kind) -> None:
        assert self.report is not None
        nodes, elements = case.size
        self.report.write(case, kind, [], progress="The reduction has not ended yet")
        self.tell(f"{counted(nodes, 'node')}, {counted(elements, 'element')}")

    def _write(self, reducer: Reducer, *, finished: bool) -> None:
        assert self.report is not None
        assert reducer.best is not None
        assert reducer.seen is not None
        if finished:
            progress = "Nothing more can be left out"
        elif reducer.steps:
            progress = "The time was over before the reduction was (--resume goes on)"
        else:
            progress = "The time was over before anything smaller was found (--resume goes on)"
        self.report.write(reducer.best, reducer.seen, reducer.steps, progress=progress)
        for path in self.state.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)

    def _calibrated(self, pool: Pool) -> Request:
        """The request with the table that the samples make. Raises: TpumlirError, TimeIsUpError."""
        request, samples = self.options.request, self.options.samples
        if samples is None:
            return request
        path = self.state / f"{Path(self.options.model).stem}_cali_table"
        if not path.exists():
            self.tell("calibrate")
            given = tuple(None if part is None else str(Path(part).absolute()) for part in samples[:2])
            pool.calibrate(
                (request, self.options.model, self.options.onnx, (*given, samples[2]), str(path)), self.left
            )
        return replace(request, target=replace(request.target, calibration_table=str(path.absolute())))

    # --- the original ----------------------------------------------------------------

    def _judged(self, reducer: Reducer) -> Outcome:
        """The verdict on the original. Raises: NotShownError."""
        key = "original"
        outcome = reducer.journal.verdicts.get(key)
        if outcome is None:
            self.tell("judge the original")
            outcome = _original(reducer.pool, self.options, self.state, self.left)
            reducer.journal.add(key, outcome)
        self._expect_shown(outcome)
        return outcome

    def _begin(self, reducer: Reducer, model: OnnxModel, outputs: tuple[str, ...]) -> Source | None:
        """Judge the original; returns it without anything that only flags say of it.

        None if it is refused before there can be values to cut with.
        """
        options, pool = self.options, reducer.pool
        outcome = None if options.request.predicate == "script" else self._judged(reducer)
        self.tell("run it with ONNX Runtime")
        folder = self.state / "values"
        try:
            pool.trace(options.model, options.onnx, options.test_input, folder, self.left)
        except TpumlirError:
            if options.request.predicate != "refused":
                raise
            return None
        values = Values.read(folder)
        reducer.judges = (values.judge,) if values.judge != EVALUATOR else (ONNX_RUNTIME, EVALUATOR)
        fixed = self._fixed(model)
        names = outputs or options.onnx.output_names
        source = Source.of_model(model, values, names, fixed, keep=bool(outputs))
        whole = source.cut(range(len(source.nodes)))
        if whole is None:
            raise TpumlirError(f"{options.model}: expected a graph whose tensors have known shapes")
        self.report = self.make_report(whole[1].size, table_of(options.request))
        self.report.copy_files()
        if outcome is None:
            outcome = self._of_script(reducer, whole[1])
        self._start(reducer, whole[1], outcome, _widened(outcome.kinds[0], source))
        return source

    def _start(self, reducer: Reducer, case: Case, outcome: Outcome, kind: Kind) -> None:
        """Begin with a case that shows ``outcome``; ``kind`` is what the smaller ones must show."""
        options = self.options
        reducer.wanted = Kind(options.request.predicate) if options.any_kind else kind
        if options.limit is None:
            reducer.limit = min(LIMIT, max(_LEAST_LIMIT, _SLOWER * outcome.seconds))
        # What is smaller is judged by files of its own; the whole is where it begins.
        reducer.best, reducer.seen = case, outcome.kinds[0]
        self.hints = reducer.wanted
        assert self.report is not None
        self.report.write(case, outcome.kinds[0], [], progress="The reduction has not ended yet")

    def _of_file(self, reducer: Reducer) -> None:
        """Reduce a file that cannot be read, or not be run: part by part, without values."""
        outcome = self._judged(reducer)
        case = unloaded.whole(Path(self.options.model))
        self.report = self.make_report(case.size, table_of(self.options.request))
        self.report.copy_files()
        self._start(reducer, case, outcome, outcome.kinds[0])
        if reducer.judge(case).shown(None if reducer.any_kind else reducer.wanted) is None:
            raise NotShownError(
                f"{self.options.model} shows it as it is, but not as a copy, without the flags of the import"
            )
        unloaded.reduce_file(reducer, outcome.kinds[0].where)

    def _of_script(self, reducer: Reducer, whole: Case) -> Outcome:
        reducer.wanted = Kind("script")
        outcome = reducer.judge(whole)
        self._expect_shown(outcome)
        return outcome

    def _expect_shown(self, outcome: Outcome) -> None:
        if not outcome.kinds:
            predicate = self.options.request.predicate
            raise NotShownError(f"{self.options.model} does not show it (--{predicate}): {outcome.reason}")

    def _fixed(self, model: OnnxModel) -> list[str]:
        if not self.options.onnx.fixed_inputs:
            return []
        return list(choose_inputs(model, self.options.onnx).fixed)

    # --- rounds ------------------------------------------------------------------------

    def _rounds(self, reducer: Reducer, source: Source) -> None:
        cut_nodes(reducer, source, self.hints.where, self.hints.region)
        if not reducer.steps:
            # What flags said is part of it now, and what nothing reads is not.
            assert reducer.best is not None
            shown = reducer.judge(reducer.best).shown(None if reducer.any_kind else reducer.wanted)
            if shown is None:
                raise NotShownError(
                    f"{self.options.model} shows it as it is, but no part of it does, nor all of it with the "
                    "values of its flags written down"
                )
        while True:
            before = reducer.best
            renewed = self._renewed(reducer)
            if renewed is not None:
                seen = reducer.seen or self.hints
                cut_nodes(reducer, renewed, seen.where, seen.region)
                renewed = self._renewed(reducer) if reducer.best is not before else renewed
            if renewed is not None and open_bodies(reducer, renewed):
                continue
            bypass(reducer)
            shrink_shapes(reducer)
            simplify(reducer)
            if reducer.best is before:
                break
        # With the shapes of the outputs as they are now.
        last = self._renewed(reducer)
        whole = last.cut(range(len(last.nodes))) if last is not None else None
        if whole is not None and reducer.best is not None and whole[1].size <= reducer.best.size:
            reducer.first([Candidate(whole[1], "shapes of the outputs written down")])

    def _renewed(self, reducer: Reducer) -> Source | None:
        """The smallest case as a model to cut, with the values of a run of its own; None if there is none."""
        case = reducer.best
        assert case is not None
        self.traces += 1
        folder = self.state / f"values{self.traces}"
        case.save(folder)
        test_input = str(folder / INPUT) if case.inputs else None
        try:
            reducer.pool.trace(str(folder / MODEL), ImportOptions(), test_input, folder, self.left)
        except TpumlirError:
            return None
        return Source.of_case(case, Values.read(folder), keep=bool(reducer.outputs))


def table_of(request: Request) -> str | None:
    """The file with the ranges of INT8."""
    table = request.target.calibration_table
    return None if table is None else str(table)


def _widened(kind: Kind, source: Source) -> Kind:
    """A fault with what nodes compute on the way and operations do not: the insides of what was fused."""
    known = {*kind.region, *kind.ends}
    inside: set[str] = set()
    pending = source.find(kind.region)
    while pending and len(inside) < _FUSED:
        for index in source.sources(pending.pop()):
            outputs = {name for name in source.nodes[index].output if name}
            if outputs.isdisjoint(known | inside):
                inside |= outputs
                pending.append(index)
    # Without an end on the way that would be the whole model.
    return replace(kind, region=(*kind.region, *sorted(inside))) if len(inside) < _FUSED else kind


def fingerprint(options: Options) -> dict[str, Any]:
    """What a reduction is of: the same for a run that may resume it."""
    request = options.request
    return {
        "model": _digest(Path(options.model)),
        "input": [_digest(Path(part)) for part in _parts(options.test_input)],
        "predicate": f"{request.predicate} {request.node}".strip(),
        "script": _digest(Path(request.script)) if request.script else "",
        "imports": [_digest(Path(file)) for file in request.imports],
        "precision": [
            request.target.quantize.upper(), request.target.opt, repr(request.target.ranges),
            str(request.target.quant_input),
            str(request.target.quant_output),
            *(_digest(Path(t)) for t in (request.target.quantize_table, request.target.calibration_table)
              if isinstance(t, (str, Path))),
        ],
        "tolerance": [str(request.tolerance), str(request.element_bound), list(request.excepts),
                      request.allow_nonfinite],
        "onnx": [repr(options.onnx.input_shapes), repr(options.onnx.output_names),
                 repr(options.onnx.fixed_inputs), repr(options.onnx.runtime_inputs)],
        "pictures": repr(sorted(options.pictures.items())),
        "kind": "any" if options.any_kind else "same",
    }  # fmt: skip


def _parts(test_input: TestInput) -> Sequence[str]:
    if test_input is None or isinstance(test_input, Mapping):
        return ()
    if isinstance(test_input, (str, Path)):
        test_input = str(test_input).split(",")
    return [str(part).rpartition("=")[2] for part in test_input]


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while data := stream.read(1 << 20):
                found.update(data)
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    return found.hexdigest()[:16]


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
