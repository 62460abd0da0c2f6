"""Run Python with a build of the core that has the sanitizers in it.

    python scripts/sanitized.py [--build build/asan] -m pytest tests/cmodel

Everything behind the options goes to Python. A report ends the process that caused it. The reports are shown
at the end, those of child processes included, and the exit code is 99 then.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# A standard library that is loaded later than the sanitizer would hide its exceptions from it.
_PRELOADED = ("libasan.so", "libubsan.so", "libstdc++.so")
_SHOWN = 20
_OPTIONS = {
    # What Python leaves behind at its end is no defect.
    "ASAN_OPTIONS": "detect_leaks=0:exitcode=99:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:exitcode=99",
    # Python's own allocator would hide what lies behind the end of a bytes object.
    "PYTHONMALLOC": "malloc",
}


def main() -> int:
    """The exit code of what was run, or 99."""
    build, command = ROOT / "build" / "asan", sys.argv[1:]
    if command[:1] == ["--build"] and len(command) > 1:
        build, command = Path(command[1]), command[2:]
    if not command or command[0] in ("-h", "--help"):
        print((__doc__ or "").strip())
        return 0 if command else 2
    package = build.resolve() / "python"
    if not list(package.glob("tpumlir/_core*.so")):
        print(
            f"sanitized: expected a build in {build}, found none "
            "(try: cmake --preset asan && cmake --build --preset asan)",
            file=sys.stderr,
        )
        return 2
    compiler = os.environ.get("CXX", "c++")
    libraries = [
        subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in _PRELOADED
    ]
    reports = build.resolve() / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir()
    options = {
        name: f"{value}:log_path={reports / 'report'}" if name.endswith("_OPTIONS") else value
        for name, value in _OPTIONS.items()
    }
    environment = {**os.environ, **options, "LD_PRELOAD": ":".join(libraries), "PYTHONPATH": str(package)}
    code = subprocess.run([sys.executable, *command], env=environment, check=False).returncode
    found = sorted(reports.iterdir())
    for report in found:
        lines = report.read_text(errors="replace").splitlines()
        # The frames of Python's interpreter say nothing.
        print(f"\n{report}:", *lines[:_SHOWN], sep="\n  ", file=sys.stderr)
    if found:
        print(f"sanitized: {len(found)} reports", file=sys.stderr)
    return 99 if found else code


if __name__ == "__main__":
    sys.exit(main())
