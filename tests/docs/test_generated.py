"""The generated pages are those that the code would write now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tpumlir.tools import gen_docs

DOCS = Path(__file__).parents[2] / "docs"


def test_committed_pages_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert gen_docs.main(["--check", "--docs", str(DOCS)]) == 0, capsys.readouterr().err


def test_a_stale_page_is_found_and_rewritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gen_docs.main(["--docs", str(tmp_path)]) == 0
    page = tmp_path / "generated" / "isa.md"
    good = page.read_text()
    page.write_text(good.replace("conv.normal", "conv.other"))
    assert gen_docs.main(["--check", "--docs", str(tmp_path)]) == 1
    assert "isa.md: expected what gen_docs writes" in capsys.readouterr().err
    assert "conv.other" in page.read_text()
    assert gen_docs.main(["--docs", str(tmp_path)]) == 0
    assert page.read_text() == good


def test_operator_table_is_up_to_date(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import ops_table

    monkeypatch.setattr("sys.argv", ["ops_table.py", "--check"])
    assert ops_table.main() == 0, capsys.readouterr().err
