"""What a model means: the user's own file, run by somebody else.

Nothing of ours stands between: no function inlined, no constant folded, no tensor renamed, no input rounded.
To the bytes of the file only outputs are added. ONNX Runtime runs them; where it cannot (it has no kernels
for bfloat16, for instance) or is known to be wrong (``faults``), the reference evaluator of the onnx package
does.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tpumlir.errors import InputError, TpumlirError, unknown_name
from tpumlir.onnx.faults import equal_form, evaluator, is_limit, wrong_in_evaluator, wrong_in_onnxruntime

if TYPE_CHECKING:
    import onnxruntime

    from tpumlir.onnx.load import OnnxModel

Array = npt.NDArray[Any]

ONNX_RUNTIME = "ONNX Runtime"
EVALUATOR = "onnx.reference"
WITHOUT = "--not_inference goes on without a reference"


class Reference(NamedTuple):
    """The tensors of a run by name, and who computed them: ONNX_RUNTIME or EVALUATOR.

    ``reason`` says which fault of ONNX Runtime, if any, made it the evaluator.
    """

    tensors: dict[str, Array]
    judge: str
    reason: str = ""


def session_options(folder: str = "") -> onnxruntime.SessionOptions:
    """How every session of ONNX Runtime runs here: silent, what the file says and nothing else.

    ``folder`` is where a model that is given as bytes finds its external data. OMP_NUM_THREADS, which our own
    kernels obey, holds for it too.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal():
        options.intra_op_num_threads = int(threads)
    if folder:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    return options


def run_reference(
    model: OnnxModel,
    inputs: Mapping[str, Array],
    tensors: Sequence[str] = (),
    *,
    outputs: Sequence[str] | None = None,
) -> Reference:
    """Run the model's file on ``inputs``, in the types that it declares.

    Returns ``outputs``, by default those of the file, and ``tensors``, which its nodes compute (those inside
    of functions under the names that they get at the import). Raises: TpumlirError: nobody can run the model,
    or not on these inputs.
    """
    wanted = list(dict.fromkeys([*(model.outputs if outputs is None else outputs), *tensors]))
    own = [name for name in wanted if name in model.computed_names or name in model.outputs]
    inner = [name for name in wanted if name not in own]
    result = _run(model, model.original, inputs, own)
    if not inner:
        return result
    return Reference(
        {name: (result.tensors | _run(model, model.proto, inputs, inner).tensors)[name] for name in wanted},
        result.judge,
        result.reason,
    )


def run_onnx(model: OnnxModel, inputs: Mapping[str, Array], tensors: Sequence[str] = ()) -> dict[str, Array]:
    """The tensors of ``run_reference``."""
    return run_reference(model, inputs, tensors).tensors


def _run(model: OnnxModel, proto: Any, inputs: Mapping[str, Array], names: Sequence[str]) -> Reference:
    declared = {info.name: info.dtype for info in (*model.inputs, *model.defaults)}
    unknown = [unknown_name("model input", name, declared) for name in inputs if name not in declared]
    if unknown:
        raise InputError(*unknown)
    inputs = {name: np.asarray(value).astype(declared[name], copy=False) for name, value in inputs.items()}
    wrong = wrong_in_onnxruntime(proto)
    try:
        if wrong:
            raise _CannotRunError(wrong)
        return Reference(_onnxruntime(model, proto, inputs, names), ONNX_RUNTIME)
    except _CannotRunError as error:
        refusal = wrong or f"{ONNX_RUNTIME}: {error}"
    needed = _needed(proto, names)
    if needed is not proto:
        # What it cannot run may lie behind the tensors that are asked for, as after --output_names.
        return _run(model, needed, inputs, names)
    try:
        return Reference(_evaluate(model, proto, inputs, names), EVALUATOR, wrong)
    except Exception as error:  # whatever the operators of the evaluator raise
        raise TpumlirError(
            f"no reference can run the model ({WITHOUT}): {refusal}; {EVALUATOR}: "
            f"{' '.join(str(error).split()) or type(error).__name__}"
        ) from None


def _needed(proto: Any, names: Sequence[str]) -> Any:
    """The model without the nodes and outputs that ``names`` do not depend on; itself if there are none."""
    import onnx
    from tpumlir.onnx.load import reads

    producer = {output: i for i, node in enumerate(proto.graph.node) for output in node.output if output}
    kept: set[int] = set()
    pending = list(names)
    while pending:
        index = producer.get(pending.pop())
        if index is not None and index not in kept:
            kept.add(index)
            pending += reads(proto.graph.node[index])
    outputs = [output for output in proto.graph.output if output.name in names]
    if len(kept) == len(proto.graph.node) and len(outputs) == len(proto.graph.output):
        return proto
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    del copy.graph.node[:], copy.graph.output[:]
    copy.graph.node.extend(node for i, node in enumerate(proto.graph.node) if i in kept)
    copy.graph.output.extend(outputs)
    return copy


class _CannotRunError(Exception):
    """ONNX Runtime has no kernel for a node, or one that is wrong, or no numpy type for a tensor."""


def _onnxruntime(
    model: OnnxModel, proto: Any, inputs: Mapping[str, Array], names: Sequence[str]
) -> dict[str, Array]:
    import onnxruntime

    foreign = [name for name, value in inputs.items() if value.dtype.kind not in "fiub"]
    if foreign:
        raise _CannotRunError(f"it takes no input of {inputs[foreign[0]].dtype} ({foreign[0]})")
    overridden = _overridden(proto, inputs)
    with _data_folder(model) as folder:
        try:
            data = _with_outputs(equal_form(proto), names, overridable=bool(overridden))
            session = onnxruntime.InferenceSession(
                data,
                session_options(folder),
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            raise _CannotRunError(_one_line(error)) from None
        try:
            feeds = {name: np.asarray(value, order="C") for name, value in inputs.items()}
            results = session.run(list(names), feeds)
        except Exception as error:
            text = _one_line(error)
            lacking = "NOT_IMPLEMENTED" in text or "bfloat16" in text.lower() or "numpy type" in text
            if lacking or is_limit(text):
                raise _CannotRunError(text) from None
            raise TpumlirError(f"{ONNX_RUNTIME}: {text}") from None
    return dict(zip(names, (np.asarray(result) for result in results), strict=True))


def _evaluate(
    model: OnnxModel, proto: Any, inputs: Mapping[str, Array], names: Sequence[str]
) -> dict[str, Array]:
    import onnx
    from tpumlir.onnx.external import embed

    wrong = wrong_in_evaluator(proto)
    if wrong:
        raise TpumlirError(wrong)
    copy = onnx.ModelProto.FromString(_with_outputs(proto, names))
    overridden = _overridden(proto, inputs)
    kept = [tensor for tensor in copy.graph.initializer if tensor.name not in overridden]
    del copy.graph.initializer[:]
    copy.graph.initializer.extend(kept)
    if model.external_files:
        embed(copy.graph, model.folder, sys.maxsize)
    with np.errstate(all="ignore"):
        results = evaluator(copy).run(list(names), dict(inputs))
    return dict(zip(names, (np.asarray(result) for result in results), strict=True))


def _overridden(proto: Any, inputs: Mapping[str, Array]) -> set[str]:
    """The inputs that have a value in the file, but get another one."""
    return {tensor.name for tensor in proto.graph.initializer if tensor.name in inputs}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _with_outputs(proto: Any, names: Sequence[str], *, overridable: bool = False) -> bytes:
    """The model's bytes, with ``names`` added to its outputs and its quantised products in exact form."""
    import onnx
    from tpumlir.onnx.exact import exact_products

    proto = exact_products(proto)
    declared = {output.name for output in proto.graph.output}
    added = [onnx.ValueInfoProto(name=name) for name in names if name not in declared]
    count, version = len(proto.graph.output), proto.ir_version
    # The proto is shared and may be large: outputs are put in and taken out again instead of copying it.
    proto.graph.output.extend(added)
    if overridable:  # in older files ONNX Runtime holds every initializer for a constant
        proto.ir_version = max(version, 4)
    try:
        return proto.SerializeToString()  # type: ignore[no-any-return]
    finally:
        del proto.graph.output[count:]
        proto.ir_version = version


@contextmanager
def _data_folder(model: OnnxModel) -> Iterator[str]:
    """Where ONNX Runtime finds the external data.

    It takes no file that a symbolic link leads to out of the folder, as download caches have them; such files
    get another name in a folder of their own.
    """
    folder = Path(model.folder) if model.folder else None
    links = [name for name in model.external_files if folder and _leads_out(folder, name)]
    if folder is None or not links:
        yield model.folder
        return
    with tempfile.TemporaryDirectory() as scratch:
        for name in model.external_files:
            target = Path(scratch, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            source = (folder / name).resolve()
            try:
                os.link(source, target)
            except OSError:  # another disk
                shutil.copyfile(source, target)
        yield scratch


def _leads_out(folder: Path, name: str) -> bool:
    return folder.resolve() not in (folder / name).resolve().parents
