"""bmodel_dis and model_tool: what they print, and their exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bmodel import program
from tpumlir import bmodel
from tpumlir.cli import bmodel_dis, model_tool


@pytest.fixture
def add_model(tmp_path: Path) -> Path:
    return program.write_model(tmp_path / "add.bmodel")


def test_dis_prints_operations_with_their_nodes(add_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bmodel_dis.main([str(add_model)]) == 0
    out = capsys.readouterr().out
    assert out.startswith('module @"add" attributes {tpu.chip = "BM1684X"} {\n  func.func @group0_tiu() {\n')
    lines = [line.strip() for line in out.splitlines()]
    adds = [line for line in lines if line.startswith('"tiu.arith.add"()')]
    assert len(adds) == 1
    assert 'source = "tpu.Add"' in adds[0]
    assert adds[0].endswith('loc("Add_3")')
    assert "opd1_addr = 32768 : i64" in adds[0]
    assert sum(line.startswith('"gdma.dma.tensor"()') for line in lines) == 3
    # Every operation is one line of generic syntax; brackets close.
    assert out.count("{") == out.count("}")


def test_dis_reg_is_a_json_object_per_command(add_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bmodel_dis.main([str(add_model), "--format", "reg"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["op"] for row in rows] == ["arith.add", "sys.end", *["dma.tensor"] * 3, "dma.sys"]
    assert rows[0]["fields"]["res0_c"] == 70
    assert rows[0]["source"] == ["tpu.Add", "Add_3"]


def test_dis_bin_gives_the_bytes_back(add_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bmodel_dis.main([str(add_model), "--format", "bin"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    tiu = b"".join(bytes.fromhex(data) for engine, _, data in lines if engine == "tiu")
    assert tiu == program.group().tiu


def test_dis_bits_has_a_row_per_field(add_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bmodel_dis.main([str(add_model), "--format", "bits"]) == 0
    out = capsys.readouterr().out
    first = out.split("tiu 1 ")[0]
    bits = re.findall(r"\[ *\d+ \+ *\d+\] \S+ +([01]+) ", first)
    word = int("".join(reversed(bits)), 2)
    assert word.to_bytes(64, "little") == program.group().tiu[:64]


def test_dis_compares_two_files(add_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.bmodel"
    bmodel.write(other, program.spec(groups=(program.group(tsk_eu_typ=3),)), debug=program.DEBUG)
    assert bmodel_dis.main([str(add_model), str(add_model)]) == 0
    assert capsys.readouterr().out == ""
    assert bmodel_dis.main([str(add_model), str(other)]) == 1
    changed = [line for line in capsys.readouterr().out.splitlines() if re.match(r"[-+] ", line)]
    assert ["arith.add" in changed[0], "arith.sub" in changed[1], len(changed)] == [True, True, 2]


def test_dis_shows_an_illegal_file_and_says_so(
    add_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # What another compiler might have written.
    monkeypatch.setattr("tpumlir.bmodel.file.violations_of", lambda *_: [])
    bmodel.write(add_model, program.spec(groups=(program.group(res0_addr=0x4004),)), debug=program.DEBUG)
    monkeypatch.undo()
    assert bmodel_dis.main([str(add_model)]) == 1
    captured = capsys.readouterr()
    assert "arith.add" in captured.out
    assert "illegal: Add_3:" in captured.err
    assert "res0_addr: expected a multiple of 64, got 0x4004" in captured.err


def test_info_names_tensors_and_sizes(add_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert model_tool.main(["--info", str(add_model)]) == 0
    out = capsys.readouterr().out
    assert "chip:    BM1684X" in out
    assert f"input:       x 1x70x6x6 f32 at {program.X:#x}" in out
    assert f"output:      y 1x70x6x6 f32 at {program.Y:#x}" in out
    assert "weights:     280 bytes" in out
    assert "group 0: 2 TIU commands (128 bytes), 4 GDMA commands (384 bytes)" in out


def test_info_as_json(add_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert model_tool.main(["--info", str(add_model), "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["nets"][0]["stages"][0]["inputs"][0]["shape"] == [1, 70, 6, 6]
    assert len(info["digest"]) == 64


def test_chip_print_and_weight(add_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert model_tool.main(["--chip", str(add_model)]) == 0
    assert capsys.readouterr().out == "BM1684X\n"
    assert model_tool.main(["--print", str(add_model)]) == 0
    tables = json.loads(capsys.readouterr().out)
    assert tables["net"][0]["parameter"][0]["ctx_addr"] == program.CTX
    assert model_tool.main(["--weight", str(add_model)]) == 0
    assert capsys.readouterr().out == ""


def test_dump_writes_a_range_of_the_blob(add_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "w.bin"
    assert model_tool.main(["--dump", str(add_model), "0x4", "12", str(out)]) == 0
    assert out.read_bytes() == program.weights().tobytes()[4:16]


FAILURES = {
    "missing_file": (["--info", "no/such.bmodel"], "no/such.bmodel: No such file or directory"),
    "range_outside": (
        ["--dump", "FILE", "0", "1000000000", "x.bin"],
        "expected a byte range inside the blob",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_model_tool_fails_with_one_line(
    name: str, add_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, message = FAILURES[name]
    assert model_tool.main([str(add_model) if word == "FILE" else word for word in words]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("model_tool: error: ")
    assert message in lines[0]


def test_a_damaged_file_fails_with_one_line(add_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_model.write_bytes(add_model.read_bytes()[:500])
    for main, words in ((model_tool.main, ["--info"]), (bmodel_dis.main, [])):
        assert main([*words, str(add_model)]) == 1
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert "it is cut off" in lines[0]


REFUSED = [
    (model_tool.main, ["--update_weight", "a.bmodel"], "--update_weight is not supported yet"),
    (
        model_tool.main,
        ["--combine_coeff", "a", "-o", "b"],
        "--combine_coeff is not supported yet: use --combine",
    ),
    (model_tool.main, ["--encrypt", "-model", "a"], "--encrypt is not supported yet"),
    (model_tool.main, [], "one of the arguments --info"),
    (model_tool.main, ["--dump", "a", "x", "1", "o"], "expected numbers for START and BYTES"),
    (
        bmodel_dis.main,
        ["--format", "reg-set", "a"],
        "--format reg-set is not supported yet: use --format reg",
    ),
    (bmodel_dis.main, ["--less", "a"], "--less is not supported yet"),
    (bmodel_dis.main, ["a", "b", "c"], "expected one or two bmodels, got 3"),
    (bmodel_dis.main, ["--nonsense", "a"], "unknown flag --nonsense"),
]


@pytest.mark.parametrize(
    ("main", "words", "message"), REFUSED, ids=[" ".join(row[1]) or "nothing" for row in REFUSED]
)
def test_what_is_not_supported_is_refused_by_name(
    main: object, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(main)
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
