"""Print what pip must install to build tpumlir outside of pip, one a line; --dev: to work on it too.

With --extra NAME only what that extra asks for. No line has a space in it: for a shell each is one word.

pip install $(python scripts/requirements.py --dev)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib

# pip's build brings these two itself.
PROGRAMS = ("cmake>=3.25", "ninja")


def extra(project: dict[str, Any], name: str) -> list[str]:
    """The requirements of an extra; those that name another extra of the project are followed."""
    result: list[str] = []
    for requirement in project["optional-dependencies"][name]:
        other = re.fullmatch(rf"{project['name']}\[(\w+)\]", requirement)
        result += extra(project, other.group(1)) if other else [requirement]
    return result


def show(requirements: list[str]) -> None:
    """Print each once, without the spaces that PEP 508 allows around an environment marker."""
    print("\n".join(dict.fromkeys(re.sub(r"\s*;\s*", ";", requirement) for requirement in requirements)))


def main() -> int:
    """Print the list."""
    with (Path(__file__).resolve().parent.parent / "pyproject.toml").open("rb") as stream:
        settings = tomllib.load(stream)
    if "--extra" in sys.argv[1:-1]:
        show(extra(settings["project"], sys.argv[sys.argv.index("--extra") + 1]))
        return 0
    wanted = [*settings["build-system"]["requires"], *PROGRAMS]
    if "--dev" in sys.argv[1:]:
        wanted += [*settings["project"]["dependencies"], *extra(settings["project"], "dev")]
    show(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
