"""What a suite says, and how it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from regress import models
from tpumlir.errors import ParseError
from tpumlir.regress.suite import Case, read_suite


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "deep/c"):
        models.write(tmp_path / f"{name}.onnx")
    return tmp_path


def cases(path: Path, *quantize: str) -> dict[str, Case]:
    return {case.id: case for case in read_suite(path, quantize).cases}


def test_a_folder(folder: Path) -> None:
    found = cases(folder)
    assert list(found) == [
        f"{name}:{mode}" for name in ("a", "b", "deep/c") for mode in ("BF16", "F16", "F32")
    ]
    assert found["deep/c:F16"].files == {"input": (str(folder / "deep/c.npz"),)}
    (folder / "b.npz").unlink()
    (folder / "b.calib").write_text("x 1.0 -1.0 1.0\n")
    found = cases(folder)
    assert found["b:F32"].files == {}
    assert found["b:INT8"].files == {"calibration_table": (str(folder / "b.calib"),)}
    assert {"a:INT8", "deep/c:INT8"}.isdisjoint(found)
    assert list(cases(folder, "INT8")) == ["b:INT8"]
    assert list(cases(folder, "F16")) == ["a:F16", "b:F16", "deep/c:F16"]


def test_later_entries_and_precisions_go_on_top(folder: Path) -> None:
    path = models.suite(
        folder,
        """
        [defaults]
        quantize = ["F32", "f16"]
        tolerance = [0.9, 0.8]
        [defaults.F16]
        auto_mixed = true
        [[model]]
        path = "**/*.onnx"
        timeout = 5
        [[model]]
        path = ["b.onnx", "deep/c.onnx"]
        opt = 0
        input_shapes = [[1, 4, 8]]
        element_tolerance = 0.5
        [model.F16]
        expect = "refused"
        max_cycles = 7
        [[model]]
        path = "b.onnx"
        quantize = "BF16"
        input = "x=a.npz"
        [model.F16]
        expect = "fail"
        """,
    )
    found = cases(path)
    assert list(found) == ["a:F16", "a:F32", "b:BF16", "deep/c:F16", "deep/c:F32"]
    assert found["a:F16"].options == {"auto_mixed": True, "tolerance": "0.9,0.8"}
    assert found["a:F32"].options == {"tolerance": "0.9,0.8"}
    assert found["deep/c:F32"].options == {
        "input_shapes": [[1, 4, 8]], "opt": 0, "tolerance": "0.9,0.8", "element_tolerance": "0.5",
    }  # fmt: skip
    assert found["deep/c:F16"].expected == {"expect": "refused", "max_cycles": 7}
    assert found["b:BF16"].expected == {}
    assert found["b:BF16"].files == {"input": (f"x={folder / 'a.npz'}",)}
    assert {case.timeout for case in found.values()} == {5.0}
    assert cases(path, "F16")["b:F16"].expected["expect"] == "fail"


def test_filters(folder: Path) -> None:
    suite = read_suite(folder)
    assert [case.id for case in suite.filtered(["b:"])] == ["b:BF16", "b:F16", "b:F32"]
    assert [case.id for case in suite.filtered(["*/?:F16", "a:BF"])] == ["a:BF16", "deep/c:F16"]
    with pytest.raises(ParseError, match=r"expected cases like nothing, found none"):
        suite.filtered(["nothing"])


A = '[[model]]\npath = "a.onnx"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (A + 'quantise = "F16"\n', "suite.toml:3: quantise is not a key of .model., did you mean quantize"),
        ('[defaults]\n\n[[model]]\npath = "a.onnx"\n[model.F16]\nexpct = "pass"\n',
         "suite.toml:6: expct is not a key .*did you mean expect"),
        (A + '[[model]]\npath = "b.onnx"\nexpect = "refuse"\n',
         "suite.toml:5: expect: .*got refuse, did you mean refused"),
        ('[[modle]]\npath = "a.onnx"\n', "suite.toml:1: modle is not a table, did you mean model"),
        ('[[model]]\npath = "z*.onnx"\n', r"suite.toml:2: path: z\*.onnx: no such file"),
        ('[[model]]\npath = "z.onnx"\n', "suite.toml:2: path: z.onnx: no such file"),
        ('[[model]]\nquantize = "F16"\n', "suite.toml:1: expected path"),
        ("[suite]\nname = 'x'\n", "expected models: "),
        (A + 'quantize = ["F32", "F17"]\n', "suite.toml:3: quantize: .*got F17, did you mean F1"),
        (A + 'chip = "bm1690"\n', "suite.toml:3: chip: expected bm1684x, got bm1690"),
        (A + 'input = "gone.npz"\n', "suite.toml:3: input: .*gone.npz: no such file"),
        (A + 'tolerance = "x"\n', "suite.toml:3: tolerance: expected cosine,euclid"),
        (A + 'min_similarity = 1.5\n', "suite.toml:3: min_similarity: expected a cosine"),
        (A + 'input_shapes = "1,2"\nmax_cycles = -1\n',
         "suite.toml:4: max_cycles: expected a whole number from 0 on, got -1"),
        (A + 'input_shapes = [["n"]]\n', "suite.toml:3: input_shapes: expected shapes"),
        (A + 'opt = 4\n', "suite.toml:3: opt: expected a whole number from 0 to 3"),
        (A + 'auto_mixed = 1\n', "suite.toml:3: auto_mixed: expected true or false"),
        (A + 'timeout = 0\n', "suite.toml:3: timeout: expected a number above 0"),
        (A + 'excepts = 3\n', "suite.toml:3: excepts: expected a text"),
        ('[suite]\nplugin = "no.py"\n[[model]]\npath = "a.onnx"\n', "suite.toml:2: plugin: .*no such file"),
        ('[thresholds]\ncycle = 0.1\n[[model]]\npath = "a.onnx"\n',
         "suite.toml:2: cycle is not a key .*did you mean cycles"),
        ('[thresholds]\ncycles = "much"\n[[model]]\npath = "a.onnx"\n',
         'suite.toml:2: cycles: expected a part such as 0.05 or "5%"'),
        ("defaults = 3\n[[model]]\npath = 'a.onnx'\n", "expected a table, got 3"),
        ("[[model]]\npath = 'a.onnx'\nF16 = 3\n", "expected a table, got 3"),
        ("[[model]]\npath = a.onnx\n", r"suite.toml: .*line 2"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(folder: Path, text: str, message: str) -> None:
    (folder / "suite.toml").write_text(text)
    with pytest.raises(ParseError, match=message):
        read_suite(folder / "suite.toml")


def test_what_is_no_suite(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "model.onnx").write_bytes(b"")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    for name, message in (
        ("empty", "expected models NAME.onnx, found none"),
        ("gone", "no such file or folder"),
        ("model.onnx", "expected a suite: a folder"),
        ("latin.toml", "expected TOML in UTF-8"),
    ):
        with pytest.raises(ParseError, match=message):
            read_suite(tmp_path / name)


def test_two_models_of_one_name(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = models.write(tmp_path_factory.mktemp("other") / "a.onnx")
    path = models.suite(folder, f'[[model]]\npath = ["a.onnx", "{other}"]\n')
    with pytest.raises(ParseError, match="have the same name a"):
        read_suite(path)
