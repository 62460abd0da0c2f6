"""Scaffold for a model: everything that takes it from torch or ONNX to bmodels, in one folder.

    from tpumlir.gen_shell import generate
    generate("DragGan", G, dict(ws=ws, c=label), "../draggan_workspace")

writes ``DragGan.onnx``, ``DragGan.pt``, ``data.npz`` with the inputs, ``cali_data/data.npz`` and
``convert.sh``, which runs as it stands. torch (``tpumlir[torch]``) is imported for torch modules only.
"""

from __future__ import annotations

import inspect
import io
import json
import os
import shlex
import sys
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tpumlir import npz
from tpumlir.errors import Diagnostic, InputError, TpumlirError
from tpumlir.files import all_or_none, atomic_write
from tpumlir.onnx.noise import RANDOM_MODES, RandomMode, refuse_random, replace_random
from tpumlir.onnx.options import FixedInputs, ImportOptions, InputShapes
from tpumlir.precision.formats import FLOATS, PRECISIONS

Array = npt.NDArray[Any]

# The newest opset that torch's tracing exporter writes with every operator in its usual form.
OPSET = 17
# Above this the weights go to a file of their own: a protobuf ends at 2 GiB.
_INLINE_BYTES = 1 << 30
_WRAPPED = "module"


@dataclass(frozen=True)
class Workspace:
    """What was written: the folder, the model in it, and the shape of every input."""

    folder: Path
    model: Path
    script: Path
    inputs: dict[str, tuple[int, ...]]
    files: tuple[Path, ...]


def generate(
    name: str,
    module: Any,
    inputs: Mapping[str, Any] | Sequence[Any] | Any,
    folder: str | os.PathLike[str],
    *,
    random: RandomMode | None = None,
) -> Workspace:
    """Trace a torch module with ``inputs`` and write a workspace for it.

    ``inputs`` are keyword arguments (a mapping), positional ones (a list or tuple) or one tensor. Tensors in
    them become inputs of the model, whatever else they hold is part of the trace. ``random`` says what
    becomes of nodes that draw random numbers; they are refused without it.

    Raises: InputError: no torch, a bad name, or no tensor among the inputs. UnsupportedError: random nodes,
    all of them. TpumlirError: torch cannot trace the module, with its reason.
    """
    _check(name, random)
    return _write(name, _trace(module, inputs), Path(folder), random)


def generate_onnx(  # noqa: PLR0913 - the keywords of the API
    name: str,
    model: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    input_shapes: InputShapes | None = None,
    fixed_inputs: FixedInputs | None = None,
    runtime_inputs: Collection[str] = (),
    test_input: str | Path | None = None,
    allow_nonfinite: bool = False,
    random: RandomMode | None = None,
) -> Workspace:
    """Write a workspace for an ONNX file; its inputs are those of ``test_input``, or random numbers.

    ``fixed_inputs``, ``runtime_inputs`` and ``allow_nonfinite`` are those of ``tpumlir.compile_onnx``; the
    script passes them on.

    Raises: OnnxImportError: a file that is not valid, or shapes that do not fit. InputError: a bad name or
    test input. UnsupportedError: random nodes, all of them.
    """
    from tpumlir.data.sources import Named
    from tpumlir.onnx.inputs import choose_inputs, read_feeds
    from tpumlir.onnx.load import load
    from tpumlir.onnx.shapes import resolve_input_shapes

    _check(name, random)
    given = npz.load(test_input) if test_input else None
    options = ImportOptions(
        input_shapes=input_shapes, fixed_inputs=fixed_inputs, runtime_inputs=runtime_inputs
    )
    chosen = choose_inputs(load(model), options, given=given)
    shapes = resolve_input_shapes(chosen.runtime, chosen.shapes)
    named = None if given is None else Named(dict(given))
    values = read_feeds(chosen, shapes, test_input, named, allow_nonfinite=allow_nonfinite)
    content = _Content(chosen.model.with_data(), values, fixed=chosen.fixed, allow_nonfinite=allow_nonfinite)
    return _write(name, content, Path(folder), random)


def _check(name: str, random: str | None) -> None:
    if not name or name != Path(name).name or name.startswith((".", "-")):
        raise InputError(f"expected a name that can be a file's, got {name!r}")
    if random is not None and random not in RANDOM_MODES:
        raise InputError(f"expected random to be one of {', '.join(RANDOM_MODES)}, got {random!r}")


# --- the folder -----------------------------------------------------------------


@dataclass(frozen=True)
class _Content:
    """A model with values for its inputs; those ``fixed`` are constants."""

    proto: Any
    inputs: Mapping[str, Array]
    torchscript: bytes | None = None
    fixed: Mapping[str, Array] = field(default_factory=dict)
    allow_nonfinite: bool = False


def _write(name: str, content: _Content, folder: Path, random: RandomMode | None) -> Workspace:
    proto, inputs, fixed = content.proto, content.inputs, content.fixed
    if random is None:
        refuse_random(proto)
        data = dict(inputs)
    else:
        data = dict(inputs) | replace_random(proto, random, inputs)
    # Inputs with a value in the file are there if they are read at run time.
    shapes = {v.name: data[v.name].shape for v in proto.graph.input if v.name in data and v.name not in fixed}
    model, script = folder / f"{name}.onnx", folder / "convert.sh"
    files = [model, folder / "data.npz", folder / "cali_data" / "data.npz", script]
    for parent in {file.parent for file in files}:
        parent.mkdir(parents=True, exist_ok=True)
    with all_or_none():
        _save_model(proto, model)
        for file in files[1:3]:
            npz.save(file, {key: _storable(data[key]) for key in shapes})
        if not all(map(_is_short, fixed.values())):
            files.insert(1, folder / _FIXED)
            npz.save(files[1], {key: _storable(value) for key, value in fixed.items()})
        with atomic_write(script) as out:
            options = _input_options(fixed, allow_nonfinite=content.allow_nonfinite)
            out.write(convert_script(name, shapes, *options).encode())
        if content.torchscript is not None:
            files.insert(1, folder / f"{name}.pt")
            with atomic_write(files[1]) as out:
                out.write(content.torchscript)
    script.chmod(script.stat().st_mode | 0o111)
    return Workspace(folder, model, script, shapes, tuple(files))


def _save_model(proto: Any, path: Path) -> None:
    import onnx

    if sum(len(tensor.raw_data) for tensor in proto.graph.initializer) > _INLINE_BYTES:
        data = f"{path.name}.data"
        path.with_name(data).unlink(missing_ok=True)  # the onnx package appends
        onnx.save(proto, path, save_as_external_data=True, location=data)
        return
    with atomic_write(path) as out:
        out.write(proto.SerializeToString())


_FIXED = "fixed.npz"


def _storable(value: Array) -> Array:
    """Types that numpy does not have itself cannot be stored."""
    return value if value.dtype.kind in "fiub" else value.astype(np.float32)


def _input_options(
    fixed: Mapping[str, Array], *, allow_nonfinite: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Further options of model_transform and of every model_deploy."""
    common = ("--allow_nonfinite",) if allow_nonfinite else ()
    values = {key: json.dumps(value.item()) if _is_short(value) else _FIXED for key, value in fixed.items()}
    flags = (f"--fix_input {shlex.quote(f'{key}={value}')}" for key, value in values.items())
    return (*flags, *common), common


def _is_short(value: Array) -> bool:
    return value.size == 1 and value.dtype.kind in "fiub"


def convert_script(
    name: str,
    shapes: Mapping[str, Sequence[int]],
    transform_options: Sequence[str] = (),
    deploy_options: Sequence[str] = (),
) -> str:
    """The text of ``convert.sh``: one import, then a bmodel for each precision."""
    listed = "[" + ",".join(str(list(shape)).replace(" ", "") for shape in shapes.values()) + "]"
    reference = f"{name}_top_outputs.npz"
    binaries = shlex.quote(str(Path(sys.executable).parent))
    lines = [
        "#!/usr/bin/env bash",
        f"# {name}.onnx -> bmodels for BM1684X; each step is compared with the one before it.",
        "set -euo pipefail",
        'cd "$(dirname "${BASH_SOURCE[0]}")"',
        "# The environment that wrote this file, where none is active.",
        f'command -v model_transform >/dev/null || PATH={binaries}:"$PATH"',
        "",
        _command(
            "model_transform",
            model_name=name,
            model_def=f"{name}.onnx",
            input_shapes=listed,
            test_input="data.npz",
            test_result=reference,
            mlir=f"{name}.mlir",
        )
        + "".join(f" \\\n    {option}" for option in transform_options),
    ]
    for precision in FLOATS:
        options = _HALF_DEPLOY if PRECISIONS[precision].is_half else ()
        command = _command(
            "model_deploy",
            mlir=f"{name}.mlir",
            quantize=precision,
            chip="bm1684x",
            test_input="data.npz",
            test_reference=reference,
            model=f"{name}_{precision.lower()}.bmodel",
        )
        lines += ["", command + "".join(f" \\\n    {option}" for option in (*options, *deploy_options))]
    return "\n".join(lines) + "\n"


# A half needs F32 where the values of this input leave its range; the deploy finds these operations itself.
_HALF_DEPLOY = ("--auto_mixed",)


def _command(program: str, **options: str) -> str:
    return " \\\n    ".join([program, *(f"--{key} {shlex.quote(text)}" for key, text in options.items())])


# --- torch ------------------------------------------------------------------------


def _trace(module: Any, inputs: Any) -> _Content:
    """The module as ONNX and as TorchScript.

    torch's tracing exporter is used (``dynamo=False``): it needs no further package, and it names every node
    after the module it comes from (``/synthesis/b8/conv0/Conv``), which is what messages are read by.
    """
    try:
        import torch
    except ImportError:
        raise InputError("expected torch for a torch module (pip install 'tpumlir[torch]')") from None
    import onnx

    call = _Call(module, inputs)
    with torch.no_grad(), warnings.catch_warnings(), tempfile.TemporaryDirectory() as scratch:
        # The exporter announces its successor and tells of every shape it fixes: shapes are static here.
        warnings.simplefilter("ignore")
        path = Path(scratch, "model.onnx")
        wrapper = call.wrapper().eval()
        try:
            outputs = call.output_names(wrapper(*call.tensors.values()))
            script = io.BytesIO()
            torch.jit.save(torch.jit.trace(wrapper, tuple(call.tensors.values()), check_trace=False), script)
            torch.onnx.export(
                wrapper,
                tuple(call.tensors.values()),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=list(call.tensors),
                output_names=outputs,
            )
        except (RuntimeError, TypeError, ValueError, torch.onnx.errors.OnnxExporterError) as error:
            reason = " ".join(str(error).split())
            raise TpumlirError(Diagnostic(f"torch cannot trace {type(module).__name__}: {reason}")) from error
        finally:
            module.train(call.training)
        proto = onnx.load(path)
    _unwrap(proto)
    arrays = {key: _array(tensor) for key, tensor in call.tensors.items()}
    return _Content(proto, arrays, script.getvalue())


class _Call:
    """A call of a module as a function of the tensors in its arguments."""

    def __init__(self, module: Any, inputs: Any) -> None:
        self.module, self.training = module, bool(module.training)
        self._arguments, self._keywords = _arguments(module, inputs)
        self.tensors: dict[str, Any] = dict(_leaves(self._arguments | self._keywords))
        if not self.tensors:
            raise InputError(f"expected a tensor among the inputs, got {', '.join(self._keywords) or 'none'}")

    def wrapper(self) -> Any:
        """A module that takes the tensors one by one and returns a tuple of tensors."""
        import torch

        call = self

        class Wrapper(torch.nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                setattr(self, _WRAPPED, call.module)

            def forward(self, *tensors: Any) -> tuple[Any, ...]:
                remaining = iter(tensors)
                arguments = [_refill(value, remaining) for value in call._arguments.values()]
                keywords = {key: _refill(value, remaining) for key, value in call._keywords.items()}
                result = getattr(self, _WRAPPED)(*arguments, **keywords)
                return tuple(tensor for _, tensor in _leaves(result, "output"))

        return Wrapper()

    def output_names(self, results: Sequence[Any]) -> list[str]:
        """Names for the outputs that no input has."""
        if not results:
            raise ValueError("its result holds no tensor")
        names = ["output"] if len(results) == 1 else [f"output_{i}" for i in range(len(results))]
        return [f"{name}_" if name in self.tensors else name for name in names]


def _arguments(module: Any, inputs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Positional arguments under the names of their parameters, and keyword arguments."""
    if isinstance(inputs, Mapping):
        return {}, dict(inputs)
    values = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    parameters = inspect.signature(module.forward).parameters.values()
    named = [p.name for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
    names = [named[i] if i < len(named) else f"input_{i}" for i in range(len(values))]
    return dict(zip(names, values, strict=True)), {}


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The tensors in nested mappings and sequences, under names made of keys and positions."""
    import torch

    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _leaves(item, f"{name}_{i}" if name else str(i))


def _refill(value: Any, tensors: Iterator[Any]) -> Any:
    """``value`` with its tensors replaced, in the order of ``_leaves``."""
    import torch

    if isinstance(value, torch.Tensor):
        return next(tensors)
    if isinstance(value, Mapping):
        return {key: _refill(item, tensors) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_refill(item, tensors) for item in value]
        if hasattr(value, "_fields"):
            return type(value)(*items)
        return type(value)(items)
    return value


def _array(tensor: Any) -> Array:
    import torch

    tensor = tensor.detach().cpu()
    return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())


def _unwrap(proto: Any) -> None:
    """Take the wrapper's name out of the names of nodes, tensors and weights again."""
    graph = proto.graph
    names = {v.name for v in (*graph.input, *graph.output, *graph.initializer)}
    names |= {name for node in graph.node for name in (*node.input, *node.output)}

    def short(name: str) -> str:
        # The second form is that of the elements of a list or Sequential.
        prefixes = ((f"/{_WRAPPED}/{_WRAPPED}.", "/"), (f"/{_WRAPPED}/", "/"), (f"{_WRAPPED}.", ""))
        for prefix, kept in prefixes:
            if name.startswith(prefix) and (target := kept + name.removeprefix(prefix)) not in names:
                return target
        return name

    for tensor in graph.initializer:
        tensor.name = short(tensor.name)
    for value in graph.value_info:
        value.name = short(value.name)
    for node in graph.node:
        node.name = short(node.name)
        node.input[:] = [short(name) for name in node.input]
        node.output[:] = [short(name) for name in node.output]
