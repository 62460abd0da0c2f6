"""The session of docs/debugger.md is what a terminal shows now."""

from __future__ import annotations

from pathlib import Path

import pytest

from debugger import recording
from tpumlir.debugger.commands import ENTRIES, find

pytest.importorskip("pexpect", reason="needs pexpect")
pytest.importorskip("pyte", reason="needs pyte")


@pytest.mark.corpus
def test_the_recorded_session_is_of_today(corpus: Path, tmp_path: Path) -> None:
    recording.build(corpus, tmp_path)
    shown = recording.record(tmp_path)
    assert recording.without_digits(shown) == recording.without_digits(recording.recorded())


def test_the_page_has_the_session_and_every_command() -> None:
    lines = recording.recorded()
    typed = [line.removeprefix("(tpu) ") for line in lines if line.startswith("(tpu) ")]
    assert typed == list(recording.COMMANDS)
    assert any(find(line.split()[0]).name == "back" for line in typed)
    page = recording.PAGE.read_text(encoding="utf-8")
    assert [
        entry.name for entry in ENTRIES if f"`{entry.usage.split()[0].partition('[')[0]}" not in page
    ] == []
