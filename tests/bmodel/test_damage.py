"""Damaged files: one clear error with a place, whatever the damage; never a crash or a wrong answer."""

from __future__ import annotations

import copy
import random
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmodel import program
from tpumlir import bmodel
from tpumlir.bmodel import container, flat
from tpumlir.bmodel.debug import debug_path
from tpumlir.bmodel.notes import read_notes
from tpumlir.errors import BModelError


@pytest.fixture
def add_model(tmp_path: Path) -> Path:
    """A bmodel of the small program, with its debug info."""
    return program.write_model(tmp_path / "add.bmodel")


def assert_refused(path: Path, data: bytes) -> BModelError:
    path.write_bytes(data)
    with pytest.raises(BModelError) as caught:
        bmodel.read(path)
    for line in str(caught.value).splitlines():
        assert line.startswith(str(path)), line
        assert "expected" in line
    return caught.value


def test_every_truncation_is_found(add_model: Path) -> None:
    data = add_model.read_bytes()
    # All of the header, then places through the whole file.
    for size in [*range(70), *range(70, len(data), 997), len(data) - 1]:
        error = assert_refused(add_model, data[:size])
        assert error.offset is not None


def test_added_bytes_are_found(add_model: Path) -> None:
    error = assert_refused(add_model, add_model.read_bytes() + b"\0")
    assert "bytes were added" in str(error)


def test_every_flipped_bit_is_found(add_model: Path) -> None:
    data = bytearray(add_model.read_bytes())
    tables_end = container.HEADER_BYTES + struct.unpack_from("<I", data, 8)[0]
    rng = random.Random(3)
    places = [(byte, bit) for byte in range(container.HEADER_BYTES) for bit in range(8)]
    places += [(rng.randrange(64, tables_end), rng.randrange(8)) for _ in range(300)]
    places += [(rng.randrange(tables_end, len(data)), rng.randrange(8)) for _ in range(300)]
    for byte, bit in places:
        data[byte] ^= 1 << bit
        assert_refused(add_model, bytes(data))
        data[byte] ^= 1 << bit


@pytest.mark.parametrize(
    "commands",
    [
        "[" * 200_000,
        '[[1e400,"tiu",1,1,0]]',
        "[" + ",".join(['[0,"tiu",0,1048575,0]'] * 15) + "]",
        '[[0,"tiu",0,1048575,0]]',
        '[[0,"tiu",1,1]]',
        '[[0,"tiu",1,1,7]]',
        '[[0,"tiu",-1,1,0]]',
    ],
    ids=["nested", "infinite", "fifteen_million", "a_million", "short", "no_source", "below_0"],
)
def test_damaged_debug_info_is_none(add_model: Path, commands: str) -> None:
    digest = container.read_container(add_model).digest.hex()
    text = f'{{"bmodel_sha256":"{digest}","sources":[["op","node"]],"commands":{commands}}}'
    debug_path(add_model).write_text(text)
    tracemalloc.start()
    try:
        assert len(bmodel.read(add_model).debug) == 0
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def test_every_flipped_bit_of_notes_is_found(tmp_path: Path) -> None:
    path = tmp_path / "noted.bmodel"
    bmodel.write(path, program.noted_spec())
    data = bytearray(path.read_bytes())
    notes = container.read_container(path).notes
    start = data.index(notes)
    for byte in [*range(container.HEADER_BYTES), *range(start, start + len(notes))]:
        for bit in range(8):
            data[byte] ^= 1 << bit
            assert_refused(path, bytes(data))
            data[byte] ^= 1 << bit


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        (b"hello", "expected notes on the inputs"),
        (b"[]", "expected notes on the inputs"),
        (b"[" * 200_000, "expected notes on the inputs"),
        (b'{"format":"tpumlir bmodel inputs","version":1,"inputs":[]}', "expected notes on the inputs"),
        (
            b'{"format":"tpumlir bmodel inputs","version":1,"inputs":{},"others":[]}',
            "expected notes on the inputs",
        ),
        (b'{"format":"tpumlir bmodel inputs","version":3}', "of version 1 or 2, got 3"),
        (b'{"format":"tpumlir bmodel inputs","version":2}', "expected notes on the inputs"),
        (
            b'{"format":"tpumlir bmodel inputs","version":2,"stages":[{},{}]}',
            "expected notes on the inputs of 1 stages, got 2",
        ),
    ],
)
def test_notes_of_another_kind_are_refused(notes: bytes, message: str) -> None:
    with pytest.raises(BModelError, match=message) as caught:
        read_notes("a.bmodel", notes, 1)
    assert str(caught.value).startswith("a.bmodel: ")


def without_digest(data: bytes) -> bytearray:
    """The file as the vendor's tool would have written it: damage gets past the digest."""
    plain = bytearray(data)
    plain[20:64] = bytes(44)
    return plain


def test_a_file_without_digest_is_read(add_model: Path) -> None:
    add_model.write_bytes(without_digest(add_model.read_bytes()))
    assert not bmodel.read(add_model).has_digest


def test_damaged_tables_without_digest_never_crash(add_model: Path) -> None:
    data = without_digest(add_model.read_bytes())
    tables_end = 64 + struct.unpack_from("<I", data, 8)[0]
    used = len(bytes(data[64:tables_end]).rstrip(b"\0"))
    rng = random.Random(4)
    refused = 0
    for _ in range(1000):
        broken = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 4))):
            broken[64 + rng.randrange(used)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        add_model.write_bytes(broken)
        try:
            bmodel.read(add_model)
        except BModelError:
            refused += 1
    assert refused > 300


def test_damaged_weights_without_digest_are_found(add_model: Path) -> None:
    data = without_digest(add_model.read_bytes())
    blob = container.read_container(add_model).blob_offset
    data[blob + 100] ^= 1
    error = assert_refused(add_model, bytes(data))
    assert "the weights that the check code is of" in str(error)
    assert error.offset == blob


def test_damaged_commands_without_digest_are_illegal_or_harmless(add_model: Path) -> None:
    data = without_digest(add_model.read_bytes())
    blob = container.read_container(add_model).blob_offset
    rng = random.Random(5)
    refused = 0
    for _ in range(200):
        broken = bytearray(data)
        broken[rng.randrange(blob + 4096, len(broken) - 1)] ^= 1 << rng.randrange(8)
        add_model.write_bytes(broken)
        try:
            bmodel.read(add_model)
        except BModelError:
            refused += 1
    assert refused > 0


@pytest.mark.parametrize("size", [0, 1, 4, 5, 8, 40, 400])
def test_random_tables_never_crash(size: int) -> None:
    rng = random.Random(size)
    for _ in range(500):
        with pytest.raises(BModelError):
            flat.decode("Model", rng.randbytes(size))


def test_a_vector_that_claims_to_be_huge_costs_nothing() -> None:
    table = flat.encode("Shape", {"dim": [1, 2, 3]})
    at = table.index(struct.pack("<IQ", 3, 1))
    with pytest.raises(
        BModelError, match=r"expected a vector inside the table section, got one of 4294967295"
    ):
        flat.decode("Shape", table[:at] + b"\xff\xff\xff\xff" + table[at + 4 :])


def test_tables_that_share_parts_without_end_are_refused() -> None:
    # 2000 subnets that are all one table with a large vector: small in the file, large in memory.
    shared = {"id": 0, "next_subnet_ids": list(range(2000))}
    parameter = {"input_tensor": [], "output_tensor": [], "sub_net": [shared, {"id": 1}] + [{"id": 2}] * 1998}
    data = bytearray(flat.encode("NetParameter", parameter))
    reader = flat.decode("NetParameter", bytes(data))
    assert len(reader["sub_net"]) == 2000
    count = data.index(struct.pack("<I", 2000) + b"", 0)
    places = [i for i in range(count, len(data) - 4, 4) if struct.unpack_from("<I", data, i)[0] == 2000]
    vector = next(i for i in places if len(_targets(data, i)) == 2000)
    target = _targets(data, vector)[0]
    for i in range(2000):
        struct.pack_into("<I", data, vector + 4 + 4 * i, target - (vector + 4 + 4 * i))
    with pytest.raises(BModelError, match="expected tables no larger than their section"):
        flat.decode("NetParameter", bytes(data))


def _targets(data: bytearray, vector: int) -> list[int]:
    """Where the offsets of a vector of 2000 tables lead, if it is one."""
    places = range(vector + 4, vector + 4 + 8000, 4)
    if places[-1] + 4 > len(data):
        return []
    targets = [place + struct.unpack_from("<I", data, place)[0] for place in places]
    return targets if all(target < len(data) - 4 for target in targets) and len(set(targets)) > 1000 else []


UNSUPPORTED = {
    "not_a_bmodel": (0, b"\x7fELF", "expected a bmodel"),
    "header_size": (4, b"\x41", "expected a header of 64 bytes, got 65"),
    "reserved": (20, b"WHATEVER", "expected zeros or the mark of a digest"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_we_do_not_read_is_named(add_model: Path, name: str) -> None:
    offset, patch, message = UNSUPPORTED[name]
    data = bytearray(add_model.read_bytes())
    data[offset : offset + len(patch)] = patch
    error = assert_refused(add_model, bytes(data))
    assert message in str(error)
    assert error.offset == offset


Change = Callable[[dict[str, Any]], object]


def _other(net: dict[str, Any], called: str, **changes: Any) -> dict[str, Any]:
    """A network like ``net`` with another name, and other things in its only stage."""
    other = copy.deepcopy(net)
    stage = {**other["parameter"][0]}
    other |= {"name": called, "parameter": [stage]}
    for tensor in stage["input_tensor"]:
        tensor["name"] = changes.get("name", tensor["name"])
        tensor["shape"] = [{"dim": changes.get("shape", tensor["shape"][0]["dim"])}]
    if "coeff" in changes:
        stage["coeff_mem"]["binary_coeff"] = changes["coeff"]
    return other


REFUSED_TABLES: dict[str, tuple[Change, str]] = {
    "no_nets": (lambda m: m["net"].clear(), "at least one network, got none"),
    "no_shapes": (
        lambda m: m["net"][0]["parameter"].clear(),
        "network add: expected at least one shape, got",
    ),
    "one_shape_twice": (
        lambda m: m["net"][0]["parameter"].append(m["net"][0]["parameter"][0]),
        r"network add: expected stages of different shapes, got x \[1, 70, 6, 6\] twice",
    ),
    "one_name_twice": (
        lambda m: m["net"].extend([_other(m["net"][0], "between"), _other(m["net"][0], "add", shape=[70])]),
        "expected networks of different names, got add, between",
    ),
    "stages_of_two_models": (
        lambda m: m["net"][0]["parameter"].append(_other(m["net"][0], "", name="z")["parameter"][0]),
        "network add: expected stages of equal inputs, got x f32 and z f32",
    ),
    "weights_that_overlap": (
        lambda m: m["net"].append(_other(m["net"][0], "b", coeff=(4, 276))),
        r"weights of stages that are the same bytes or apart, got 4\.\.280 and 0\.\.280",
    ),
    "dynamic": (lambda m: m["net"][0]["parameter"][0].update(is_dynamic=1), "static network, got a dynamic"),
    "cores": (lambda m: m["net"][0]["parameter"][0].update(core_num=2), "a program for 1 core, got 2"),
    "address_mode": (lambda m: m["net"][0].update(addr_mode=1), r"address mode 0 \(basic\), got 1"),
    "encrypted": (
        lambda m: m["net"][0]["parameter"][0]["coeff_mem"].update(encrypt_mode=1),
        "weights that are not encrypted, got mode 1",
    ),
    "cpu_subnet": (
        lambda m: m["net"][0]["parameter"][0]["sub_net"][0].update(subnet_mode=1),
        "one subnet that runs on the device",
    ),
    "data_type": (
        lambda m: m["net"][0]["parameter"][0]["input_tensor"][0].update(data_type=77),
        "x: expected an element type code below 11, got 77",
    ),
    "range_outside": (
        lambda m: m["net"][0]["parameter"][0]["cmd_group"][0].update(binary_bdc=(1 << 40, 128)),
        "tiu commands: expected a byte range inside the blob",
    ),
}


@pytest.mark.parametrize("name", REFUSED_TABLES)
def test_tables_that_we_do_not_run_are_named(add_model: Path, name: str) -> None:
    change, message = REFUSED_TABLES[name]
    file = container.read_container(add_model)
    change(file.model)
    blob = container.Blob()
    blob.add(bytes(file.blob))
    container.write_container(add_model, file.model, blob)
    with pytest.raises(BModelError, match=message):
        bmodel.read(add_model)


def test_a_failed_write_leaves_the_old_file(add_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = add_model.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(add_model))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        bmodel.write(add_model, program.spec(name="other"))
    assert add_model.read_bytes() == before
    assert sorted(p.name for p in add_model.parent.iterdir()) == ["add.bmodel", "add.bmodel.json"]
