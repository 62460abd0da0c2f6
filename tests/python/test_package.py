"""The package as its users see it: cheap to import, its names where they are, its keywords all heard."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

import tpumlir
from tpumlir.cli import main as tpumlir_main
from tpumlir.cli.common import Command
from tpumlir.onnx.options import ImportOptions
from tpumlir.road import compile as road
from tpumlir.road.options import DeployOptions, JudgeOptions


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has after ``code``."""
    show = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_importing_the_package_loads_nothing_of_it() -> None:
    loaded = loaded_by("import tpumlir")
    assert {name for name in loaded if name.startswith("tpumlir")} == {"tpumlir", "tpumlir._libs"}
    assert loaded.isdisjoint({"numpy", "onnx", "onnxruntime", "rich"})


@pytest.mark.parametrize(
    "command", ["compile", "check", "model_transform", "model_deploy", "model_runner", "mlir_cut", "ranges"]
)
def test_the_command_line_is_read_without_the_compiler(command: str) -> None:
    loaded = loaded_by(f"from tpumlir.cli import {command} as c; c.build_parser()")
    assert loaded.isdisjoint({"numpy", "onnx", "onnxruntime", "tpumlir._core"})


@pytest.mark.parametrize("name", [*tpumlir.__all__, "cut", "qtable"])
def test_every_name_is_there(name: str) -> None:
    assert getattr(tpumlir, name) is not None


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'quantise'"):
        _ = tpumlir.quantise


# Keywords that are no options, or that have another name as such.
_OTHER = {"step", "reference", "not_inference"}
API: list[tuple[Callable[..., Any], str, tuple[type, ...]]] = [
    (road.transform, "transform_model", (ImportOptions, JudgeOptions)),
    (road.deploy, "deploy_module", (DeployOptions, JudgeOptions)),
    (road.compile_onnx, "compile_model", (ImportOptions, DeployOptions, JudgeOptions)),
]


@pytest.mark.parametrize(("function", "inner", "options"), API, ids=[row[1] for row in API])
def test_every_keyword_reaches_its_option(
    monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], inner: str, options: tuple[type, ...]
) -> None:
    heard: list[Any] = []
    others: dict[str, Any] = {}

    def hear(_source: Any, *given: Any, **more: Any) -> None:
        heard.extend(given)
        others.update(more)

    monkeypatch.setattr(road, inner, hear)
    keywords = [name for name in inspect.signature(function).parameters if name not in _OTHER][1:]
    values = {name: object() for name in keywords}
    function("source", **values)
    assert [type(part) for part in heard] == list(options)
    got = others | {item.name: getattr(part, item.name) for part in heard for item in fields(part)}
    assert {name: got[name] for name in keywords} == values


@pytest.mark.parametrize(("function", "inner", "options"), API, ids=[row[1] for row in API])
def test_the_keywords_have_the_defaults_of_the_options(
    function: Callable[..., Any], inner: str, options: tuple[type, ...]
) -> None:
    defaults = {item.name: item.default for kind in options for item in fields(kind)}
    parameters = inspect.signature(function).parameters
    assert [
        name for name in parameters if name in defaults and parameters[name].default != defaults[name]
    ] == [], inner


COMMANDS = sorted({name for name, _ in tpumlir_main.COMMANDS.values()})


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_one_main(name: str) -> None:
    module = __import__(f"tpumlir.cli.{name}", fromlist=[name])
    assert isinstance(module.main, Command)


def test_a_command_that_fails_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["model_tool", "--info", "no.bmodel", "--json"], ["check", "no.onnx", "--json"]):
        assert tpumlir_main.main(argv) == 1
        out, err = capsys.readouterr()
        document = json.loads(out)
        assert not document["passed"]
        assert document["problems"][0]["message"] in err
        assert len(err.splitlines()) == 1


def test_a_traceback_is_shown_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    assert tpumlir_main.main(["model_tool", "--info", "no.bmodel", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err
    assert tpumlir_main.main(["bmodel_dis", "no.bmodel"]) == 1
    assert "Traceback" not in capsys.readouterr().err
