"""Files that repeat what pyproject.toml says must say the same."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def pins(text: str) -> dict[str, str]:
    return dict(re.findall(r'"([\w-]+)==([\w.]+)"', text))


def test_pre_commit_uses_the_versions_of_the_project() -> None:
    project = pins((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    hooks = pins((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert {"ruff", "clang-format"} <= set(hooks)
    assert hooks == {name: project[name] for name in hooks}


def test_the_commands_of_the_guide_exist() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    presets = (ROOT / "CMakePresets.json").read_text(encoding="utf-8")
    targets = set(re.findall(r"make ([a-z]+)", guide))
    assert {"wheels", "sanitize", "fuzz", "tidy"} <= targets
    assert not {target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)}
    for preset in re.findall(r"--preset (\w+)", guide):
        assert f'"name": "{preset}"' in presets
    for script in re.findall(r"scripts/\w+\.py", guide):
        assert (ROOT / script).is_file()
