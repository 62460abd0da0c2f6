"""What is kept between runs: digests, outcomes, journals."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from regress import models
from tpumlir.regress.contents import Digests, compiler, differing
from tpumlir.regress.execute import Result
from tpumlir.regress.junit import junit
from tpumlir.regress.store import Store
from tpumlir.regress.suite import Case
from tpumlir.regress.verdict import judge


def old(path: Path) -> Path:
    """The file as if it had been written a while ago: its times tell a later change."""
    past = time.time_ns() - 10**11
    os.utime(path, ns=(past, past))
    return path


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tpumlir.regress.contents._FRESH", -1.0)  # its ctime is now, whatever utime says
    path, kept = old(models.write(tmp_path / "a.onnx")), tmp_path / "digests.json"
    first = Digests(kept)
    digest = first.of(path)
    assert first.external(path) == []
    first.save()
    again = Digests(kept)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("the file was read"))
    assert again.of(path) == digest
    assert again.external(path) == []


def test_a_file_that_changed_is_read(tmp_path: Path) -> None:
    path, kept = tmp_path / "a", tmp_path / "digests.json"
    path.write_bytes(b"first")
    digests = Digests(kept)
    before = digests.of(path)
    digests.save()
    # Another content of the same size at once: the clock of the file system may not have moved.
    path.write_bytes(b"other")
    assert Digests(kept).of(path) != before
    path.write_bytes(b"first")
    assert Digests(kept).of(path) == before
    kept.write_text("not JSON")
    assert Digests(kept).of(path) == before


def test_external_files(tmp_path: Path) -> None:
    path = models.write_external(tmp_path / "a.onnx", 1.0)
    assert Digests().external(path) == ["a.data"]
    (tmp_path / "broken.onnx").write_bytes(b"location is a word in this file")
    assert Digests().external(tmp_path / "broken.onnx") == []


def test_the_compiler_is_the_package_and_what_it_computes_with() -> None:
    found = compiler()
    assert len(found["build"]) == 32
    assert found["numpy"]
    assert differing(found, found) == []
    assert differing({"a": "1", "b": "2"}, {"a": "3"}) == ["a 3 instead of 1", "b none instead of 2"]


def result(cycles: int = 1, status: str = "passed") -> Result:
    return Result({"status": status, "cycles": cycles}, {"wall": [0.5], "cpu": [0.25]})


def test_outcomes_are_kept_with_the_times_of_all_runs(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    assert store.cached("ab12") is None
    assert store.keep("ab12", result()) == ""
    assert store.keep("ab12", result()) == ""
    kept = store.cached("ab12", 2)
    assert kept
    assert kept.samples == {"wall": [0.5, 0.5], "cpu": [0.25, 0.25]}
    assert store.cached("ab12", 3) is None
    assert store.keep("ab12", result(cycles=2)) == "cycles 1 then 2"
    for _ in range(20):
        store.keep("ab12", result(cycles=2))
    kept = store.cached("ab12")
    assert kept
    assert len(kept.samples["wall"]) == 9
    for status in ("crashed", "timeout", "error"):
        store.keep(f"cd{status}", result(status=status))
        assert store.cached(f"cd{status}") is None
    (tmp_path / "results/cache/ab/ab12.json").write_text('{"outcome":')  # torn by another program
    assert store.cached("ab12") is None


def test_a_run_that_was_killed_is_resumed_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    run = store.begin("s", {})
    run.record("k1", "a:F32", result())
    run.record("k2", "b:F32", result(status="crashed"))
    run.journal.write('{"key": "k3", "outco')
    run.journal.flush()

    def resumed(suite: str) -> tuple[bool, list[str]]:
        again = store.begin(suite, {}, resume=True)
        again.close()
        if not again.resumed:
            shutil.rmtree(again.folder)
        return again.resumed, sorted(again.done)

    assert resumed("s") == (False, [])  # it goes on, in this process
    run.close()
    assert resumed("other") == (False, [])
    assert resumed("s") == (True, ["k1", "k2"])
    again = store.begin("s", {}, resume=True)
    again.record("k3", "c:F32", result())  # not behind the torn line
    again.close()
    again = store.begin("s", {}, resume=True)
    assert sorted(again.done) == ["k1", "k2", "k3"]
    store.finish(again, {"cases": []}, {"cases": {}}, {"suite": "s"})
    assert resumed("s") == (False, [])


def test_the_history_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tpumlir.regress.store._KEPT", 3)
    store = Store(tmp_path / "results")
    for number in range(5):
        run = store.begin("s", {})
        store.finish(run, {"cases": []}, {"cases": {}}, {"suite": "s", "number": number})
    assert [past.summary["number"] for past in store.history("s")] == [2, 3, 4]
    assert store.history("other") == []


def test_junit_holds_any_name() -> None:
    name = 'a<b>&"\x00\x1b[0m\ud800'
    row = judge(
        Case(name, "F32", "bm1684x", Path("m")), "c", Result({"status": "error", "message": "\x07 bell"}, {})
    )
    text = junit(name, [row]).decode()
    assert "a&lt;b&gt;&amp;&quot;" in text
    assert "\x07" not in text
