"""Take random models through all stages and modes for some time.

    python tests/fuzz/models.py --seconds 600 [--mode int8 ...] [--first 0] [--count N] [--output build/fuzz]

A model follows from its number. What fails lies in the output folder as <number>.onnx with its inputs
(<number>.npz) and, for each kind of failure, a text; the end says how many ran and what was refused. A
process that dies leaves the number it was at in <output>/model, and `--first` goes on behind it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests")]


def main(argv: Sequence[str] | None = None) -> int:
    """Run; the exit code says whether something was found."""
    import onnx
    from fuzz.judges import MODES, Tally
    from fuzz.networks import random_network

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument(
        "--mode", action="append", choices=list(MODES), help="one of them; all if none is given"
    )
    parser.add_argument("--first", type=int, default=0, help="the number of the first model")
    parser.add_argument("--count", type=int, help="as many models at most")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "fuzz")
    args = parser.parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    tally, end, number, failures = Tally(), time.monotonic() + args.seconds, args.first, 0
    while time.monotonic() < end and (args.count is None or number < args.first + args.count):
        (args.output / "model").write_text(f"{number}\n")
        net = random_network(number)
        for mode in args.mode or MODES:
            for kind, text in MODES[mode](net, number, tally):
                failures += 1
                onnx.save(net.proto, args.output / f"{number}.onnx")
                np.savez(args.output / f"{number}.npz", **net.inputs)  # type: ignore[arg-type]
                (args.output / f"{number}-{kind}.txt").write_text(text)
                sys.stdout.write(f"{number} {kind}: {text[:300]}\n")
                sys.stdout.flush()
        number += 1
    lines = [f"{number - args.first} models, {failures} failures"]
    lines += [f"{count:7} {name}" for name, count in tally.runs.items()]
    lines += [f"{count:7} refused: {reason}" for reason, count in tally.refusals.most_common()]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
