"""A small hand-written program: y = x + w, one addend per channel, x of 1 x 70 x 6 x 6."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tpumlir import _core, bmodel
from tpumlir.bmodel import BModelSpec, CommandGroup, DebugEntry, PlacedTensor
from tpumlir.data.preprocess import Preprocess

isa = _core.isa
SHAPE = (1, 70, 6, 6)
F32 = 2
BASE = isa.GLOBAL_MEMORY[0]
CTX = BASE + 0x1000
X, Y = CTX, CTX + 0x4000
LMEM = isa.LOCAL_MEMORY[0]
DEBUG = (
    DebugEntry("gdma", 1, "tpu.Add", "Add_3"),
    DebugEntry("gdma", 2, "tpu.Add", "Add_3"),
    DebugEntry("tiu", 1, "tpu.Add", "Add_3"),
    DebugEntry("gdma", 3, "tpu.Add", "Add_3"),
)


def weights() -> npt.NDArray[np.float32]:
    return np.linspace(0, 10, 70, dtype=np.float32)


def x_values() -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal(SHAPE, dtype=np.float32)


def expected(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return x + weights()[:, None, None]


def _copy(cmd_id: int, dep: int, src: int, dst: int, c: int, h: int, w: int, **strides: int) -> bytes:
    fields = {
        "cmd_id": cmd_id,
        "cmd_id_dep": dep,
        "src_data_format": F32,
        "stride_enable": 1,
        "nchw_copy": 1,
        "src_nsize": 1,
        "src_csize": c,
        "src_hsize": h,
        "src_wsize": w,
        "src_hstride": w,
        "src_wstride": 1,
        "dst_hstride": w,
        "dst_wstride": 1,
        "localmem_mask_l32": 0xFFFFFFFF,
        "localmem_mask_h32": 0xFFFFFFFF,
        **strides,
    }
    for side, address in (("src", src), ("dst", dst)):
        fields[f"{side}_start_addr_l32"] = address & 0xFFFFFFFF
        fields[f"{side}_start_addr_h8"] = address >> 32
    return isa.encode("DMA_tensor", fields)


def group(*, at: int = BASE, ctx: int = CTX, **add_fields: int) -> CommandGroup:
    """The commands, with the weights ``at`` an address; ``add_fields`` change the addition."""
    aligned = 48  # 6 x 6 elements, rounded up to 16
    add = {
        "cmd_id": 1,
        "cmd_id_dep": 2,
        "tsk_eu_typ": 2,
        "tsk_opd_num": 2,
        "opd0_prec": F32,
        "opd1_prec": F32,
        "res0_prec": F32,
        "res0_n": 1,
        "res0_c": 70,
        "res0_h": 6,
        "res0_w": 6,
        "opd0_addr": 0,
        "opd1_addr": 0x8000,
        "opd1_str": 3,
        "opd1_c_str": 1,
        "res0_addr": 0x4000,
        **add_fields,
    }
    tiu = isa.encode("sAR", add) + isa.encode("SYS", {"tsk_eu_typ": 31, "cmd_id": 2, "cmd_id_en": 0})
    gdma = (
        _copy(1, 0, ctx, LMEM, 70, 6, 6, src_cstride=36, dst_cstride=aligned)
        + _copy(2, 0, at, LMEM + 0x8000, 70, 1, 1, src_cstride=1, dst_cstride=1)
        + _copy(3, 1, LMEM + 0x4000, ctx + Y - X, 70, 6, 6, src_cstride=aligned, dst_cstride=36)
        + isa.encode("sDMA_sys", {"cmd_id": 4})
    )
    return CommandGroup(tiu, 2, gdma, 4)


def spec(**changes: Any) -> BModelSpec:
    values: dict[str, Any] = {
        "name": "add",
        "inputs": (PlacedTensor("x", SHAPE, "f32", X),),
        "outputs": (PlacedTensor("y", SHAPE, "f32", Y),),
        "coeff": weights().tobytes(),
        "coeff_addr": BASE,
        "ctx_addr": CTX,
        "ctx_size": 0x8000,
        "groups": (group(),),
    }
    return BModelSpec(**{**values, **changes})


def noted_spec() -> BModelSpec:
    """The program with notes on its input, which the vendor has no place for."""
    how = Preprocess(resize_dims=(6, 7), mean=(0.1, 2.0, 3.0), pixel_format="rgb", onnx_type="float16")
    return spec(inputs=(PlacedTensor("x", SHAPE, "f32", X, onnx_type="float16", preprocess=how),))


def write_model(path: Path) -> Path:
    """Write the program with its debug info; returns ``path``."""
    bmodel.write(path, spec(), debug=DEBUG)
    return path
