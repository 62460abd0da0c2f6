"""The two engines: order by dependencies, deadlocks, missing ends, races, threads."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from cmodel import chip
from tpumlir._core import isa
from tpumlir.errors import DeviceFault

X, Y = chip.DDR, chip.DDR + 4096


def load_add_store(*, wait_for_load: int = 1, wait_for_add: int = 1) -> tuple[bytes, bytes]:
    """x from DDR, doubled in lane 0, to y."""
    return chip.group(
        [chip.add(0, dep=wait_for_load)],
        [chip.gdma_copy(X, chip.LMEM, 16), chip.gdma_copy(chip.LMEM, Y, 16, cmd_id=2, dep=wait_for_add)],
    )


def test_dependencies_order_the_engines() -> None:
    m = chip.machine()
    x = np.arange(16, dtype=np.float32)
    m.write(X, x)
    assert m.run([load_add_store()], detect_races=True) == (2, 3)
    np.testing.assert_array_equal(np.frombuffer(m.read(Y, 64), np.float32), 2 * x)


def test_groups_run_one_after_another() -> None:
    m = chip.machine()
    x = np.arange(16, dtype=np.float32)
    m.write(X, x)
    again = chip.group([], [chip.gdma_copy(Y, X, 16)])
    m.run([load_add_store(), again, load_add_store()], detect_races=True)
    np.testing.assert_array_equal(np.frombuffer(m.read(Y, 64), np.float32), 4 * x)


def test_dependency_that_never_comes_is_a_fault() -> None:
    with pytest.raises(DeviceFault, match="expected the gdma engine to finish command 9") as caught:
        chip.machine().run([load_add_store(wait_for_load=9)])
    assert (caught.value.engine, caught.value.command) == ("tiu", 1)


def test_engines_that_wait_for_each_other_are_a_fault() -> None:
    group = chip.group([chip.add(0, dep=1)], [chip.gdma_copy(X, chip.LMEM, 16, dep=1)])
    with pytest.raises(DeviceFault, match="which waits for tiu command 1"):
        chip.machine().run([group])


@pytest.mark.parametrize("engine", ["tiu", "gdma"])
def test_stream_without_end_is_a_fault(engine: str) -> None:
    tiu, gdma = load_add_store()
    group = (tiu[:64], gdma) if engine == "tiu" else (tiu, gdma[: 2 * 96])
    with pytest.raises(DeviceFault, match="as its last command") as caught:
        chip.machine().run([group])
    assert caught.value.engine == engine


def test_ids_must_grow() -> None:
    group = (chip.add(0, cmd_id=2) + chip.add(0, cmd_id=2) + chip.tiu_end(3), chip.gdma_end(1))
    with pytest.raises(DeviceFault, match="expected a cmd_id above 2, got 2"):
        chip.machine().run([group])


RACES = [
    ("use before load", {"wait_for_load": 0}, "writes bytes [134217728, 134217792) that tiu command 1"),
    ("store before add", {"wait_for_add": 0}, "reads bytes [134217728, 134217792) that tiu command 1"),
]


@pytest.mark.parametrize(("waits", "text"), [row[1:] for row in RACES], ids=[row[0] for row in RACES])
def test_missing_dependency_is_a_race(waits: dict[str, int], text: str) -> None:
    group = load_add_store(**waits)
    with pytest.raises(DeviceFault, match="race") as caught:
        chip.machine().run([group], detect_races=True)
    assert text in str(caught.value)
    assert caught.value.address == chip.LMEM
    chip.machine().run([group])  # without the detector it runs, in some order


def test_dependency_that_is_not_enabled_does_not_order() -> None:
    tiu, _ = load_add_store()
    gdma = chip.gdma_copy(X, chip.LMEM, 16) + chip.gdma_copy(chip.LMEM, Y, 16, cmd_id=2, dep=1, enable=2)
    with pytest.raises(DeviceFault, match="race"):
        chip.machine().run([(tiu, gdma + chip.gdma_end(3))], detect_races=True)


def test_neighbouring_bytes_do_not_race() -> None:
    # The load fills the bytes right behind those that the addition touches.
    group = chip.group([chip.add(0)], [chip.gdma_copy(X, chip.LMEM + 64, 16)])
    chip.machine().run([group], detect_races=True)
    touching = chip.group([chip.add(0)], [chip.gdma_copy(X, chip.LMEM + 60, 16)])
    with pytest.raises(DeviceFault, match=r"bytes \[134217788, 134217792\)"):
        chip.machine().run([touching], detect_races=True)


def test_two_readers_do_not_race() -> None:
    group = chip.group([chip.add(0, result=0x1000)], [chip.gdma_copy(chip.LMEM, Y, 16)])
    chip.machine().run([group], detect_races=True)


def test_interleaved_columns_do_not_race() -> None:
    # One engine owns the even words, the other the odd ones.
    command = chip.tiu(
        "sAR", tsk_eu_typ=19, tsk_opd_num=1, res0_prec=2, opd0_prec=2, opd0_const=1, res0_str=3, res0_w_str=2,
        res0_h_str=32, **chip.shape_fields("res0", (1, 1, 1, 16)),
    )  # fmt: skip
    odd = isa.encode(
        "DMA_tensor",
        {
            "cmd_id": 1, "src_data_format": 2, "stride_enable": 1, "nchw_copy": 1, "fill_constant_en": 1,
            "constant_value": 7, "dst_start_addr_l32": chip.LMEM + 4, "dst_wstride": 2, "src_nsize": 1,
            "src_csize": 1, "src_hsize": 1, "src_wsize": 16, **chip.ALL_LANES,
        },
    )  # fmt: skip
    m = chip.machine()
    m.run([chip.group([command], [odd])], detect_races=True)
    assert m.lmem(0)[:128].view(np.uint32).tolist() == [0, 7] * 16


def test_labels_name_the_operation_in_a_fault() -> None:
    group = chip.group([chip.add(chip.LANE_BYTES - 4)], [])
    names = {(0, "tiu", 1): "tpu.Add @ Add_12"}
    with pytest.raises(DeviceFault, match=r"^tpu\.Add @ Add_12: tiu command 1 \(arith\.add\): opd0: "):
        chip.machine().run([group], labels=lambda *key: names.get(key))


def _digest(threads: int) -> bytes:
    rng = np.random.default_rng(5)
    m = chip.machine()
    chip.put(m, 0, rng.standard_normal((1, 33, 30, 31)).astype(np.float32))
    chip.put(m, 0x10000, rng.standard_normal((1, 65, 1, 33 * 9)).astype(np.float32), aligned=False)
    conv = chip.tiu(
        "sCONV", opd0_prec=2, res0_prec=2, opd0_c=33, opd0_h=30, opd0_w=31, opd1_h=3, opd1_w=3,
        res_op_x_str=1, res_op_y_str=1, opd2_const=1, opd3_const=1, opd1_addr=0x10000, res0_addr=0x20000,
        **chip.shape_fields("res0", (1, 65, 28, 29)),
    )  # fmt: skip
    m.run([chip.group([conv], [])], threads=threads)
    return chip.get(m, 0x20000, (1, 65, 28, 29), "f4").tobytes()


def test_threads_do_not_change_the_result() -> None:
    assert _digest(1) == _digest(2) == _digest(5)


def test_vector_units_do_not_change_the_result() -> None:
    # The set is chosen once per process.
    code = "import hashlib, cmodel.test_engines as t; print(hashlib.sha256(t._digest(2)).hexdigest())"
    found = set()
    for name in ("sse2", "avx2", "avx512"):
        path = os.pathsep.join([*sys.path])
        env = {**os.environ, "TPUMLIR_CMODEL_SIMD": name, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        found.add(done.stdout)
    assert len(found) == 1
