"""The vendor's estimates of single commands: pure functions of its library, one per kind of command."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Fields = Mapping[str, int]


class _Answer(ctypes.Structure):
    """Head of the struct that an estimator returns; its tail differs between releases."""

    _fields_ = [("cycle", ctypes.c_uint64), ("rest", ctypes.c_ubyte * 120)]


def _is_local(address: int) -> bool:
    return 0x0800_0000 <= address < 0x0900_0000


class Estimator:
    """``cycles`` of a command by its fields; the process ends on what the library does not take."""

    def __init__(self, folder: Path) -> None:
        self._library = ctypes.CDLL(str(folder / "libcmodel_bm1684x.so"))

    def _ask(self, name: str, *numbers: int | ctypes.c_uint64) -> int:
        function = getattr(self._library, f"atomic_{name}_get_profile")
        function.restype = _Answer
        return int(function(*numbers).cycle)

    def cycles(self, instruction: str, fields: Fields) -> int:
        """Ask for one command, in its long or short form."""
        kind = instruction.removeprefix("s").lower()
        ask: Any = getattr(self, f"_{kind}")
        return int(ask({**dict.fromkeys(_OPTIONAL, 0), **fields}))

    def _conv(self, f: Fields) -> int:
        return self._ask("conv", *_result(f), f["opd0_c"], f["opd1_h"], f["opd1_w"], f["opd0_prec"])

    def _pord(self, f: Fields) -> int:
        window = (f["opd1_h"], f["opd1_w"], f["res_op_y_str"], f["res_op_x_str"])
        return self._ask(
            "pool_depthwise", *_result(f), *window, f["tsk_eu_typ"], f["res0_addr"], f["opd0_prec"]
        )

    def _mm(self, f: Fields) -> int:
        depth = (f["opd0_c"] - 1) * f["opd0_w"] + f["opd1_w"]
        rows = depth if f["left_tran"] else f["opd0_n"]
        left = (f["opd1_w"], f["opd0_c"], f["opd0_w"], f["opd0_n"])
        flags = (int(not f["opd2_const"]), f["left_tran"], f["res_add"])
        return self._ask("mm", rows, f["res0_c"], f["res0_w"], *left, f["opd0_prec"], f["res0_addr"], *flags)

    def _mm2(self, f: Fields) -> int:
        sizes = (f["res0_c"], f["res0_w"], f["opd1_c"], f["opd1_w"])
        return self._ask("mm2", *sizes, f["tsk_eu_typ"], f["opd0_prec"], f["res_add"])

    def _ar(self, f: Fields) -> int:
        names = ("res0", "opd0", "opd1")
        strides = [f[f"{name}_{part}"] for name in names for part in ("h_str", "w_str", "str")]
        division = f["tsk_eu_typ"] == 12
        iterations = f["opd2_n_str"] + division
        return self._ask(
            "ar", *_result(f), *strides, f["opd0_addr"], f["opd1_addr"], f["res0_addr"],
            f["opd0_prec"], f["opd1_prec"], f["res0_prec"], iterations, f["tsk_eu_typ"],
            f["opd0_const"], f["opd1_const"],
        )  # fmt: skip

    def _rq_dq(self, f: Fields) -> int:
        addresses = (f["opd0_addr"], f["opd1_addr"], f["res0_addr"])
        return self._ask("rqdq", *addresses, *_result(f), f["opd1_const"])

    def _sfu(self, f: Fields) -> int:
        return self._ask("sfu", *_result(f), f["tsk_eu_typ"], f["opd0_prec"], f["opd1_n"], f["res0_addr"])

    def _lin(self, f: Fields) -> int:
        return self._ask("fused_linear", *_result(f), f["res0_prec"], f["res0_addr"])

    def _cmp(self, f: Fields) -> int:
        return self._ask("fused_cmp", *_result(f), f["opd0_prec"], f["res0_addr"])

    def _vc(self, f: Fields) -> int:
        rows = (f["opd0_c"] - 1) * f["opd0_w"] + f["opd1_w"]
        types = (f["opd0_prec"], f["opd1_prec"], f["res0_prec"])
        return self._ask(
            "vec_corr", rows, f["res0_c"], 1, f["res0_w"], f["res0_addr"], *types, f["tsk_eu_typ"]
        )

    def _sg(self, f: Fields) -> int:
        shape = (f["res0_n"], f["res0_c"], f["opd1_w"])
        return self._ask("sg", *shape, f["opd3_addr"], f["tsk_eu_typ"], f["opd0_prec"], f["res0_addr"])

    def _sgl(self, f: Fields) -> int:
        shape = (f["res0_n"], f["res0_c"], f["res0_w"], f["opd1_h"] or f["opd0_h"])
        return self._ask("sgl", *shape, f["tsk_eu_typ"], f["res0_prec"], f["res0_addr"])

    def _trans_bc(self, f: Fields) -> int:
        op, dtype = f["tsk_eu_typ"], f["res0_prec"]
        n, c, h, w = _result(f)
        if op in (0, 1):
            return self._ask("cw_trans", n, c, h, w, dtype, op)
        if op in (2, 3):
            sources = c if op == 2 else 1
            return self._ask("lane_bc", n, sources, c, h, w, dtype, f["opd0_addr"], f["res0_addr"])
        return self._ask("static_bc", c, w, dtype) if op == 4 else self._ask("dis_bc", c, dtype)

    def _dma_tensor(self, f: Fields) -> int:
        _, _, direction = ends = _ends(f)
        if f["fill_constant_en"]:
            shape = _sizes(f, "src" if f["nchw_copy"] else "dst")
            strides = [f[f"dst_{axis}stride"] for axis in "whcn"]
            local = int(_is_local(ends[1].value))
            return self._ask(
                "gdma_constant", *shape, *ends[:2], f["src_data_format"], f["cmd_special_function"],
                local, *strides, f["stride_enable"],
            )  # fmt: skip
        n, c, h, w = _sizes(f, "src")
        tail = (*_strides(f), f["stride_enable"])
        if f["cmd_special_function"] == 3:
            return self._ask(
                "gdma_broadcast", n, h, w, f["dst_csize"], *ends[:2], f["src_data_format"], direction, *tail
            )
        return self._ask(
            "gdma_tensor", n, c, h, w, *ends[:2], f["src_data_format"], direction,
            f["cmd_special_function"], 0, *tail,
        )  # fmt: skip

    def _dma_cw_transpose(self, f: Fields) -> int:
        src, dst, direction = _ends(f)
        head = (*_sizes(f, "src"), src, dst, f["src_data_format"], direction)
        return self._ask("gdma_cw_trans", *head, *_strides(f), f["stride_enable"])

    def _dma_matrix(self, f: Fields) -> int:
        src, dst, direction = _ends(f)
        if _is_local(dst.value):
            shape = (f["src_hsize"], f["src_wsize"], f["dst_wsize"])
            strides = (f["src_hstride"], f["dst_nstride"], f["dst_cstride"])
        else:
            shape = (f["dst_hsize"], f["dst_wsize"], f["src_wsize"])
            strides = (f["dst_hstride"], f["src_nstride"], f["src_cstride"])
        kind = (f["src_data_format"], direction, f["cmd_special_function"])
        return self._ask("gdma_matrix", *shape, src, dst, *kind, *strides, 1)

    def _dma_general(self, f: Fields) -> int:
        src, dst, _ = _ends(f)
        kind = (f["src_data_format"], f["fill_constant_en"])
        return self._ask("gdma_general", f["src_cstride_or_length"], src, dst, *kind)

    def _dma_gather(self, f: Fields) -> int:
        src, dst, direction = _ends(f)
        channels = max(f["src_csize"], f["index_csize"])
        shape = (channels, f["src_hsize"], f["src_wsize"], f["dst_hsize"])
        return self._ask("gdma_gather", *shape, src, dst, f["src_data_format"], direction, *[1] * 9)

    def _dma_scatter(self, f: Fields) -> int:
        src, dst, direction = _ends(f)
        channels = max(f["src_csize"], f["index_csize"])
        shape = (channels, f["src_hsize"], f["src_wsize"], f["dst_hsize"])
        alone = (int(f["src_csize"] == 1), int(f["index_csize"] == 1))
        return self._ask("gdma_scatter", *shape, src, dst, f["src_data_format"], direction, *alone, *[1] * 9)

    def _dma_masked_select(self, f: Fields) -> int:
        src, dst, direction = _ends(f)
        return self._ask("gdma_masked_sel", *_sizes(f, "src"), src, dst, f["src_data_format"], direction)

    def _dma_nonzero(self, f: Fields) -> int:
        src, dst, direction = _ends(f)
        types = (f["src_data_format"], f["index_data_format"])
        return self._ask("gdma_nonzero", *_sizes(f, "src"), src, dst, *types, direction)


# Fields that short forms do not carry.
_OPTIONAL = (
    "res0_n", "res0_c", "res0_h", "res0_w", "opd0_n", "opd0_c", "opd0_h", "opd0_w", "opd1_n", "opd1_c",
    "opd1_h", "opd1_w", "left_tran", "res_add", "opd2_const", "opd3_addr", "res0_h_str", "res0_w_str",
    "res0_str", "opd0_h_str", "opd0_w_str", "opd0_str", "opd1_h_str", "opd1_w_str", "opd1_str",
    "opd1_prec", "opd1_addr",
)  # fmt: skip


def _result(f: Fields) -> tuple[int, int, int, int]:
    return f["res0_n"], f["res0_c"], f["res0_h"], f["res0_w"]


def _sizes(f: Fields, side: str) -> tuple[int, int, int, int]:
    n, c, h, w = (f[f"{side}_{axis}size"] for axis in "nchw")
    return n, c, h, w


def _strides(f: Fields) -> list[int]:
    return [f[f"{side}_{axis}stride"] for axis in "whcn" for side in ("src", "dst")]


def _ends(f: Fields) -> tuple[ctypes.c_uint64, ctypes.c_uint64, int]:
    """Addresses of source and destination, and the direction: 0 load, 1 store, 2 global, 3 local."""
    src, dst = (f[f"{side}_start_addr_h8"] << 32 | f[f"{side}_start_addr_l32"] for side in ("src", "dst"))
    from_local, to_local = _is_local(src), _is_local(dst)
    direction = (3 if to_local else 1) if from_local else (0 if to_local else 2)
    return ctypes.c_uint64(src), ctypes.c_uint64(dst), direction
