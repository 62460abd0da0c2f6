"""Commands as a shell runs them, in this process."""

from __future__ import annotations

from tpumlir.cli import main as tpumlir_main


def run(*words: object) -> int:
    """The exit code of ``tpumlir WORDS``; usage errors leave by SystemExit, as in a shell."""
    try:
        return tpumlir_main.main([str(word) for word in words])
    except SystemExit as error:
        return int(str(error.code))
