"""The order of the modules: ``python -m tpumlir.tools.layers`` says what breaks it, or draws it.

A module may import what is in its own layer or in a lower one, and no circle may come of it. Every ``import``
counts, also one in a function or for type checkers only: whoever needs a name from above for its types needs
it to be understood.

The layers are stated here alone: ``--write`` makes the ``ruff.toml`` of each folder (banned-api) from them.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "tpumlir"
FOLDER = Path(__file__).resolve().parents[1]

LAYERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ground", ("_core", "_libs", "errors", "files", "npz", "compare", "extents", "pages", "difference")),
    ("workers", ("workers",)),
    ("formats", ("precision.formats",)),
    ("tensors", ("tensors",)),
    ("data", ("data",)),
    ("bmodel", ("bmodel",)),
    ("tables", ("precision.table", "calibration.table")),
    ("ir", ("ir",)),
    ("precision", ("precision", "calibration")),
    ("accuracy", ("accuracy", "drawing")),
    ("onnx", ("onnx",)),
    ("road", ("road",)),
    ("verify", ("verify",)),
    ("debugger", ("debugger",)),
    ("regress", ("regress",)),
    ("reduce", ("reduce",)),
    ("commands", ("cli", "tools", "gen_shell", "onnx_backend", "")),
)
"""The lowest first: a name, and the modules and packages in it. A longer name counts before a shorter one."""
_TOP = len(LAYERS) - 1


@dataclass(frozen=True)
class Import:
    """One import: who, whom (both without ``tpumlir.``, which is the empty name), and where."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer or PACKAGE}:{self.line}: {self.imported or PACKAGE}"


def level_of(module: str) -> int:
    """The number of a module's layer. Raises: KeyError: it is in none."""
    homes = {prefix: level for level, (_, prefixes) in enumerate(LAYERS) for prefix in prefixes}
    parts = module.split(".")
    for count in range(len(parts), 0, -1):
        prefix = ".".join(parts[:count])
        if prefix in homes:
            return homes[prefix]
    raise KeyError(f"{module}: in no layer (add it to {__name__})")


def modules(folder: Path = FOLDER) -> dict[str, Path]:
    """The modules of the package in ``folder``, by name."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(folder: Path = FOLDER) -> list[Import]:
    """Every import of one module of the package by another."""
    known = modules(folder)
    found = []
    for name, path in known.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for line, target in _targets(ast.parse(path.read_text(encoding="utf-8")), package):
            imported = _module_of(target, known)
            if imported is not None and imported != name:
                found.append(Import(name, imported, line))
    return found


def _targets(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """The absolute dotted names that a file imports; those of ``from`` with what is taken out of them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = [PACKAGE, *filter(None, package.split("."))]
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join([*parts, base] if base else parts)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and _is_import_call(node.func):
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield node.lineno, name.value


def _is_import_call(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in {"import_module", "__import__"}


def _module_of(target: str, known: Mapping[str, Path]) -> str | None:
    """The module that a dotted name is, or is in; None if it is not of the package."""
    if target != PACKAGE and not target.startswith(f"{PACKAGE}."):
        return None
    name = target.removeprefix(PACKAGE).removeprefix(".")
    if name.startswith("_core."):  # compiled, so no file here; what takes it out of the package reads that
        return "_core"
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def upward(found: Iterable[Import]) -> list[Import]:
    """The imports of a higher layer by a lower one."""
    return [one for one in found if level_of(one.imported) > level_of(one.importer)]


def circles(found: Iterable[Import]) -> list[list[str]]:
    """The sets of modules that import each other, by way of others or not (Tarjan's algorithm)."""
    graph: dict[str, set[str]] = {}
    for one in found:
        graph.setdefault(one.importer, set()).add(one.imported)
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    result = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        stack.append(module)
        for other in sorted(graph.get(module, ())):
            if other not in number:
                visit(other)
            if other in stack:
                lowest[module] = min(lowest[module], lowest[other])
        if lowest[module] == number[module]:
            members = stack[stack.index(module) :]
            del stack[-len(members) :]
            if len(members) > 1:
                result.append(sorted(members))

    for module in sorted(graph):
        if module not in number:
            visit(module)
    return result


def banned(folder: str, root: Path = FOLDER) -> list[str]:
    """The packages and modules above what lies in a folder of the package ("" is the package itself).

    ruff has one list for a folder. What lies in several layers gets that of the highest; the commands beside
    the ground are left out. The tests know better.
    """
    known = modules(root)
    levels = {level_of(name) for name, path in known.items() if name and path.parent == root / folder}
    level = max(levels - {_TOP} if not folder else levels)
    above = [name for name in known if name and level_of(name) > level]
    below = {name.partition(".")[0] for name in known if name and level_of(name) <= level}
    whole = {name.partition(".")[0] for name in above} - below
    return sorted(whole | {name for name in above if "." in name and name.partition(".")[0] in below})


def ruff_settings(folder: str, root: Path = FOLDER) -> str:
    """The text of ``ruff.toml`` in a folder of the package."""
    lines = [
        f"# Written by python -m {PACKAGE}.tools.layers --write.",
        f'extend = "{"../" * (2 + len(Path(folder).parts))}pyproject.toml"',
    ]
    names = banned(folder, root)
    if names:
        lines += ["", "[lint.flake8-tidy-imports.banned-api]"]
        lines += [f'"{PACKAGE}.{name}".msg = "a higher layer: {PACKAGE}.tools.layers"' for name in names]
    if not folder:
        known = modules(root)
        top = [name for name in LAYERS[_TOP][1] if known.get(name, root).parent == root]
        lines += ["", "[lint.extend-per-file-ignores]"]
        lines += [f'"{name or "__init__"}.py" = ["TID251"]' for name in top]
    return "\n".join([*lines, ""])


def folders(root: Path = FOLDER) -> list[str]:
    """The folders of the package that hold modules, "" for the package itself."""
    parents = {path.parent for path in modules(root).values()}
    return sorted("" if parent == root else str(parent.relative_to(root)) for parent in parents)


def picture(found: Iterable[Import]) -> str:
    """The imports between packages in the language of Graphviz, the lowest layer at the bottom."""
    edges = sorted({(_node(one.importer), _node(one.imported)) for one in found})
    nodes = {node for edge in edges for node in edge}
    lines = ["digraph imports {", "  rankdir = TB; node [shape = box];"]
    for level, (layer, _) in reversed(list(enumerate(LAYERS))):
        same = sorted(node for node in nodes if level_of("" if node == PACKAGE else node) == level)
        quoted = " ".join(f'"{node}";' for node in same)
        lines.append(f"  {{ rank = same; {quoted} }}  // {layer}")
    lines += [f'  "{a}" -> "{b}";' for a, b in edges if a != b]
    return "\n".join([*lines, "}"])


def _node(module: str) -> str:
    """The package or single module that stands for a module in the picture."""
    prefixes = [p for _, group in LAYERS for p in group if p and f"{module}.".startswith(f"{p}.")]
    return max(prefixes, key=len, default=PACKAGE)


def main(argv: Sequence[str] | None = None) -> int:
    """Print what breaks the order, or the picture; returns 1 if something does."""
    parser = argparse.ArgumentParser(prog=f"python -m {__name__}", description="Check the layers of tpumlir.")
    parser.add_argument("--dot", action="store_true", help="print the imports as a graph for Graphviz")
    parser.add_argument("--write", action="store_true", help="write the ruff.toml of every folder")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="the package to look at")
    args = parser.parse_args(argv)
    found = imports(args.folder)
    if args.dot:
        sys.stdout.write(f"{picture(found)}\n")
    for folder in folders(args.folder) if args.write else ():
        settings = ruff_settings(folder, args.folder)
        (args.folder / folder / "ruff.toml").write_text(settings, encoding="utf-8")
    wrong = [f"{one} is in a higher layer" for one in upward(found)]
    wrong += [f"a circle: {', '.join(circle)}" for circle in circles(found)]
    for line in wrong:
        sys.stderr.write(f"{line}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
