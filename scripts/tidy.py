"""clang-tidy on the lines of C++ that differ from a commit.

    python scripts/tidy.py [--since main] [--build build/dev] [--all]

Needs the compile commands of a configured and built tree (its generated headers). A changed header is
looked at through one source that includes it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_HUNK = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", re.MULTILINE)


def git(*words: str) -> str:
    """What git prints. Raises: CalledProcessError."""
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def changed_lines(since: str) -> dict[Path, list[list[int]]]:
    """The ranges of lines of each C++ file that are not as in ``since``; of a new file all of them."""
    base = git("merge-base", since, "HEAD").strip()
    result: dict[Path, list[list[int]]] = {}
    for part in git("diff", "-U0", "--no-color", base, "--", "csrc").split("diff --git ")[1:]:
        target = re.search(r"^\+\+\+ b/(.*\.(?:cpp|h))$", part, re.MULTILINE)
        if target is None:
            continue
        hunks = [(int(start), int(count or 1)) for start, count in _HUNK.findall(part)]
        if ranges := [[start, start + count - 1] for start, count in hunks if count]:
            result[ROOT / target.group(1)] = ranges
    for name in git("ls-files", "--others", "--exclude-standard", "--", "csrc").splitlines():
        if name.endswith((".cpp", ".h")):
            result[ROOT / name] = [[1, 1_000_000]]
    return result


def sources_of(files: list[Path], known: set[Path]) -> list[Path]:
    """The sources to look at in order to see ``files``."""
    result: dict[Path, None] = {}
    for file in files:
        if file.suffix == ".cpp":
            result.update({file: None} if file in known else {})
            continue
        line = f'#include "{file.relative_to(ROOT / "csrc")}"'
        # The source of the same name first.
        order = sorted(known, key=lambda source: (source.stem != file.stem, len(source.parts), source))
        user = next((s for s in order if s.is_file() and line in s.read_text(encoding="utf-8")), None)
        result.update({user: None} if user else {})
    return list(result)


def gcc_only_headers(build: Path) -> Path:
    """A folder with headers that GCC brings and clang-tidy does not, and with no others of GCC's."""
    folder = build / "tidy"
    folder.mkdir(parents=True, exist_ok=True)
    found = subprocess.run(
        [os.environ.get("CXX", "c++"), "-print-file-name=include/omp.h"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    link = folder / "omp.h"
    link.unlink(missing_ok=True)
    if Path(found).is_file():
        link.symlink_to(found)
    return folder


def main() -> int:
    """Print what clang-tidy says; 1 if it says something."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--since", default="main", help="the commit to compare with (default: main)")
    parser.add_argument(
        "--build", type=Path, default=ROOT / "build" / "dev", help="a build folder (default: build/dev)"
    )
    parser.add_argument("--all", action="store_true", help="every line of every source")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    tool = shutil.which("clang-tidy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if tool is None:
        print("tidy: expected clang-tidy, found none (try: pip install 'clang-tidy==22.*')", file=sys.stderr)
        return 1
    database = arguments.build / "compile_commands.json"
    if not database.is_file():
        print(
            f"tidy: expected {database}, found none (try: cmake --preset dev && cmake --build --preset dev)",
            file=sys.stderr,
        )
        return 1
    entries = json.loads(database.read_text(encoding="utf-8"))
    known = {path for entry in entries if (path := Path(entry["file"])).is_relative_to(ROOT / "csrc")}
    command = [tool, "-p", str(arguments.build), "--quiet"]
    command.append(f"--extra-arg=-isystem{gcc_only_headers(arguments.build)}")
    if arguments.all:
        sources = sorted(known)
    else:
        try:
            changed = changed_lines(arguments.since)
        except subprocess.CalledProcessError as error:
            print(f"tidy: {error.stderr.strip()}", file=sys.stderr)
            return 1
        sources = sources_of(list(changed), known)
        lines = [{"name": str(file), "lines": ranges} for file, ranges in changed.items()]
        command.append(f"--line-filter={json.dumps(lines)}")

    def look(source: Path) -> tuple[int, str]:
        run = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
        return run.returncode, run.stdout + (run.stderr if run.returncode and not run.stdout else "")

    failed = 0
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for code, text in pool.map(look, sources):
            failed |= code
            print(text, end="")
    print(f"tidy: {len(sources)} sources looked at{', with findings' if failed else ', nothing found'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
