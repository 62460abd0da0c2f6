"""What commands cost, against figures that the vendor's estimator gave, and when they run."""

from __future__ import annotations

import time

import pytest

from tpumlir._core import isa
from tpumlir.errors import BModelError

DDR, LMEM = isa.GLOBAL_MEMORY[0], isa.LOCAL_MEMORY[0]
I8, F16, F32, BF16 = 0, 1, 2, 5
LANE = isa.LANE_BYTES


def cost(instruction: str, **fields: int) -> isa.Cost:
    data = isa.encode(instruction, fields)
    (command,) = isa.decode("gdma" if "DMA" in instruction else "tiu", data)
    return isa.cost(command)


def shape(n: int, c: int, h: int, w: int, name: str = "res0", suffix: str = "") -> dict[str, int]:
    return {f"{name}_{axis}{suffix}": size for axis, size in zip("nchw", (n, c, h, w), strict=True)}


def types(*codes: int) -> dict[str, int]:
    return {f"{name}_prec": code for name, code in zip(("res0", "opd0", "opd1"), codes, strict=True)}


IMAGE = shape(1, 64, 56, 56)
APART = {"opd0_addr": 0x4000, "opd1_addr": 0x8000}


@pytest.mark.parametrize(
    ("instruction", "fields", "cycles"),
    [
        ("sAR", IMAGE | APART | types(F32, F32, F32) | {"tsk_eu_typ": 2}, 196),
        ("sAR", IMAGE | APART | types(F16, F16, F16) | {"tsk_eu_typ": 2}, 98),
        ("sAR", IMAGE | APART | types(I8, I8, I8) | {"tsk_eu_typ": 2}, 49),
        ("sAR", IMAGE | APART | types(F32, F16, F16) | {"tsk_eu_typ": 14}, 196),
        ("sAR", IMAGE | APART | types(F32, F32, F32) | {"tsk_eu_typ": 12, "opd2_n_str": 2}, 196 * 31),
        # In place, and with a start in another lane: twice.
        ("sAR", IMAGE | APART | types(F32, F32, F32) | {"tsk_eu_typ": 2, "res0_addr": 0x4000}, 392),
        ("sAR", IMAGE | APART | types(F32, F32, F32) | {"tsk_eu_typ": 2, "res0_addr": LANE}, 392),
        ("sCMP", IMAGE | {"tsk_eu_typ": 23, "opd0_prec": F32}, 392),
        ("sLIN", IMAGE | {"tsk_eu_typ": 1, "res0_prec": F32}, 196),
        ("sSFU", IMAGE | {"tsk_eu_typ": 13, "opd0_prec": F32, "opd1_n": 10}, 1960),
        ("sSFU", IMAGE | {"tsk_eu_typ": 17, "opd0_prec": F32}, 5880),
        ("sMM2", {"tsk_eu_typ": 4, "opd0_prec": F16, "res0_c": 1, "res0_w": 1024, "opd1_c": 512,
                  "opd1_w": 1024}, 4096),
        ("sMM", {"tsk_eu_typ": 1, "opd0_prec": F32, "opd0_n": 1, "opd0_c": 1, "opd0_w": 512, "opd1_w": 512,
                 "res0_c": 64, "res0_w": 16, "opd2_const": 1}, 512),
        ("sCONV", shape(1, 1024, 1, 1) | {"opd0_c": 512, "opd1_h": 1, "opd1_w": 1, "opd0_prec": F16}, 256),
        ("sCONV", shape(1, 1024, 1, 1) | {"opd0_c": 512, "opd1_h": 1, "opd1_w": 1, "opd0_prec": I8}, 128),
        ("sCONV", shape(1, 64, 112, 112) | {"opd0_c": 3, "opd1_h": 7, "opd1_w": 7, "opd0_prec": F16}, 153664),
        ("sPorD", IMAGE | {"opd1_h": 3, "opd1_w": 3, "res_op_x_str": 1, "res_op_y_str": 1,
                           "opd0_prec": F32}, 1764),
        ("sPorD", shape(1, 64, 28, 28) | {"opd1_h": 3, "opd1_w": 3, "res_op_x_str": 2, "res_op_y_str": 2,
                                          "opd0_prec": F32}, 1323),
        ("sTRANS_BC", shape(1, 64, 1, 64) | {"tsk_eu_typ": 1, "res0_prec": F32}, 4),
        ("sTRANS_BC", shape(1, 64, 1, 64) | {"tsk_eu_typ": 3, "res0_prec": F32, "opd0_addr": 0x4000}, 4),
        ("sSG", shape(1, 64, 1, 100) | {"tsk_eu_typ": 5, "opd1_w": 100}, 100),
        ("sSG", shape(1, 64, 1, 100) | {"tsk_eu_typ": 13, "opd1_w": 100}, 150),
        ("sVC", {"tsk_eu_typ": 0, "opd0_c": 1, "opd0_w": 10, "opd1_w": 10, "res0_c": 2, "res0_w": 33,
                 **types(F32, F32, F32)}, 30),
        ("sRQ_DQ", IMAGE | {"tsk_eu_typ": 1, "opd0_addr": 0x4000}, 196),
        ("sRQ_DQ", IMAGE | {"tsk_eu_typ": 1}, 392),
    ],
)  # fmt: skip
def test_cycles_of_compute(instruction: str, fields: dict[str, int], cycles: int) -> None:
    got = cost(instruction, **fields)
    assert (got.cycles, got.work, got.known) == (cycles, "compute", True)
    assert (got.read, got.written) == (0, 0)


def copy(n: int, c: int, h: int, w: int, src: int, dst: int, **other: int) -> dict[str, int]:
    sizes = shape(n, c, h, w, "src", "size") | shape(n, c, h, w, "dst", "size")
    strides = {f"{side}_{axis}stride": value for side in ("src", "dst")
               for axis, value in zip("nchw", (c * h * w, h * w, w, 1), strict=True)}  # fmt: skip
    places = {"src_start_addr_l32": src & 0xFFFFFFFF, "src_start_addr_h8": src >> 32,
              "dst_start_addr_l32": dst & 0xFFFFFFFF, "dst_start_addr_h8": dst >> 32}  # fmt: skip
    return sizes | strides | places | {"stride_enable": 1, "nchw_copy": 1, "src_data_format": F32} | other


@pytest.mark.parametrize(
    ("fields", "cycles", "work", "read", "written"),
    [
        # A load of 4 bytes a lane costs as much as one of 1 KiB; rows of 256 bytes are the best.
        (copy(1, 64, 1, 1, DDR, LMEM), 1213, "load", 256, 0),
        (copy(1, 64, 1, 64, DDR, LMEM), 303, "load", 16384, 0),
        (copy(1, 64, 1, 256, DDR, LMEM), 1213, "load", 65536, 0),
        (copy(1, 1, 1, 64, DDR, LMEM), 18, "load", 256, 0),
        (copy(1, 64, 1, 16, LMEM, DDR), 1599, "store", 0, 4096),
        (copy(1, 64, 1, 64, LMEM, DDR), 399, "store", 0, 16384),
        (copy(1, 1, 1, 64, DDR, DDR + 4096), 157, "copy", 256, 256),
        (copy(1, 1, 1, 64, LMEM, LMEM + 4096), 9, "copy", 0, 0),
        (copy(1, 64, 8, 16, DDR, LMEM), 606, "load", 32768, 0),
        (copy(1, 64, 8, 16, DDR, LMEM, src_hstride=17, src_cstride=136), 2426, "load", 32768, 0),
        (copy(1, 64, 1, 64, DDR, LMEM, fill_constant_en=1), 282, "load", 0, 0),
        # Where the rows have no distance at all the estimator finds nothing to count.
        (copy(1, 64, 8, 16, DDR, LMEM, src_hstride=0), 0, "load", 32768, 0),
    ],
)
def test_cycles_and_traffic_of_copies(
    fields: dict[str, int], cycles: int, work: str, read: int, written: int
) -> None:
    got = cost("DMA_tensor", **fields)
    assert (got.cycles, got.work, got.read, got.written) == (cycles, work, read, written)


def test_cycles_of_other_transfers() -> None:
    assert cost("DMA_cw_transpose", **copy(1, 512, 1, 512, DDR, DDR + (1 << 20))).cycles == 16384
    general = copy(1, 1, 1, 1, DDR, DDR + 8192) | {"src_cstride_or_length": 1000}
    sizes = [name for name in general if name.endswith("cstride")]
    got = cost("DMA_general", **{name: value for name, value in general.items() if name not in sizes})
    assert (got.cycles, got.read, got.written) == (62, 4000, 4000)
    rows = {"src_csize": 1, "index_csize": 4, "src_hsize": 10, "src_wsize": 64, "dst_hsize": 100,
            "src_start_addr_h8": 1, "dst_start_addr_h8": 1, "index_start_addr_h8": 1}  # fmt: skip
    got = cost("DMA_gather", **rows, src_data_format=F32)
    assert (got.cycles, got.written) == (1600, 102400)
    assert got.read == 102400 + 4 * 100 * 4


def test_products_are_counted_against_the_peak_of_their_type() -> None:
    window = {"opd0_c": 64, "opd1_h": 3, "opd1_w": 3}
    for dtype, peak in ((F32, 1024), (F16, 8192), (BF16, 8192), (I8, 16384)):
        got = cost("sCONV", **IMAGE, **window, opd0_prec=dtype)
        assert got.products == 64 * 56 * 56 * 64 * 9
        assert got.peak_cycles == got.products / peak
        assert got.cycles == got.peak_cycles  # nothing of this shape is wasted


SUB_OPERATIONS = [
    (info, code)
    for info in isa.instructions()
    for code in info.sub_ops or (0,)
    # Of the short form of the index generators only the length is known.
    if not (info.name == "sAR" and info.sub_ops[code].endswith("IdxGen"))
]


@pytest.mark.parametrize(("info", "code"), SUB_OPERATIONS, ids=lambda v: getattr(v, "name", v))
def test_every_command_that_decodes_has_a_cost(info: isa.InstructionInfo, code: int) -> None:
    # Also damaged ones and the vendor's, whose fields break the rules: a type that there is not counts as i8.
    rows = [row for row in isa.fields(info.name) if not row.reserved]
    kinds = [row.name for row in rows if row.name.endswith(("_prec", "_data_format"))]
    sizes = [row for row in rows if row.name.endswith(("size", "stride", "_n", "_c", "_h", "_w", "_str"))]
    chosen = {"tsk_eu_typ" if info.engine == "tiu" else "cmd_special_function": code}
    for value in (0, 1, 0xFFFF):
        fields = {row.name: min(value, (1 << row.width) - 1) for row in sizes} | chosen
        costs = [cost(info.name, **fields, **dict.fromkeys(kinds, kind)).cycles for kind in range(8)]
        assert costs[7] == costs[0]


def test_what_has_no_cost_says_so() -> None:
    assert not cost("sSG", tsk_eu_typ=11, **IMAGE).known
    assert cost("SYS", tsk_eu_typ=31).known
    assert cost("SYS", tsk_eu_typ=31).cycles == 0


# --- time -----------------------------------------------------------------------------------------


def add(command: int, dep: int, h: int = 1, enabled: int = 1) -> bytes:
    """A compute command of ``h`` cycles."""
    fields = shape(1, 64, h, 16) | APART | types(F32, F32, F32)
    return isa.encode(
        "sAR", {"cmd_id": command, "cmd_id_dep": dep, "cmd_id_en": enabled, "tsk_eu_typ": 2} | fields
    )


def load(command: int, dep: int, blocks: int = 1) -> bytes:
    """A load of 303 cycles or a multiple."""
    return isa.encode(
        "DMA_tensor", {"cmd_id": command, "cmd_id_dep": dep} | copy(1, 64 * blocks, 1, 64, DDR, LMEM)
    )


END = isa.encode("SYS", {"cmd_id": 9, "tsk_eu_typ": 31})
DMA_END = isa.encode("sDMA_sys", {"cmd_id": 9})


def placed(profile: isa.Profile) -> list[tuple[str, int, int]]:
    rows = zip(profile.engine, profile.id, profile.start, profile.duration, strict=True)
    return [
        ("tg"[engine] + str(command), int(start), int(cycles))
        for engine, command, start, cycles in rows
        if cycles
    ]


def test_a_command_starts_when_its_engine_is_free_and_what_it_waits_for_has_ended() -> None:
    got = isa.profile(
        [(add(1, 1, 100) + add(2, 1, 10) + END, load(1, 0) + load(2, 0) + load(3, 2) + DMA_END)]
    )
    assert placed(got) == [
        ("t1", 303, 100),
        ("t2", 403, 10),
        ("g1", 0, 303),
        ("g2", 303, 303),
        ("g3", 606, 303),
    ]
    assert (got.cycles, got.tiu_busy, got.gdma_busy, got.both_busy) == (909, 110, 909, 110)
    assert got.wait.tolist()[:2] == [303, 0]
    # Both engines have half of the time in which both work.
    assert got.share.tolist() == [50, 5, 0, 303, 248, 303, 0]
    assert sum(got.share) == got.cycles


@pytest.mark.parametrize(
    ("dep", "start"), [(0, 0), (1, 303), (2, 303), (3, 606), (4, 606), (7, 909), (8, 909)]
)
def test_a_wait_for_an_id_in_a_gap_ends_with_the_next_one(dep: int, start: int) -> None:
    # As in the simulator and in rule L10: until the other engine has finished that id or a larger one.
    got = isa.profile([(add(5, dep) + END, load(2, 0) + load(4, 0) + load(8, 0) + DMA_END)])
    assert placed(got)[0] == ("t5", start, 1)


def test_without_its_bit_a_dependency_does_not_count() -> None:
    got = isa.profile([(add(1, 1, 10, enabled=0) + END, load(1, 0) + DMA_END)])
    assert placed(got)[0] == ("t1", 0, 10)


def test_a_group_starts_when_the_one_before_has_ended() -> None:
    group = (add(1, 1, 7) + END, load(1, 0) + DMA_END)
    got = isa.profile([group, group])
    assert got.cycles == 2 * (303 + 7)
    assert [start for _, start, _ in placed(got)] == [303, 0, 613, 310]
    assert got.group.tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize(
    ("tiu", "gdma", "message"),
    [
        (
            add(1, 20) + END,
            load(1, 0) + DMA_END,
            "group 0: tiu command 1: waits for gdma command 20, which never",
        ),
        (add(1, 1) + END, load(1, 1) + DMA_END, "tiu command 1: waits for gdma command 1, which never ends"),
    ],
)
def test_a_wait_that_never_ends_is_an_error(tiu: bytes, gdma: bytes, message: str) -> None:
    with pytest.raises(BModelError, match=message):
        isa.profile([(tiu, gdma)])


def test_no_commands_take_no_time() -> None:
    assert isa.profile([]).cycles == 0
    assert isa.profile([(END, DMA_END)]).cycles == 0


def test_time_grows_with_the_number_of_commands_only() -> None:
    # 100,000 loads that each wait for a compute command: what takes minutes if every wait is searched for.
    count = 100_000
    tiu = b"".join(
        isa.encode("SYS", {"cmd_id": i, "cmd_id_en": 1, "tsk_eu_typ": 30}) for i in range(1, count + 1)
    )
    block = load(0, 0)
    gdma = bytearray()
    for i in range(1, count + 1):
        word = int.from_bytes(block[:12], "little") | i << 9 | i << 64
        gdma += word.to_bytes(12, "little") + block[12:]
    seconds = time.process_time()
    got = isa.profile([(tiu, bytes(gdma))])
    assert time.process_time() - seconds < 2
    assert got.cycles == 303 * count
    assert got.id.tolist()[-1] == count
