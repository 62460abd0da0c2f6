"""Files appear whole or not at all, alone and together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tpumlir.files import abandon, all_or_none, atomic_write


def write(path: Path, data: bytes) -> None:
    with atomic_write(path) as stream:
        stream.write(data)


def test_a_failed_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write(path, b"old")

    def fail() -> None:
        with atomic_write(path) as stream:
            stream.write(b"half")
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == b"old"


def test_errors_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no") as caught:
        write(tmp_path / "no" / "a", b"")
    assert caught.value.filename == str(tmp_path / "no" / "a")


def test_rights_are_those_of_open(tmp_path: Path) -> None:
    write(tmp_path / "a", b"")
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_together_they_appear_at_the_end(tmp_path: Path) -> None:
    with all_or_none():
        write(tmp_path / "a", b"1")
        with all_or_none():
            write(tmp_path / "b", b"2")
        assert not (tmp_path / "a").exists()
        assert not (tmp_path / "b").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_together_none_appears_if_one_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with all_or_none():
            write(tmp_path / "a", b"1")
            write(tmp_path / "no" / "b", b"2")

    with pytest.raises(OSError, match="No such file"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_abandon_removes_what_is_half_written(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_write(tmp_path / "a") as stream:
            stream.write(b"half")
            abandon()
            assert list(tmp_path.iterdir()) == []

    with pytest.raises(FileNotFoundError):
        fail()
