"""Feed damaged files to the readers for some time.

    python tests/fuzz/run.py --seconds 600 [--reader npz ...] [--seed 0] [--first 0] [--output build/fuzz]

The inputs follow from the reader, the seed and a number. A worker process takes them one after the other and
says where it is; one that dies, stands still or grows is replaced, and its input kept. What was found lies in
the output folder as <reader>-<number><suffix> with a text beside it; `--replay FILE` shows it again. The
numbers go on from run to run.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import resource
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests")]

STANDSTILL = 20.0
"""Seconds of CPU for one input; under a sanitizer the slowest legal one takes two."""
PATIENCE = 600.0
"""Seconds of any kind: a machine that is busy with other things leaves little CPU."""
GROWTH = 2 << 30
"""Bytes by which the largest size of the process may grow over one input."""
_STATE = struct.Struct("<QQQ")  # the number of the input, how many were done, how many were read
_NOT_READY = 2**64 - 1


def _where(error: BaseException) -> str:
    """The innermost line of the package (or the last one) that an exception went through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "tpumlir" in frame.filename] or frames
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}"


def work(reader: str, seed: int, first: int, state_path: Path, output: Path) -> None:
    """Take inputs until killed."""
    from fuzz.targets import TARGETS, generated

    target = TARGETS[reader]
    target.seeds()
    kinds: set[str] = set()
    with state_path.open("r+b") as file, mmap.mmap(file.fileno(), _STATE.size) as state:
        done = accepted = 0
        number = first
        while True:
            _STATE.pack_into(state, 0, number, done, accepted)
            data = generated(target, seed, number)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            kind = ""
            try:
                accepted += target.feed(data)
            except Exception as error:
                kind = f"{type(error).__name__} at {_where(error)}"
                said = "".join(traceback.format_exception(error))
            if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before > GROWTH >> 10:
                kind = said = "memory: more than 2 GiB for one input"
            if kind and kind not in kinds:
                kinds.add(kind)
                keep(output, reader, number, data, f"{kind}\n\n{said}")
            done += 1
            number += 1


def keep(output: Path, reader: str, number: int, data: bytes, text: str) -> None:
    """Store an input and what it did."""
    from fuzz.targets import TARGETS

    path = output / f"{reader}-{number}{TARGETS[reader].suffix}"
    path.write_bytes(data)
    path.with_suffix(path.suffix + ".txt").write_text(text, encoding="utf-8", errors="replace")
    print(f"  finding: {path}: {text.splitlines()[0]}", flush=True)


def _cpu(process: int) -> float:
    """The seconds of CPU that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fuzz(reader: str, seed: int, first: int, seconds: float, output: Path) -> tuple[int, int, int]:
    """Run workers in turn; returns the number after the last input, how many ran, how many were read."""
    from fuzz.targets import TARGETS, generated

    state_path = output / f".{reader}.state"
    end, next_number, ran, read = time.monotonic() + seconds, first, 0, 0
    while time.monotonic() < end:
        state_path.write_bytes(_STATE.pack(next_number, _NOT_READY, 0))
        log = output / f".{reader}.log"
        with log.open("wb") as sink:
            worker = subprocess.Popen(
                [
                    sys.executable, __file__, "--work", state_path, "--reader", reader, "--seed", str(seed),
                    "--first", str(next_number), "--output", output,
                ],
                stderr=sink,
            )  # fmt: skip
        # The seeds take their time.
        seen, since, used, reason = next_number, time.monotonic(), 60.0, ""
        while time.monotonic() < end:
            try:
                code = worker.wait(0.5)
            except subprocess.TimeoutExpired:
                current = _STATE.unpack(state_path.read_bytes())[0]
                spent = _cpu(worker.pid)
                if current != seen:
                    seen, since, used = current, time.monotonic(), spent
                elif spent - used > STANDSTILL or time.monotonic() - since > PATIENCE:
                    reason = f"standstill: one input took {spent - used:.0f} s of CPU"
                    break
                continue
            reason = f"the process ended with {code}\n\n" + log.read_text(errors="replace")[-8000:]
            break
        worker.kill()
        worker.wait()
        number, done, accepted = _STATE.unpack(state_path.read_bytes())
        if done == _NOT_READY:
            if reason:
                raise SystemExit(f"fuzz: {reader}: expected a worker that starts, got: {reason}")
            done = 0
        ran, read, next_number = ran + done, read + accepted, number
        if reason:
            keep(output, reader, number, generated(TARGETS[reader], seed, number), reason)
            next_number += 1
    return next_number, ran, read


@contextmanager
def counts(path: Path) -> Iterator[dict[str, int]]:
    """How many inputs of each series were run so far; kept in a file."""
    table: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    yield table
    path.write_text(json.dumps(table, indent=1))


def main() -> int:
    """Fuzz, replay, or be a worker; 1 if there are findings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="for all readers together (default: 60)")
    parser.add_argument("--reader", action="append", help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="another series of inputs")
    parser.add_argument(
        "--first", type=int, help="the number to begin with (default: where the last run ended)"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "fuzz")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="show what an input of this folder does")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    from fuzz.targets import TARGETS

    readers = arguments.reader or list(TARGETS)
    if unknown := [reader for reader in readers if reader not in TARGETS]:
        parser.error(f"expected readers of {', '.join(TARGETS)}, got {', '.join(unknown)}")
    if arguments.replay:
        reader = arguments.replay.name.partition("-")[0]
        if reader not in TARGETS:
            parser.error(f"expected a file called <reader>-..., got {arguments.replay.name}")
        print("read" if TARGETS[reader].feed(arguments.replay.read_bytes()) else "refused")
        return 0
    if arguments.work:
        work(readers[0], arguments.seed, arguments.first or 0, arguments.work, arguments.output)
    arguments.output.mkdir(parents=True, exist_ok=True)
    before = set(arguments.output.iterdir())
    with counts(arguments.output / "counts.json") as table:
        for reader in readers:
            series = f"{reader} seed {arguments.seed}"
            first = table.get(series, 0) if arguments.first is None else arguments.first
            start = time.monotonic()
            last, ran, read = fuzz(
                reader, arguments.seed, first, arguments.seconds / len(readers), arguments.output
            )
            table[series] = max(last, table.get(series, 0))
            rate = ran / (time.monotonic() - start)
            print(
                f"{reader}: {ran} inputs ({read} read, {ran - read} refused), "
                f"{rate:.0f} a second; {last} in all"
            )
    found = [p for p in set(arguments.output.iterdir()) - before if p.suffix == ".txt"]
    print(f"fuzz: {len(found)} findings in {arguments.output}" if found else "fuzz: no findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
