"""A bmodel as values: what the compiler writes, and what runs on the simulator."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tpumlir._core import device, isa
from tpumlir.bmodel import container, flat
from tpumlir.bmodel.debug import DebugEntry, DebugInfo, debug_path, read_debug, write_debug
from tpumlir.bmodel.notes import read_notes, write_notes
from tpumlir.data.preprocess import Preprocess
from tpumlir.errors import BModelError, DecodeError, DeviceFault, Diagnostic, LegalityError
from tpumlir.npz import to_bf16_bits, to_f32_from_bf16_bits
from tpumlir.tensors import TensorSpec, check_inputs

CHIP = "BM1684X"
_VERSION = "2.2+tpumlir"
# A wall-clock time would make two equal builds differ.
_TIME = "not recorded"
_SHORTEST_COMMAND = min(info.size for info in isa.instructions())
_COMMAND_ALIGNMENT = 128
"""The runtime loads a command buffer up to the next multiple of this."""

_DTYPES = ("f32", "f16", "i8", "u8", "i16", "u16", "i32", "u32", "bf16", "i4", "u4")
"""Container codes of the element types, in order."""
_NUMPY: dict[str, npt.DTypeLike] = {
    "f32": np.float32,
    "f16": np.float16,
    "i8": np.int8,
    "u8": np.uint8,
    "i16": np.int16,
    "u16": np.uint16,
    "i32": np.int32,
    "u32": np.uint32,
    "bf16": np.uint16,  # raw bits: numpy has no bfloat16
}
_ROLE = {"input": 1, "output": 2}


def dtype_name(code: int) -> str:
    """Return the name of a container's element type code ("f32"), or the code in words."""
    return _DTYPES[code] if 0 <= code < len(_DTYPES) else f"unknown type {code}"


Array = npt.NDArray[Any]


@dataclass(frozen=True)
class PlacedTensor(TensorSpec):
    """An input or output, and where it lies in global memory. ``size`` is in bytes, 0 = by shape.

    For quantised tensors real = (stored - zero_point) * scale. ``onnx_type`` is that of an input in the ONNX
    model, if it is known; ``preprocess`` is how a picture becomes it.
    """

    address: int
    size: int = 0
    scale: float = 1.0
    zero_point: int = 0
    onnx_type: str = ""
    preprocess: Preprocess | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return math.prod(self.shape) * np.dtype(self.numpy_dtype).itemsize

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """Numpy type of the elements; bf16 is its raw bits as uint16. Raises: BModelError: for i4, u4."""
        if self.dtype not in _NUMPY:
            raise BModelError(
                f"{self.name}: expected an element type of {', '.join(_NUMPY)}, got {self.dtype}"
            )
        return np.dtype(_NUMPY[self.dtype])

    @property
    def is_quantized(self) -> bool:
        """Whether the stored integers stand for other numbers."""
        return self.scale != 1.0 or self.zero_point != 0

    def stored(self, numbers: Array) -> Array:
        """Numbers as the bmodel stores them: rounded half to even, integers saturated.

        In F32, as the interpreter and the cast of the chip do it: numbers * (1 / scale) + zero_point.
        """
        if self.is_quantized:
            limits = np.iinfo(self.numpy_dtype)
            steps = np.asarray(numbers, np.float32) * (np.float32(1) / np.float32(self.scale))
            whole = np.rint(steps + np.float32(self.zero_point))
            clipped: Array = np.clip(whole, limits.min, limits.max).astype(self.numpy_dtype)
            return clipped
        if self.dtype == "bf16":
            return to_bf16_bits(numbers)
        return numbers.astype(np.float16) if self.dtype == "f16" else numbers

    def numbers(self, stored: Array) -> Array:
        """What stored elements stand for; float32 for halves and quantised integers."""
        if self.is_quantized:
            values: Array = (stored.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)
            return values
        if self.dtype == "bf16":
            return to_f32_from_bf16_bits(stored)
        return stored.astype(np.float32) if self.dtype == "f16" else stored


@dataclass(frozen=True)
class CommandGroup:
    """The commands of both engines, run side by side; counts include the end commands."""

    tiu: bytes
    tiu_count: int
    gdma: bytes
    gdma_count: int


@dataclass(frozen=True)
class BModelSpec:
    """What a compiled network is made of. Addresses are those of compile time, from 0x1_0000_0000 on.

    Weights lie at ``coeff_addr``; activations, inputs and outputs in ``ctx_size`` bytes from ``ctx_addr`` on.
    """

    name: str
    inputs: tuple[PlacedTensor, ...]
    outputs: tuple[PlacedTensor, ...]
    coeff: bytes
    coeff_addr: int
    ctx_addr: int
    ctx_size: int
    groups: tuple[CommandGroup, ...]
    others: Mapping[str, str] = field(default_factory=dict)
    """Inputs of the ONNX file that are none here: the digest of the value it was made with, or nothing."""

    @property
    def coeff_range(self) -> tuple[int, int]:
        """Half-open address range of the weights."""
        return self.coeff_addr, self.coeff_addr + len(self.coeff)

    @property
    def ctx_range(self) -> tuple[int, int]:
        """Half-open address range of the activations."""
        return self.ctx_addr, self.ctx_addr + self.ctx_size


@dataclass(frozen=True)
class BModel(BModelSpec):
    """A bmodel read from a file."""

    path: Path = field(default=Path())
    version: str = ""
    chip: str = CHIP
    has_digest: bool = False
    """Written by us, and every byte is as it was written."""
    debug: DebugInfo = field(default_factory=DebugInfo, compare=False)

    def run_numbers(
        self, inputs: Mapping[str, Array], *, allow_nan: bool = False, detect_races: bool = False
    ) -> dict[str, Array]:
        """``run`` with numbers for what is stored otherwise: quantised integers and halves, both ways.

        Further inputs are left out. Raises: as ``run``.
        """
        stored = {spec.name: spec.stored(inputs[spec.name]) for spec in self.inputs if spec.name in inputs}
        results = self.run(stored, allow_nan=allow_nan, detect_races=detect_races)
        return {spec.name: spec.numbers(results[spec.name]) for spec in self.outputs}

    def run(
        self,
        inputs: Mapping[str, Array],
        *,
        allow_nan: bool = False,
        detect_races: bool = False,
        threads: int = 0,
    ) -> dict[str, Array]:
        """Run the model on the simulator; inputs and outputs by their ONNX names, shapes as in the file.

        Raises: InputError: a name, shape, element type or NaN that the model does not take; DeviceFault: a
        command that the device refuses, with the operation and the ONNX node if the debug info is there.
        """
        machine = self.load(inputs, allow_nan=allow_nan)
        streams = [(group.tiu, group.gdma) for group in self.groups]
        with self.named_faults() as label:
            machine.run(streams, detect_races=detect_races, threads=threads, labels=label)
        return self.results(machine)

    def load(self, inputs: Mapping[str, Array], *, allow_nan: bool = False) -> device.Machine:
        """Return a chip with the weights and the inputs in its memory, and nothing run yet.

        Raises: InputError: as `run`.
        """
        arrays = check_inputs(inputs, self.inputs, allow_nan=allow_nan, exact=True)
        base, limit = isa.GLOBAL_MEMORY
        ends = [self.ctx_range[1], self.coeff_range[1], base]
        if max(ends) > limit:
            raise BModelError(
                f"{self.path}: expected addresses below {limit:#x}, the end of memory, got {max(ends):#x}"
            )
        machine = device.Machine(max(ends) - base)
        if self.coeff:
            machine.write(self.coeff_addr, self.coeff)
        for spec in self.inputs:
            machine.write(spec.address, arrays[spec.name].tobytes())
        return machine

    def results(self, machine: device.Machine) -> dict[str, Array]:
        """Return the outputs that are in a chip's memory."""
        return {
            spec.name: np.frombuffer(machine.read(spec.address, spec.nbytes), spec.numpy_dtype)
            .reshape(spec.shape)
            .copy()
            for spec in self.outputs
        }

    @contextmanager
    def named_faults(self) -> Iterator[Callable[[int, str, int], str | None]]:
        """Give the ``labels`` of a `Machine.run`, and its faults the ONNX node that these find."""
        blamed: list[DebugEntry] = []

        def label(group: int, engine: str, command: int) -> str | None:
            entry = self.debug.find(group, engine, command)
            if entry is None:
                return None
            blamed.append(entry)
            return f"{entry.op} @ {entry.node}" if entry.node else entry.op

        try:
            yield label
        except DeviceFault as fault:
            node = next((entry.node for entry in blamed if entry.node), None)
            raise DeviceFault(
                *(Diagnostic(d.message, d.node or node, d.notes) for d in fault.diagnostics),
                engine=fault.engine,
                command=fault.command,
                address=fault.address,
            ) from None


def write(path: str | Path, spec: BModelSpec, *, debug: Sequence[DebugEntry] | None = None) -> None:
    """Write ``spec`` as a bmodel, and its debug info beside it (or remove a stale one).

    Without ``debug`` a BModel keeps the debug info that it has. Equal input gives equal bytes. Both files
    appear whole or not at all.
    Raises: LegalityError: commands that break a rule of the hardware; BModelError: a spec that contradicts
    itself; OSError.
    """
    info = DebugInfo(debug or ())
    if debug is None and isinstance(spec, BModel):
        info = spec.debug
    _check_spec(spec, str(path))
    violations = violations_of(spec, info)
    if violations:
        raise LegalityError(*violations)

    blob = container.Blob()
    coeff = blob.add(spec.coeff) if spec.coeff else None
    groups = [_group_table(group, blob) for group in spec.groups]
    inputs = [_tensor_table(t, "input") for t in spec.inputs]
    outputs = [_tensor_table(t, "output") for t in spec.outputs]
    parameter: flat.Table = {
        "input_tensor": inputs,
        "output_tensor": outputs,
        "ctx_addr": spec.ctx_addr,
        "ctx_size": spec.ctx_size,
        # The runtime relocates this list and runs the one of the subnet; both are needed.
        "cmd_group": groups,
        "sub_net": [
            {
                "cmd_group": groups,
                "input_tensor": inputs,
                "output_tensor": outputs,
                "id": 0,
                "next_subnet_ids": [-1],
            }
        ],
        "ctx_sizes": [spec.ctx_size],
        "core_num": 1,
    }
    if coeff is not None:
        parameter["coeff_mem"] = {
            "address": spec.coeff_addr,
            "check_code": hashlib.sha256(spec.coeff).digest(),
            "binary_coeff": coeff,
        }
    model: flat.Table = {
        "type": "B",
        "version": _VERSION,
        "time": _TIME,
        "chip": CHIP,
        "net": [{"name": spec.name, "parameter": [parameter]}],
        "neuron_size": spec.ctx_size,
        "device_num": 1,
    }
    notes = write_notes({t.name: (t.onnx_type, t.preprocess) for t in spec.inputs}, spec.others)
    digest = container.write_container(path, model, blob, notes)
    if len(info):
        write_debug(path, digest, info)
    else:
        debug_path(path).unlink(missing_ok=True)


def _group_table(group: CommandGroup, blob: container.Blob) -> flat.Table:
    tiu, gdma = (data + b"\0" * (-len(data) % _COMMAND_ALIGNMENT) for data in (group.tiu, group.gdma))
    return {
        "bdc_num": group.tiu_count,
        "gdma_num": group.gdma_count,
        "binary_bdc": blob.add(tiu),
        "binary_gdma": blob.add(gdma),
        "bdc_cmd_byte": len(tiu),
        "gdma_cmd_byte": len(gdma),
    }


def _tensor_table(tensor: PlacedTensor, role: str) -> flat.Table:
    return {
        "name": tensor.name,
        "data_type": _DTYPES.index(tensor.dtype),
        "device_addr": tensor.address,
        "size": tensor.size or tensor.nbytes,
        "shape": [{"dim": list(tensor.shape)}],
        "mem_type": 1,
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
        "hidden": _ROLE[role],
    }


def read(path: str | Path, *, legality: bool = True) -> BModel:
    """Read a bmodel, ours or the vendor's: one static network with one shape and one subnet.

    Checks the container, the digest if there is one, the check code of the weights, every command and every
    address before anything can run; ``legality=False`` leaves out the rules of the hardware, for tools that
    show a file and do not run it. Raises: BModelError; OSError.
    """
    file = container.read_container(path)
    name = str(file.path)
    model = file.model
    net = _only(model["net"], "network", name)
    if net.get("addr_mode", 0) != 0:
        raise BModelError(f"{name}: expected address mode 0 (basic), got {net['addr_mode']}")
    parameter = _only(net.get("parameter", []), "shape of the network", name)
    if parameter["is_dynamic"]:
        raise BModelError(f"{name}: expected a static network, got a dynamic one")
    if parameter.get("core_num", 0) > 1:
        raise BModelError(f"{name}: expected a program for 1 core, got {parameter['core_num']}")
    if "cmd_group" in parameter:
        subnets = parameter.get("sub_net", [])
        if len(subnets) > 1 or any(subnet["subnet_mode"] or subnet["is_dynamic"] for subnet in subnets):
            raise BModelError(
                f"{name}: expected one subnet that runs on the device, got {len(subnets)} mixed"
            )
        tables = parameter["cmd_group"]
    else:
        tables = _only(parameter.get("sub_net", []), "subnet", name).get("cmd_group", [])

    coeff, coeff_addr = b"", parameter["ctx_addr"]
    if "coeff_mem" in parameter:
        coeff, coeff_addr = _read_coeff(file, parameter["coeff_mem"])
    notes, others = read_notes(name, file.notes)
    spec = BModelSpec(
        name=net["name"],
        inputs=tuple(
            replace(t, onnx_type=kind, preprocess=preprocess)
            for t in (_read_tensor(t, name) for t in parameter["input_tensor"])
            for kind, preprocess in [notes.get(t.name, ("", None))]
        ),
        outputs=tuple(_read_tensor(t, name) for t in parameter["output_tensor"]),
        coeff=coeff,
        coeff_addr=coeff_addr,
        ctx_addr=parameter["ctx_addr"],
        ctx_size=parameter["ctx_size"],
        groups=tuple(_read_group(file, table, index) for index, table in enumerate(tables)),
        others=others,
    )
    _check_spec(spec, name)
    most = sum(len(group.tiu) + len(group.gdma) for group in spec.groups) // _SHORTEST_COMMAND
    info = (read_debug(file.path, file.digest, most) if file.digest else None) or DebugInfo()
    result = BModel(
        **{key: getattr(spec, key) for key in BModelSpec.__dataclass_fields__},
        path=file.path,
        version=model["version"],
        chip=model["chip"],
        has_digest=bool(file.digest),
        debug=info,
    )
    violations = violations_of(result, info, name) if legality else []
    if violations:
        raise BModelError(*violations)
    return result


def _only(items: Sequence[flat.Table], what: str, name: str) -> flat.Table:
    if len(items) != 1:
        raise BModelError(f"{name}: expected 1 {what}, got {len(items)}")
    return items[0]


def _read_coeff(file: container.Container, table: flat.Table) -> tuple[bytes, int]:
    name = str(file.path)
    if table["encrypt_mode"]:
        raise BModelError(
            f"{name}: expected weights that are not encrypted, got mode {table['encrypt_mode']}"
        )
    if "binary_coeff" not in table:
        raise BModelError(f"{name}: expected the weights' byte range, got none")
    coeff = file.part("weights", table["binary_coeff"])
    if hashlib.sha256(coeff).digest() != table.get("check_code"):
        raise BModelError(
            f"{name}: expected the weights that the check code is of, got others (the file is damaged)",
            offset=file.blob_offset + table["binary_coeff"][0],
        )
    return coeff, table["address"]


def _read_tensor(table: flat.Table, name: str) -> PlacedTensor:
    tensor = table["name"]
    code = table["data_type"]
    if code >= len(_DTYPES):
        raise BModelError(f"{name}: {tensor}: expected an element type code below {len(_DTYPES)}, got {code}")
    shapes = table.get("shape", [])
    if len(shapes) != 1:
        raise BModelError(f"{name}: {tensor}: expected 1 shape, got {len(shapes)}")
    dims = shapes[0].get("dim", [])
    if len(dims) > 8 or any(dim > 0x7FFFFFFF for dim in dims):
        raise BModelError(f"{name}: {tensor}: expected at most 8 dimensions of 31 bits, got {dims[:9]}")
    return PlacedTensor(
        name=tensor,
        dtype=_DTYPES[code],
        shape=tuple(dims),
        address=table["device_addr"],
        size=table["size"],
        scale=table["scale"],
        zero_point=table["zero_point"],
    )


def _read_group(file: container.Container, table: flat.Table, index: int) -> CommandGroup:
    streams = []
    for engine, key in (("tiu", "binary_bdc"), ("gdma", "binary_gdma")):
        if key not in table:
            raise BModelError(f"{file.path}: group {index}: expected {engine} commands, got none")
        streams.append(file.part(f"group {index}: {engine} commands", table[key]))
    return CommandGroup(streams[0], table["bdc_num"], streams[1], table["gdma_num"])


def _check_spec(spec: BModelSpec, name: str) -> None:
    """Addresses and names that contradict each other. Raises: BModelError."""

    def fail(rule: str, got: object) -> BModelError:
        return BModelError(f"{name}: expected {rule}, got {got}")

    low, high = isa.GLOBAL_MEMORY
    for what, (begin, end) in (("weights", spec.coeff_range), ("activations", spec.ctx_range)):
        if begin != end and not low <= begin <= end <= high:
            raise fail(f"{what} inside global memory ({low:#x}..{high:#x})", f"{begin:#x}..{end:#x}")
    if spec.coeff and spec.coeff_range[1] > spec.ctx_addr:
        raise fail(
            "weights that end before the activations", f"{spec.coeff_range[1]:#x} > {spec.ctx_addr:#x}"
        )
    if not spec.groups:
        raise fail("at least one command group", "none")
    if not spec.outputs:
        raise fail("at least one output", "none")
    names = [t.name for t in (*spec.inputs, *spec.outputs)]
    if len(set(names[: len(spec.inputs)])) != len(spec.inputs) or len(set(names[len(spec.inputs) :])) != len(
        spec.outputs
    ):
        raise fail("inputs and outputs of different names", ", ".join(names))
    begin, end = spec.ctx_range
    for tensor in (*spec.inputs, *spec.outputs):
        size = tensor.size or tensor.nbytes
        if size < tensor.nbytes:
            raise fail(f"{tensor.name}: at least {tensor.nbytes} bytes for its shape", size)
        if not begin <= tensor.address <= tensor.address + size <= end:
            raise fail(
                f"{tensor.name} inside the activations ({begin:#x}..{end:#x})",
                f"{tensor.address:#x}..{tensor.address + size:#x}",
            )


def violations_of(spec: BModelSpec, info: DebugInfo | None = None, name: str = "") -> list[Diagnostic]:
    """Return what is illegal in the commands, each with the operation and node that debug info knows.

    A BModel came from a file that any compiler may have written: it is judged by what the chip reads. Any
    other spec keeps the narrower form of our own commands.
    """
    known = info or DebugInfo()
    return [
        v for index, group in enumerate(spec.groups) for v in _violations(spec, group, index, known, name)
    ]


def _violations(
    spec: BModelSpec, group: CommandGroup, index: int, info: DebugInfo, name: str
) -> list[Diagnostic]:
    """Return what is illegal in a group, with the operation and node that debug info knows."""
    prefix = f"{name}: " if name else ""
    if len(spec.groups) > 1:
        prefix += f"group {index}: "
    try:
        found = isa.validate(
            group.tiu,
            group.gdma,
            coeff=spec.coeff_range,
            ctx=spec.ctx_range,
            tiu_count=group.tiu_count,
            gdma_count=group.gdma_count,
            foreign=isinstance(spec, BModel),
        )
    except DecodeError as error:
        return [Diagnostic(f"{prefix}{d.message}", d.node, d.notes) for d in error.diagnostics]
    result = []
    for violation in found:
        entry = info.find(index, violation.engine, violation.id)
        notes = (f"from {entry.op}",) if entry else ()
        result.append(Diagnostic(f"{prefix}{violation}", (entry.node or None) if entry else None, notes))
    return result
