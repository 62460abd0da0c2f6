"""A bmodel as values: what the compiler writes, and what runs on the simulator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tpumlir._core import device, isa
from tpumlir.bmodel.debug import DebugEntry, DebugInfo
from tpumlir.data.preprocess import Preprocess
from tpumlir.errors import BModelError, DecodeError, DeviceFault, Diagnostic, InputError, unknown_name
from tpumlir.npz import to_bf16_bits, to_f32_from_bf16_bits
from tpumlir.tensors import TensorSpec, check_inputs

CHIP = "BM1684X"
DTYPES = ("f32", "f16", "i8", "u8", "i16", "u16", "i32", "u32", "bf16", "i4", "u4")
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


def dtype_name(code: int) -> str:
    """Return the name of a container's element type code ("f32"), or the code in words."""
    return DTYPES[code] if 0 <= code < len(DTYPES) else f"unknown type {code}"


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

    tiu: bytes = field(repr=False)
    tiu_count: int
    gdma: bytes = field(repr=False)
    gdma_count: int


@dataclass(frozen=True)
class BModelSpec:
    """What a compiled network is made of. Addresses are those of compile time, from 0x1_0000_0000 on.

    Weights lie at ``coeff_addr``; activations, inputs and outputs in ``ctx_size`` bytes from ``ctx_addr`` on.
    """

    name: str
    inputs: tuple[PlacedTensor, ...]
    outputs: tuple[PlacedTensor, ...]
    coeff: bytes = field(repr=False)
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
    """A bmodel read from a file: one network with one shape, which is one stage of a file with several."""

    path: Path = field(default=Path())
    version: str = ""
    chip: str = CHIP
    has_digest: bool = False
    """Written by us, and every byte is as it was written."""
    debug: DebugInfo = field(default_factory=DebugInfo, compare=False)

    def __repr__(self) -> str:
        """One line: a bmodel may have gigabytes."""
        inputs, outputs = (
            ", ".join(f"{tensor.name} {list(tensor.shape)} {tensor.dtype}" for tensor in tensors)
            for tensors in (self.inputs, self.outputs)
        )
        tiu, gdma = (sum(getattr(group, key) for group in self.groups) for key in ("tiu_count", "gdma_count"))
        return (
            f"<tpumlir.BModel {self.name}: {inputs} -> {outputs}; {tiu} TIU and {gdma} GDMA commands, "
            f"{len(self.coeff)} bytes of weights>"
        )

    @property
    def networks(self) -> tuple[Network, ...]:
        """The networks of the file, each with its stages."""
        return (Network(self.name, (self,)),)

    @property
    def stages(self) -> tuple[BModel, ...]:
        """The stages of all networks, in order."""
        return tuple(stage for network in self.networks for stage in network.stages)

    def only(self, net: str | None = None, stage: int | None = None) -> BModel:
        """The one stage that ``net`` (if there are several) and its number (if it has several) say.

        Raises: BModelError: nothing or several of this name and number; what there is.
        """
        networks = [network for network in self.networks if net in {None, network.name}]
        if not networks:
            names = [network.name for network in self.networks]
            raise BModelError(unknown_name("network", str(net), names))
        found = [row for row in _numbered(networks) if stage in {None, row[1]}]
        if len(found) == 1:
            return found[0][2]
        wanted = " ".join(f"{k} {v}" for k, v in (("network", net), ("stage", stage)) if v is not None)
        have = found or _numbered(networks)
        raise BModelError(
            f"{self.path}: expected one stage, got {len(found)}{' of ' * bool(wanted)}{wanted} (choose with "
            f"--net and --stage, or net= and stage=; there are: {listed(have)})"
        )

    def stage_of(
        self,
        shapes: Mapping[str, Sequence[int]],  # noqa: ARG002 - those of a file decide
        net: str | None = None,
    ) -> BModel:
        """The stage that takes inputs of these ``shapes``. Raises: InputError: none, or several networks.

        One that is alone is always it: what its inputs have wrong is told when it runs.
        """
        if net not in {None, self.name}:
            raise InputError(unknown_name("network", str(net), [self.name]))
        return self

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
        net: str | None = None,
        allow_nan: bool = False,
        detect_races: bool = False,
        threads: int = 0,
    ) -> dict[str, Array]:
        """Run the model on the simulator; inputs and outputs by their ONNX names, shapes as in the file.

        Of a file with several stages that of the inputs' shapes is run, of the network ``net`` if these do
        not tell it. Raises: InputError: a name, shape, element type or NaN that the model does not take;
        DeviceFault: a command that the device refuses, with the operation and the ONNX node if the debug
        info is there.
        """
        self.stage_of({}, net)
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


class Network(NamedTuple):
    """A network of a bmodel, with a stage for each shape of its inputs."""

    name: str
    stages: tuple[BModel, ...]


class BModelFile(BModel):
    """A bmodel with several stages. It runs like one; what only a stage has is an error that lists them."""

    def __init__(self, path: Path, networks: Sequence[Network]) -> None:
        first = networks[0].stages[0]
        for name in ("version", "chip", "has_digest"):
            object.__setattr__(self, name, getattr(first, name))
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "_networks", tuple(networks))

    def __getattr__(self, name: str) -> Any:
        """Say what to do about an attribute of stages."""
        if name in BModel.__dataclass_fields__:
            self.only()
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        """The file and what it has."""
        return f"<BModelFile {self.path}: {listed(_numbered(self.networks))}>"

    def __eq__(self, other: object) -> bool:
        """Equal stages in equal order."""
        return isinstance(other, BModelFile) and self.networks == other.networks

    __hash__ = None  # type: ignore[assignment]

    @property
    def networks(self) -> tuple[Network, ...]:
        """The networks of the file, each with its stages."""
        networks: tuple[Network, ...] = self.__dict__["_networks"]
        return networks

    def stage_of(self, shapes: Mapping[str, Sequence[int]], net: str | None = None) -> BModel:
        """The stage that takes inputs of these ``shapes``. Raises: InputError: none, or several networks."""
        networks = [network for network in self.networks if net in {None, network.name}]
        if not networks:
            raise InputError(unknown_name("network", str(net), [one.name for one in self.networks]))
        given = {name: tuple(shape) for name, shape in shapes.items()}
        stages = [stage for network in networks for stage in network.stages]
        found = [stage for stage in stages if {t.name: t.shape for t in stage.inputs} == given]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(stage.name for stage in found)
            raise InputError(
                f"expected the name of a network (--net, or net=), for these take such inputs: {names}"
            )
        got = ", ".join(f"{name} {list(shape)}" for name, shape in given.items()) or "no inputs"
        raise InputError(f"expected inputs of one of the stages ({listed(_numbered(networks))}), got {got}")

    def run(
        self,
        inputs: Mapping[str, Array],
        *,
        net: str | None = None,
        allow_nan: bool = False,
        detect_races: bool = False,
        threads: int = 0,
    ) -> dict[str, Array]:
        """Run the stage that the inputs' shapes, and ``net``, choose; see ``BModel.run``."""
        stage = self.stage_of({name: np.shape(value) for name, value in inputs.items()}, net)
        return stage.run(inputs, allow_nan=allow_nan, detect_races=detect_races, threads=threads)

    def run_numbers(
        self, inputs: Mapping[str, Array], *, allow_nan: bool = False, detect_races: bool = False
    ) -> dict[str, Array]:
        """Run the stage that the inputs' shapes choose; see ``BModel.run_numbers``."""
        known = {tensor.name for stage in self.stages for tensor in stage.inputs}
        stage = self.stage_of({name: np.shape(value) for name, value in inputs.items() if name in known})
        return stage.run_numbers(inputs, allow_nan=allow_nan, detect_races=detect_races)


Numbered = tuple[str, int, BModel]


def _numbered(networks: Sequence[Network]) -> list[Numbered]:
    return [(one.name, number, stage) for one in networks for number, stage in enumerate(one.stages)]


def listed(stages: Sequence[Numbered], most: int = 12) -> str:
    """Stages in words, with their networks if there are several: "stage 0: x [1, 3]; stage 1: x [2, 3]"."""
    several = len({name for name, _, _ in stages}) > 1
    parts = [
        f"{name + ' ' if several else ''}stage {number}: "
        + (", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in stage.inputs) or "no inputs")
        for name, number, stage in stages[:most]
    ]
    return "; ".join(parts + [f"and {len(stages) - most} more"] * (len(stages) > most))


def check_spec(spec: BModelSpec, name: str) -> None:
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
