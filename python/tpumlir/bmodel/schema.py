"""The tables of the vendor's container, as data.

A line reads ``id:name type``; ``!`` marks a field that the vendor's schema requires, ``=`` a default other
than 0, ``[x]`` a vector. Names, ids and types are those of the public bmodel schema; see docs/bmodel.md.
"""

from __future__ import annotations

from typing import NamedTuple

SCALARS = {"u8": "B", "i32": "i", "u32": "I", "u64": "Q", "f32": "f"}
"""Scalar types and their ``struct`` letters; all little endian."""

STRUCTS = {
    "Binary": (("start", "Q"), ("size", "Q")),
    "RelEntry": (("base_addr_id", "I"), ("addr_offset", "I"), ("cmd_offset", "I")),
}
"""Inline structs: members and their ``struct`` letters. A Binary is a byte range of the blob."""

_TABLES = """
Model
  0:type string!  1:version string!  2:time string!  3:chip string!  4:net [Net]!  5:neuron_size u64
  6:kernel_module KernelModule  7:device_num u32  8:cpuop_module CpuopModule  9:bmodel_type u32
  10:lib_backend Binary
Net
  0:name string!  1:net_static [NetStatic]  2:net_dynamic [NetDynamic]  3:parameter [NetParameter]
  4:cascade Cascade  5:addr_mode i32
NetStatic
NetDynamic
NetParameter
  0:input_tensor [Tensor]!  1:output_tensor [Tensor]!  2:ctx_addr u64  3:ctx_size u64  4:coeff_mem CoeffMem
  5:is_dynamic i32  6:n_dynamic i32  7:h_w_dynamic i32  8:cmd_group [CmdGroup]  9:net_profile Binary
  10:stage_ir [StageIR]  11:binary_ir Binary  12:sub_net [SubNet]  13:cpu_mem_size u32  14:ctx_sizes [u64]
  15:net_stat Binary  16:core_num u32  17:io_addr u64  18:io_size u64  19:tensor_loc Binary
  20:dynamic_ctx_addr u64  21:dynamic_coeff_offset u64  22:dynamic_combined_coeff_offset u64
SubNet
  0:subnet_mode i32  1:cmd_group [CmdGroup]  2:cpu_param [CpuParam]  3:input_tensor [Tensor]
  4:output_tensor [Tensor]  5:is_dynamic i32  6:ir_offset u32  7:ir_len u32  8:n_dynamic i32
  9:h_w_dynamic i32  10:id i32=-1  11:next_subnet_ids [i32]  12:merge_param MergeParam
  13:switch_param SwitchParam  14:core_commands [CoreCommands]  15:run_core u32
CmdGroup
  0:bdc_num u32  1:gdma_num u32  2:binary_bdc Binary  3:binary_gdma Binary  4:bdc_cmd_byte u32
  5:gdma_cmd_byte u32  6:reloc_entries [RelEntry]
CoreCommands
  0:gdma_tiu_commands [CmdGroup]  1:sdma_commands [Binary]  2:hau_commands [Binary]  3:cdma_commands [Binary]
Tensor
  0:name string!  1:data_type u32  2:gmem_stmode i32  3:device_addr u64  4:size u64  5:shape [Shape]
  6:mem_type u32  7:scale f32=1.0  8:cpu_addr u32  9:pad_h u32  10:zero_point i32  11:hidden i32
  12:index i32  13:relentry RelEntry
Shape
  0:dim [u64]
CoeffMem
  0:address u64  1:check_code [u8]  2:binary_coeff Binary  3:location [Location]  4:encrypt_mode i32
  5:decrypt_size u64
Location
  0:name string!  1:offset u64  2:size u64
KernelModule
  0:file_name string!  1:binary Binary!  2:mode i32
CpuopModule
  0:file_name string!  1:binary Binary!
CpuParam
  0:op_type i32  1:binary_param Binary  2:cpu_const [CpuConst]  3:is_custom i32
CpuConst
  0:name string  1:const_data Binary  2:check_code [u8]
StageIR
  0:ir_info_len u32  1:height_high i32  2:height_low i32  3:width_high i32  4:width_low i32
MergeParam
  0:output_from [OutputFrom]
OutputFrom
  0:indice [i32]
SwitchParam
  0:output_from [i32]  1:output_branch [i32]
Cascade
  0:device_id u32  1:step u32  2:main_name string
"""


class Slot(NamedTuple):
    """One field of a table: its id, its type (``element`` inside a vector) and its default."""

    id: int
    name: str
    element: str
    is_vector: bool
    required: bool
    default: float

    @property
    def kind(self) -> str:
        """``scalar``, ``string``, ``struct`` or ``table``, of the element."""
        if self.element in SCALARS:
            return "scalar"
        if self.element == "string":
            return "string"
        return "struct" if self.element in STRUCTS else "table"


def _parse(text: str) -> dict[str, tuple[Slot, ...]]:
    tables: dict[str, list[Slot]] = {}
    current: list[Slot] = []
    for line in text.strip().splitlines():
        if not line.startswith(" "):
            current = tables.setdefault(line.strip(), [])
            continue
        words = line.split()
        for head, tail in zip(words[::2], words[1::2], strict=True):
            number, _, name = head.partition(":")
            kind, _, default = tail.partition("=")
            required = kind.endswith("!")
            kind = kind.rstrip("!")
            is_vector = kind.startswith("[")
            current.append(
                Slot(int(number), name, kind.strip("[]"), is_vector, required, float(default or 0))
            )
    return {name: tuple(slots) for name, slots in tables.items()}


TABLES: dict[str, tuple[Slot, ...]] = _parse(_TABLES)
"""Every table and its slots, by id."""
