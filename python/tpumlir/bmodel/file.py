"""Bmodel files: networks and their stages as tables and parts of the container, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tpumlir._core import isa
from tpumlir.bmodel import container, flat
from tpumlir.bmodel.debug import DebugEntry, DebugInfo, debug_path, read_debug, write_debug
from tpumlir.bmodel.model import (
    CHIP,
    DTYPES,
    BModel,
    BModelFile,
    BModelSpec,
    CommandGroup,
    Network,
    PlacedTensor,
    check_spec,
    violations_of,
)
from tpumlir.bmodel.notes import Notes, read_notes, write_notes
from tpumlir.bmodel.sharing import share_weights
from tpumlir.errors import BModelError, LegalityError
from tpumlir.files import is_special

_VERSION = "2.2+tpumlir"
# A wall-clock time would make two equal builds differ.
_TIME = "not recorded"
_SHORTEST_COMMAND = min(info.size for info in isa.instructions())
_COMMAND_ALIGNMENT = 128
"""The runtime loads a command buffer up to the next multiple of this."""
_ROLE = {"input": 1, "output": 2}


def write(path: str | Path, spec: BModelSpec, *, debug: Sequence[DebugEntry] | None = None) -> None:
    """Write ``spec`` as a bmodel, and its debug info beside it (or remove a stale one).

    Without ``debug`` a BModel keeps the debug info that it has. Equal input gives equal bytes. Both files
    appear whole or not at all.
    Raises: LegalityError: commands that break a rule of the hardware; BModelError: a spec that contradicts
    itself; OSError.
    """
    if isinstance(spec, BModel):
        stages: Sequence[BModelSpec] = spec.stages
        infos = [stage.debug for stage in spec.stages]
    else:
        stages, infos = [spec], [DebugInfo()]
    if debug is not None:
        if len(stages) > 1:
            raise ValueError("expected one stage with debug info of its own, got several")
        infos = [DebugInfo(debug)]
    _write(path, stages, infos)


def join(stages: Sequence[BModel]) -> BModel:
    """One bmodel of several: those of one name are the shapes of a network, in their order.

    What they have in common of their weights is there once (``sharing``).
    Raises: BModelError: stages that cannot be of one file.
    """
    networks = _networks(stages, str(stages[0].path) if stages else "")
    shared = share_weights(stages)
    if len(shared) == 1:
        return shared[0]
    return BModelFile(
        Path(), [Network(name, tuple(shared[i] for i in indices)) for name, indices in networks.items()]
    )


def _write(path: str | Path, stages: Sequence[BModelSpec], infos: Sequence[DebugInfo]) -> None:
    networks = _networks(stages, str(path))
    ordered = [index for indices in networks.values() for index in indices]
    blob = container.Blob()
    parameters = {}
    for index in ordered:
        spec = stages[index]
        check_spec(spec, str(path))
        violations = violations_of(spec, infos[index], "" if len(stages) == 1 else _called(stages, index))
        if violations:
            raise LegalityError(*violations)
    # The runtime has one area for the activations of all stages of a network, and takes another when it loads
    # a stage that needs more; those loaded before would be lost (docs/bmodel.md).
    rooms = {name: max(stages[index].ctx_size for index in indices) for name, indices in networks.items()}
    # The vendor's order: all weights, then all commands.
    coeffs = {index: blob.add(stages[index].coeff) for index in ordered if stages[index].coeff}
    for index in ordered:
        parameters[index] = _parameter(stages[index], coeffs.get(index), rooms[stages[index].name], blob)
    model: flat.Table = {
        "type": "B",
        "version": _VERSION,
        "time": _TIME,
        "chip": CHIP,
        "net": [
            {"name": name, "parameter": [parameters[index] for index in indices]}
            for name, indices in networks.items()
        ],
        "neuron_size": max(rooms.values()),
        "device_num": 1,
    }
    notes = write_notes([
        Notes({t.name: (t.onnx_type, t.preprocess) for t in spec.inputs}, spec.others)
        for spec in (stages[index] for index in ordered)
    ])  # fmt: skip
    digest = container.write_container(path, model, blob, notes)
    if is_special(path):  # nothing comes beside /dev/null
        return
    if any(map(len, infos)):
        write_debug(path, digest, [infos[index] for index in ordered])
    else:
        debug_path(path).unlink(missing_ok=True)


def _networks(stages: Sequence[BModelSpec], name: str) -> dict[str, list[int]]:
    """The stages of each network. Raises: BModelError: two that the runtime cannot tell apart or join."""
    networks: dict[str, list[int]] = {}
    for index, spec in enumerate(stages):
        others = networks.setdefault(spec.name, [])
        for other in others:
            _check_pair(stages[other], spec, name)
        others.append(index)
    if not networks:
        raise BModelError(f"{name}: expected at least one stage, got none")
    return networks


def _check_pair(first: BModelSpec, second: BModelSpec, name: str) -> None:
    """The runtime keeps names, types and scales of a network once, and chooses by the shapes of inputs."""
    for role in ("inputs", "outputs"):
        pair = [getattr(first, role), getattr(second, role)]
        a, b = ([(t.name, t.dtype, t.scale, t.zero_point) for t in tensors] for tensors in pair)
        if a != b:
            left, right = (", ".join(f"{n} {d}" for n, d, *_ in rows) for rows in (a, b))
            if left == right:
                left, right = (", ".join(f"{n} * {s:g}, zero {z}" for n, _, s, z in rows) for rows in (a, b))
            raise BModelError(
                f"{name}: network {first.name}: expected stages of equal {role}, got {left} and {right} "
                "(another model needs another name: compile it to a file that is called otherwise)"
            )
    if [t.shape for t in first.inputs] == [t.shape for t in second.inputs]:
        shapes = ", ".join(f"{t.name} {list(t.shape)}" for t in first.inputs) or "no inputs"
        raise BModelError(
            f"{name}: network {first.name}: expected stages of different shapes, got {shapes} twice"
        )


def _called(stages: Sequence[BModelSpec], index: int) -> str:
    """What a stage is called in messages."""
    number = sum(spec.name == stages[index].name for spec in stages[:index])
    several = len({spec.name for spec in stages}) > 1
    return f"{stages[index].name} stage {number}" if several else f"stage {number}"


def _parameter(
    spec: BModelSpec, coeff: tuple[int, int] | None, room: int, blob: container.Blob
) -> flat.Table:
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
        "ctx_sizes": [room],
        "core_num": 1,
    }
    if coeff is not None:
        parameter["coeff_mem"] = {
            "address": spec.coeff_addr,
            "check_code": hashlib.sha256(spec.coeff).digest(),
            "binary_coeff": coeff,
        }
    return parameter


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
        "data_type": DTYPES.index(tensor.dtype),
        "device_addr": tensor.address,
        "size": tensor.size or tensor.nbytes,
        "shape": [{"dim": list(tensor.shape)}],
        "mem_type": 1,
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
        "hidden": _ROLE[role],
    }


def read(
    path: str | Path, *, net: str | None = None, stage: int | None = None, legality: bool = True
) -> BModel:
    """Read a bmodel, ours or the vendor's: static networks of one subnet, with one or several shapes.

    A file with several stages comes as a ``BModelFile``, unless ``net`` and ``stage`` choose one. Checks the
    container, the digest if there is one, the check code of the weights, every command and every address
    before anything can run; ``legality=False`` leaves out the rules of the hardware, for tools that show a
    file and do not run it. Raises: BModelError; OSError.
    """
    file = container.read_container(path)
    name = str(file.path)
    tables = [(net_table, table) for net_table in file.model["net"] for table in _stages_of(net_table, name)]
    if not tables:
        raise BModelError(f"{name}: expected at least one network, got none")
    weights = _Weights(file)
    notes = read_notes(name, file.notes, len(tables))
    specs = [
        _read_stage(file, net_table, table, weights, note)
        for (net_table, table), note in zip(tables, notes, strict=True)
    ]
    networks = _networks(specs, name)
    if [index for indices in networks.values() for index in indices] != list(range(len(specs))):
        raise BModelError(f"{name}: expected networks of different names, got {', '.join(networks)}")
    for spec in specs:
        check_spec(spec, name)
    most = [
        sum(len(group.tiu) + len(group.gdma) for group in spec.groups) // _SHORTEST_COMMAND for spec in specs
    ]
    infos = (read_debug(file.path, file.digest, most) if file.digest else None) or [DebugInfo()] * len(specs)
    models = [
        BModel(
            **{key: getattr(spec, key) for key in BModelSpec.__dataclass_fields__},
            path=file.path,
            version=file.model["version"],
            chip=file.model["chip"],
            has_digest=bool(file.digest),
            debug=info,
        )
        for spec, info in zip(specs, infos, strict=True)
    ]
    violations = [
        violation
        for index, model in enumerate(models)
        for violation in violations_of(
            model, model.debug, name if len(models) == 1 else f"{name}: {_called(models, index)}"
        )
        if legality
    ]
    if violations:
        raise BModelError(*violations)
    if len(models) == 1:
        return models[0].only(net, stage)
    whole = BModelFile(
        file.path, [Network(key, tuple(models[i] for i in indices)) for key, indices in networks.items()]
    )
    return whole if net is None and stage is None else whole.only(net, stage)


def _stages_of(net: flat.Table, name: str) -> list[flat.Table]:
    if net.get("addr_mode", 0) != 0:
        raise BModelError(f"{name}: expected address mode 0 (basic), got {net['addr_mode']}")
    stages: list[flat.Table] = net.get("parameter", [])
    if not stages:
        raise BModelError(f"{name}: network {net['name']}: expected at least one shape, got none")
    return stages


def _read_stage(
    file: container.Container, net: flat.Table, parameter: flat.Table, weights: _Weights, notes: Notes
) -> BModelSpec:
    name = str(file.path)
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
        coeff, coeff_addr = weights.read(parameter["coeff_mem"])
    inputs = [_read_tensor(table, name) for table in parameter["input_tensor"]]
    told = {tensor.name: notes.inputs.get(tensor.name, ("", None)) for tensor in inputs}
    return BModelSpec(
        name=net["name"],
        inputs=tuple(replace(t, onnx_type=told[t.name][0], preprocess=told[t.name][1]) for t in inputs),
        outputs=tuple(_read_tensor(table, name) for table in parameter["output_tensor"]),
        coeff=coeff,
        coeff_addr=coeff_addr,
        ctx_addr=parameter["ctx_addr"],
        ctx_size=parameter["ctx_size"],
        groups=tuple(_read_group(file, table, index) for index, table in enumerate(tables)),
        others=notes.others,
    )


class _Weights:
    """The weights of stages; those that several have are read and checked once."""

    def __init__(self, file: container.Container) -> None:
        self._file = file
        self._known: dict[tuple[int, int], tuple[bytes, bytes]] = {}

    def read(self, table: flat.Table) -> tuple[bytes, int]:
        """The bytes and their address. Raises: BModelError."""
        file, name = self._file, str(self._file.path)
        if table["encrypt_mode"]:
            raise BModelError(
                f"{name}: expected weights that are not encrypted, got mode {table['encrypt_mode']}"
            )
        if "binary_coeff" not in table:
            raise BModelError(f"{name}: expected the weights' byte range, got none")
        begin, size = span = table["binary_coeff"]
        if span not in self._known:
            # Or a small file could ask for the same bytes to be hashed again and again.
            for start, length in self._known:
                if start < begin + size and begin < start + length:
                    raise BModelError(
                        f"{name}: expected weights of stages that are the same bytes or apart, got "
                        f"{begin}..{begin + size} and {start}..{start + length}"
                    )
            data = file.part("weights", span)
            self._known[span] = data, hashlib.sha256(data).digest()
        coeff, digest = self._known[span]
        if digest != table.get("check_code"):
            raise BModelError(
                f"{name}: expected the weights that the check code is of, got others (the file is damaged)",
                offset=file.blob_offset + begin,
            )
        return coeff, table["address"]


def _only(items: Sequence[flat.Table], what: str, name: str) -> flat.Table:
    if len(items) != 1:
        raise BModelError(f"{name}: expected 1 {what}, got {len(items)}")
    return items[0]


def _read_tensor(table: flat.Table, name: str) -> PlacedTensor:
    tensor = table["name"]
    code = table["data_type"]
    if code >= len(DTYPES):
        raise BModelError(f"{name}: {tensor}: expected an element type code below {len(DTYPES)}, got {code}")
    shapes = table.get("shape", [])
    if len(shapes) != 1:
        raise BModelError(f"{name}: {tensor}: expected 1 shape, got {len(shapes)}")
    dims = shapes[0].get("dim", [])
    if len(dims) > 8 or any(dim > 0x7FFFFFFF for dim in dims):
        raise BModelError(f"{name}: {tensor}: expected at most 8 dimensions of 31 bits, got {dims[:9]}")
    return PlacedTensor(
        name=tensor,
        dtype=DTYPES[code],
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
