"""The vendor's runtime on its simulator: loads a bmodel, relocates it, runs both engines on threads.

A wrong dependency hangs it and a wrong file can end the process, so it only ever runs in a child with a time
limit: ``run_bmodel``. The file itself is that child.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
# Codes 0 to 7 of the runtime's element types; bf16 (8) as its bits.
_DTYPES = ("f4", "f2", "i1", "u1", "i2", "u2", "i4", "u4", "u2")


class RuntimeRefused(Exception):
    """The runtime did not run the file; the text is what it printed last."""


def run_bmodel(folder: Path, model: Path, inputs: dict[str, Array], seconds: float = 120) -> dict[str, Array]:
    """Return the outputs by name. Raises: RuntimeRefused; subprocess.TimeoutExpired."""
    (outputs,) = run_stages(folder, model, [("", inputs)], seconds)
    return outputs


def run_stages(
    folder: Path, model: Path, runs: Sequence[tuple[str, dict[str, Array]]], seconds: float = 120
) -> list[dict[str, Array]]:
    """The outputs of several runs of one loaded file: each of a network (the first without a name), on inputs
    whose shapes tell the runtime which stage to take. Raises: as ``run_bmodel``."""
    with tempfile.TemporaryDirectory() as scratch:
        given, wanted = Path(scratch) / "in.npz", Path(scratch) / "out.npz"
        arrays = {
            f"{i} {name}": value for i, (_, inputs) in enumerate(runs) for name, value in inputs.items()
        }
        np.savez(given, **arrays)  # type: ignore[arg-type]
        nets = [net for net, _ in runs]
        command = [sys.executable, __file__, str(folder), str(model), str(given), str(wanted), *nets]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
        if not wanted.exists():
            raise RuntimeRefused(f"exit code {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
        with np.load(wanted) as outputs:
            found: list[dict[str, Array]] = [{} for _ in runs]
            for key, value in outputs.items():
                number, _, name = key.partition(" ")
                found[int(number)][name] = value
            return found


class _Shape(ctypes.Structure):
    _fields_ = [("rank", ctypes.c_int), ("dims", ctypes.c_int * 8)]


class _Stage(ctypes.Structure):
    _fields_ = [
        ("input_shapes", ctypes.POINTER(_Shape)),
        ("output_shapes", ctypes.POINTER(_Shape)),
        ("input_memories", ctypes.c_void_p),
        ("output_memories", ctypes.c_void_p),
    ]


class _NetInfo(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("is_dynamic", ctypes.c_bool),
        ("input_count", ctypes.c_int),
        ("input_names", ctypes.POINTER(ctypes.c_char_p)),
        ("input_dtypes", ctypes.POINTER(ctypes.c_int)),
        ("input_scales", ctypes.POINTER(ctypes.c_float)),
        ("output_count", ctypes.c_int),
        ("output_names", ctypes.POINTER(ctypes.c_char_p)),
        ("output_dtypes", ctypes.POINTER(ctypes.c_int)),
        ("output_scales", ctypes.POINTER(ctypes.c_float)),
        ("stage_count", ctypes.c_int),
        ("stages", ctypes.POINTER(_Stage)),
    ]


def _pointers(arrays: list[Array]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(arrays))(*[array.ctypes.data for array in arrays])


def _child(folder: str, model: str, given: str, wanted: str, *nets: str) -> None:
    library = ctypes.CDLL(f"{folder}/libbmlib.so.0", mode=ctypes.RTLD_GLOBAL)
    runtime = ctypes.CDLL(f"{folder}/libbmrt.so.1.0", mode=ctypes.RTLD_GLOBAL)
    handle = ctypes.c_void_p()
    if library.bm_dev_request(ctypes.byref(handle), 0) != 0:
        raise RuntimeRefused("no device")
    runtime.bmrt_create.restype = ctypes.c_void_p
    instance = ctypes.c_void_p(runtime.bmrt_create(handle))
    runtime.bmrt_load_bmodel.restype = ctypes.c_bool
    if not runtime.bmrt_load_bmodel(instance, model.encode()):
        raise RuntimeRefused("the bmodel was not loaded")
    names = ctypes.POINTER(ctypes.c_char_p)()
    runtime.bmrt_get_network_names(instance, ctypes.byref(names))
    runtime.bmrt_get_network_info.restype = ctypes.POINTER(_NetInfo)
    runtime.bmrt_launch_data.restype = ctypes.c_bool
    loaded = dict(np.load(given))
    results: dict[str, Array] = {}
    for number, net in enumerate(nets):
        info = runtime.bmrt_get_network_info(instance, net.encode() or names[0]).contents
        values = [loaded[f"{number} {info.input_names[i].decode()}"] for i in range(info.input_count)]
        outputs = _launch(runtime, instance, info, values)
        library.bm_thread_sync(handle)
        results |= {f"{number} {info.output_names[i].decode()}": array for i, array in enumerate(outputs)}
    partial = f"{wanted}.part.npz"
    np.savez(partial, **results)  # type: ignore[arg-type]
    Path(partial).replace(wanted)
    # Its threads outlive main; leaving the normal way can crash after all is done.
    sys.stdout.flush()
    os._exit(0)


def _launch(runtime: Any, instance: Any, info: Any, values: Sequence[Array]) -> list[Array]:
    """Start one run; the runtime finds the stage by the shapes of ``values``."""
    inputs = [
        np.ascontiguousarray(value, _DTYPES[info.input_dtypes[i]]).reshape(np.shape(value))
        for i, value in enumerate(values)
    ]
    given = (_Shape * len(inputs))()
    for shape, value in zip(given, inputs, strict=True):
        shape.rank = value.ndim
        shape.dims[: value.ndim] = value.shape
    fitting = [
        stage
        for stage in info.stages[: info.stage_count]
        if [tuple(s.dims[: s.rank]) for s in stage.input_shapes[: len(inputs)]] == [v.shape for v in inputs]
    ]
    # Only how much room the results need is ours to say.
    stage = (fitting or info.stages[: info.stage_count])[0]
    outputs = [
        np.zeros(stage.output_shapes[i].dims[: stage.output_shapes[i].rank], _DTYPES[info.output_dtypes[i]])
        for i in range(info.output_count)
    ]
    shapes = (_Shape * len(outputs))()
    launched = runtime.bmrt_launch_data(
        instance,
        info.name,
        _pointers(inputs),
        given,
        len(inputs),
        _pointers(outputs),
        shapes,
        len(outputs),
        ctypes.c_bool(True),
    )
    if not launched:
        raise RuntimeRefused("the bmodel was not started")
    got = [tuple(shape.dims[: shape.rank]) for shape in shapes]
    if got != [array.shape for array in outputs]:
        raise RuntimeRefused(f"another stage was run: outputs of {got}")
    return outputs


if __name__ == "__main__":
    _child(*sys.argv[1:])
