"""What the chip cannot do is a DeviceFault that names engine, command and address; never a crash."""

from __future__ import annotations

import re

import pytest

from cmodel import chip
from tpumlir._core import isa
from tpumlir.errors import DecodeError, DeviceFault, InputError

END = chip.LANE_BYTES


def conv(**fields: int) -> bytes:
    base = {
        "opd0_prec": 2, "res0_prec": 2, "opd0_c": 4, "opd0_h": 8, "opd0_w": 8, "opd1_h": 3, "opd1_w": 3,
        "res_op_x_str": 1, "res_op_y_str": 1, "opd2_const": 1, "opd3_const": 1, "opd0_addr": 0,
        "opd1_addr": 0x4000, "res0_addr": 0x8000, **chip.shape_fields("res0", (1, 4, 6, 6)),
    }  # fmt: skip
    return chip.tiu("sCONV", cmd_id=7, **(base | fields))


TIU_FAULTS = [
    ("result past the lane", chip.add(END - 32), "ends within a lane", chip.LMEM + END),
    ("address past local memory", chip.add(64 * END), "address below", chip.LMEM + 64 * END),
    ("no columns", chip.add(0, count=0), "sizes of at least 1", None),
    ("rows that are not there", conv(res0_h=7), "windows within the padded input of 8, got 9", None),
    ("no stride", conv(res_op_x_str=0), "res_op_x_str", None),
    ("result over the input", conv(res0_addr=64), "no overlap with opd0", chip.LMEM + 64),
    ("result over the weights", conv(res0_addr=0x4000), "no overlap with opd1", chip.LMEM + 0x4000),
    ("f32 to i8", conv(res0_prec=0), "expected a convolution f32 -> f32", None),
    ("no element type", conv(opd0_prec=7), "element type", None),
    ("i4", conv(opd0_prec=6), "element type", None),
    ("requantising form", conv(tsk_eu_typ=1), "models", None),
    (
        "f16 division",
        chip.tiu("sAR", tsk_eu_typ=12, tsk_opd_num=2, res0_prec=1, opd0_prec=1, opd1_prec=1,
                 **chip.shape_fields("res0", (1, 1, 1, 1))),
        "expected f32, got f16", None,
    ),
    (
        "operands in two lanes",
        chip.tiu("sAR", tsk_eu_typ=2, tsk_opd_num=2, res0_prec=2, opd0_prec=2, opd1_prec=2, opd0_addr=END,
                 **chip.shape_fields("res0", (1, 1, 1, 1))),
        "the lane of res0 (0), got 1", None,
    ),
    (
        "constants past static memory",
        chip.tiu("sTRANS_BC", tsk_eu_typ=4, res0_prec=2, opd0_addr=0x0900_3FFC, opd0_c=1, opd0_w=2,
                 **chip.shape_fields("res0", (1, 1, 1, 2))),
        "within static memory", 0x0900_3FFC,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "text", "address"), [row[1:] for row in TIU_FAULTS], ids=[row[0] for row in TIU_FAULTS]
)
def test_tiu_faults(command: bytes, text: str, address: int | None) -> None:
    with pytest.raises(DeviceFault, match=re.escape(text)) as caught:
        chip.machine().execute("tiu", command)
    assert caught.value.engine == "tiu"
    assert caught.value.command == isa.decode("tiu", command)[0].id
    assert caught.value.address == address


def test_index_past_the_table_faults() -> None:
    m = chip.machine()
    m.lmem(0)[0x1000] = 4
    command = chip.tiu(
        "sSG", tsk_eu_typ=5, opd0_h=1, opd0_w=4, opd1_c=1, opd1_w=1, opd0_addr=0, opd1_addr=0x1000,
        res0_addr=0x2000, **chip.shape_fields("res0", (1, 1, 1, 1)),
    )  # fmt: skip
    with pytest.raises(DeviceFault, match="expected an index below 4 at channel 0, element 0, got 4"):
        m.execute("tiu", command)


GDMA_FAULTS = [
    ("source past DDR", chip.DDR + (1 << 20) - 8, chip.LMEM, chip.DDR + (1 << 20) - 8),
    ("source between memories", 0x2000_0000, chip.LMEM, 0x2000_0000),
    ("target past DDR", chip.LMEM, chip.DDR + (1 << 20), chip.DDR + (1 << 20)),
    ("target past the lane", chip.DDR, chip.LMEM + END - 4, chip.LMEM + END),
]


@pytest.mark.parametrize(
    ("source", "target", "address"), [row[1:] for row in GDMA_FAULTS], ids=[row[0] for row in GDMA_FAULTS]
)
def test_gdma_faults(source: int, target: int, address: int) -> None:
    with pytest.raises(DeviceFault) as caught:
        chip.machine().execute("gdma", chip.gdma_copy(source, target, 16))
    assert (caught.value.engine, caught.value.address) == ("gdma", address)


def test_partial_lane_mask_of_a_copy_inside_local_memory_faults() -> None:
    command = isa.encode(
        "DMA_tensor",
        {
            "src_data_format": 2, "nchw_copy": 1, "src_start_addr_l32": chip.LMEM,
            "dst_start_addr_l32": chip.LMEM + 0x4000,
            "src_nsize": 1, "src_csize": 1, "src_hsize": 1, "src_wsize": 1, "localmem_mask_l32": 1,
        },
    )  # fmt: skip
    with pytest.raises(DeviceFault, match="localmem_mask"):
        chip.machine().execute("gdma", command)


def test_memory_outside_is_an_input_error() -> None:
    m = chip.machine()
    with pytest.raises(InputError, match="within one memory"):
        m.read(chip.DDR + (1 << 20) - 1, 2)
    with pytest.raises(InputError, match="within one memory"):
        m.write(0, b"x")
    with pytest.raises(InputError, match=r"0\.\.63"):
        m.lmem(64)
    with pytest.raises(InputError, match="global memory"):
        chip.machine(1 << 40)


def test_bytes_that_are_no_instruction() -> None:
    with pytest.raises(DecodeError):
        chip.machine().execute("tiu", b"\xff" * 128)
    with pytest.raises(InputError, match="'tiu' or 'gdma'"):
        chip.machine().execute("bd", b"")  # type: ignore[arg-type]
