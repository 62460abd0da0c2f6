"""Files appear whole or not at all, alone and together."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tpumlir.errors import InputError
from tpumlir.files import abandon, all_or_none, atomic_write, expect_place, is_special, keeping


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


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    for data in (b"first", b"second"):
        write(tmp_path / "link", data)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "target").read_bytes() == data
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "target"]


def test_a_pipe_is_written_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write(path, b"data")
        assert os.read(reader, 10) == b"data"
    finally:
        os.close(reader)
    assert path.is_fifo()
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_is_protected_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match="a"):
        write(path, b"new")
    with pytest.raises(PermissionError, match="a"):
        expect_place(path)
    assert path.read_bytes() == b"old"


def test_a_folder_in_the_place_of_one_file_keeps_all_away(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()

    def fail() -> None:
        with all_or_none():
            write(tmp_path / "a", b"1")
            write(tmp_path / "b", b"2")

    with pytest.raises(IsADirectoryError, match="b"):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_what_is_read_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"read")
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "folder").mkdir()
    with keeping([path]):
        for name in ("a", "link", "folder/../a"):
            with pytest.raises(InputError, match="other than those that are read"):
                expect_place(tmp_path / name)
            with pytest.raises(InputError, match="other than those that are read"):
                write(tmp_path / name, b"")
        write(tmp_path / "b", b"")
    assert path.read_bytes() == b"read"
    write(path, b"new")


@pytest.mark.parametrize(
    ("place", "alone", "message"),
    [
        ("", True, "expected a file to write, got a folder"),
        ("no/a", True, "expected a folder that exists, got .*no"),
        ("file/a", True, "expected a folder that exists, got .*file"),
        ("gone", True, "expected a folder that exists"),
        ("pipe", False, "others come beside it"),
    ],
)
def test_bad_places_are_told_before(tmp_path: Path, place: str, alone: bool, message: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "gone").symlink_to("no/target")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=message):
        expect_place(tmp_path / place, alone=alone)
    for good in ("new", "file"):
        expect_place(tmp_path / good, alone=alone)
    expect_place(tmp_path / "pipe")


def test_paths_may_be_texts(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert is_special(str(tmp_path / "pipe"))
    assert not is_special(str(tmp_path / "none"))
    expect_place(str(tmp_path / "a"))
    with atomic_write(str(tmp_path / "a")) as stream:
        stream.write(b"data")
    assert (tmp_path / "a").read_bytes() == b"data"
