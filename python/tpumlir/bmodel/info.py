"""What a bmodel file contains, without running it: also files with several networks or shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tpumlir.bmodel import container, flat
from tpumlir.bmodel.model import dtype_name
from tpumlir.bmodel.notes import Note, Notes, read_notes
from tpumlir.data.preprocess import NATURAL_TYPES


def describe(path: str | Path) -> dict[str, Any]:
    """Return the contents of a bmodel as plain values (sizes and addresses in bytes).

    Raises: BModelError: a damaged file; OSError.
    """
    file = container.read_container(path)
    model = file.model
    notes = iter(read_notes(str(file.path), file.notes, sum(len(_stages(net)) for net in model["net"])))
    return {
        "file": str(file.path),
        "bytes": file.size,
        "chip": model["chip"],
        "version": model["version"],
        "time": model["time"].strip(),
        "digest": file.digest.hex() or None,
        "neuron_bytes": model["neuron_size"],
        "nets": [_net(net, notes) for net in model["net"]],
    }


def _stages(net: flat.Table) -> list[flat.Table]:
    stages: list[flat.Table] = net.get("parameter", [])
    return stages


def _net(net: flat.Table, notes: Iterator[Notes]) -> dict[str, Any]:
    return {"name": net["name"], "stages": [_stage(stage, next(notes)) for stage in _stages(net)]}


def _stage(stage: flat.Table, notes: Notes) -> dict[str, Any]:
    coeff = stage.get("coeff_mem", {})
    groups = stage.get("cmd_group", [])
    return {
        "dynamic": bool(stage["is_dynamic"]),
        "inputs": [_input(tensor, notes.inputs) for tensor in stage["input_tensor"]],
        "outputs": [_tensor(tensor) for tensor in stage["output_tensor"]],
        "weight_bytes": coeff.get("binary_coeff", (0, 0))[1],
        "weight_start": coeff.get("binary_coeff", (0, 0))[0],
        "activation_address": stage["ctx_addr"],
        "activation_bytes": stage["ctx_size"],
        "subnets": len(stage.get("sub_net", [])),
        "groups": [
            {
                "tiu_commands": group["bdc_num"],
                "tiu_bytes": group.get("binary_bdc", (0, 0))[1],
                "gdma_commands": group["gdma_num"],
                "gdma_bytes": group.get("binary_gdma", (0, 0))[1],
            }
            for group in groups
        ],
    }


def _input(tensor: flat.Table, notes: Mapping[str, Note]) -> dict[str, Any]:
    kind, preprocess = notes.get(tensor["name"], ("", None))
    return _tensor(tensor) | {
        "onnx_type": kind or None,
        "preprocess": preprocess.attributes() if preprocess else None,
    }


def _tensor(tensor: flat.Table) -> dict[str, Any]:
    return {
        "name": tensor["name"],
        "dtype": dtype_name(tensor["data_type"]),
        "shape": [dim for shape in tensor.get("shape", []) for dim in shape.get("dim", [])],
        "address": tensor["device_addr"],
        "bytes": tensor["size"],
        "scale": tensor["scale"],
        "zero_point": tensor["zero_point"],
    }


def describe_text(info: dict[str, Any]) -> Iterator[str]:
    """Yield the lines that a person reads, for what ``describe`` returned."""
    yield f"bmodel:  {info['file']} ({info['bytes']} bytes)"
    yield f"chip:    {info['chip']}"
    yield f"version: {info['version']} (created: {info['time']})"
    yield f"digest:  {info['digest'] or 'none (not written by tpumlir; only the weights carry a check code)'}"
    owners: dict[tuple[int, int], str] = {}
    for net in info["nets"]:
        for number, stage in enumerate(net["stages"]):
            kind = "dynamic" if stage["dynamic"] else "static"
            yield f"net {net['name']}, stage {number}: {kind}, {stage['subnets']} subnet(s)"
            for role in ("inputs", "outputs"):
                for tensor in stage[role]:
                    yield _tensor_text(role.removesuffix("s"), tensor)
                    if tensor.get("preprocess"):
                        yield f"    picture:  {_picture_text(tensor['preprocess'])}"
            span = (stage["weight_start"], stage["weight_bytes"])
            this = f"net {net['name']}, stage {number}"
            owner = owners.setdefault(span, this)
            shared = f" (those of {owner})" if owner != this and span[1] else ""
            yield f"  weights:     {span[1]} bytes{shared}"
            yield f"  activations: {stage['activation_bytes']} bytes at {stage['activation_address']:#x}"
            for index, group in enumerate(stage["groups"]):
                yield (
                    f"  group {index}: {group['tiu_commands']} TIU commands ({group['tiu_bytes']} bytes), "
                    f"{group['gdma_commands']} GDMA commands ({group['gdma_bytes']} bytes)"
                )


def _picture_text(attributes: Mapping[str, Any]) -> str:
    hidden = {"do_preprocess", "onnx_type"}
    shown = (f"{key} {value}" for key, value in attributes.items() if key not in hidden)
    return ", ".join(text.replace("[", "").replace("]", "").replace(", ", ",") for text in shown)


def _tensor_text(role: str, tensor: dict[str, Any]) -> str:
    shape = "x".join(map(str, tensor["shape"])) or "scalar"
    text = f"  {role + ':':<12} {tensor['name']} {shape} {tensor['dtype']} at {tensor['address']:#x}"
    if tensor.get("onnx_type") not in {None, NATURAL_TYPES.get(tensor["dtype"])}:
        text += f" ({tensor['onnx_type']} in ONNX)"
    if tensor["scale"] != 1.0 or tensor["zero_point"]:
        text += f" scale {tensor['scale']:g} zero point {tensor['zero_point']}"
    return text
