"""A suite: which models are compiled, in which precisions, with what, and what is expected of each.

A suite is a folder of ``NAME.onnx`` with ``NAME.npz`` beside it, or a TOML file; its keys: docs/regress.md.
"""

from __future__ import annotations

import fnmatch
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tpumlir.errors import ParseError
from tpumlir.precision.formats import FLOATS, PRECISIONS
from tpumlir.regress.keys import CASE_KEYS, MODEL_KEYS, SUITE_KEYS, THRESHOLD_KEYS, Keys

_CALIBRATED = tuple(name for name, row in PRECISIONS.items() if row.needs_calibration)


@dataclass(frozen=True)
class Case:
    """One model in one precision, and what is expected of it.

    ``options`` are those that reach the compiler; ``files`` are what it reads beside the model, by the option
    that names them.
    """

    name: str
    quantize: str
    chip: str
    model: Path
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    expected: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None = None

    @property
    def id(self) -> str:
        """How tables and filters call it."""
        return f"{self.name}:{self.quantize}"

    @property
    def paths(self) -> list[Path]:
        """The files beside the model."""
        return [Path(parts[1]) for given in self.files.values() for parts in map(split_input, given)]


@dataclass(frozen=True)
class Suite:
    """The cases, sorted by name, and what holds for all of them."""

    name: str
    path: Path
    cases: tuple[Case, ...]
    plugin: Path | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def filtered(self, patterns: Sequence[str]) -> list[Case]:
        """The cases that one of the patterns fits, all of them without any. Raises: ParseError: none does."""
        found = [case for case in self.cases if not patterns or any(_fits(case.id, p) for p in patterns)]
        if not found:
            raise ParseError(f"{self.path}: expected cases like {', '.join(patterns)}, found none (--list)")
        return found


def split_input(text: str) -> tuple[str, str]:
    """``NAME=FILE`` in its two parts; a file alone has an empty name."""
    name, equals, file = text.partition("=")
    return (name, file) if equals and "/" not in name else ("", text)


def read_suite(path: Path, quantize: Sequence[str] = ()) -> Suite:
    """A folder or a TOML file; ``quantize`` takes the place of the precisions that the suite asks for.

    Raises: ParseError: with the line of what is wrong; OSError.
    """
    if path.is_dir():
        return _folder(path, quantize)
    if not path.exists():
        raise ParseError(f"{path}: no such file or folder (a suite is a folder of models or a TOML file)")
    if path.suffix != ".toml":
        raise ParseError(f"{path}: expected a suite: a folder of NAME.onnx and NAME.npz, or a TOML file")
    return _Reader(path).suite(quantize)


def _folder(path: Path, quantize: Sequence[str]) -> Suite:
    cases: list[Case] = []
    for model in sorted(path.rglob("*.onnx")):
        cases += _cases(path, model, {}, {}, quantize)
    if not cases:
        raise ParseError(f"{path}: expected models NAME.onnx, found none")
    return Suite(path.resolve().name, path, _sorted(cases))


def _sorted(cases: Sequence[Case]) -> tuple[Case, ...]:
    return tuple(sorted(cases, key=lambda case: case.id))


def _cases(
    folder: Path,
    model: Path,
    settings: Mapping[str, Any],
    special: Mapping[str, Mapping[str, Any]],
    quantize: Sequence[str],
) -> Iterator[Case]:
    """The cases of one model; ``special`` are the settings of single precisions."""
    table = model.with_suffix(".calib")
    default = (*FLOATS, *(_CALIBRATED if table.exists() else ()))
    for mode in quantize or settings.get("quantize", default):
        own = {**settings, **special.get(mode, {})}
        if not quantize or not PRECISIONS[mode].needs_calibration or _calibration(own, table):
            for chip in own.get("chip", ("bm1684x",)):
                yield _case(folder, model, own, mode, chip)


def _calibration(settings: Mapping[str, Any], table: Path) -> bool:
    return "calibration_table" in settings or table.exists()


def _case(folder: Path, model: Path, own: Mapping[str, Any], mode: str, chip: str) -> Case:
    files = {key: tuple(own[key]) for key in ("input", "calibration_table", "quantize_table") if key in own}
    beside = {"input": model.with_suffix(".npz")}
    if PRECISIONS[mode].needs_calibration:
        beside["calibration_table"] = model.with_suffix(".calib")
    for key, file in beside.items():
        if key not in files and file.exists():
            files[key] = (str(file),)
    try:
        name = model.relative_to(folder)
    except ValueError:  # ../other/model.onnx
        name = Path(model.name)
    # Workers live on in other folders.
    files = {key: tuple(map(_absolute, given)) for key, given in files.items()}
    return Case(
        name.with_suffix("").as_posix(), mode, chip, model.absolute(), files,
        {key: own[key] for key in CASE_KEYS.compiler if key in own},
        {key: own[key] for key in CASE_KEYS.expected if key in own}, own.get("timeout"),
    )  # fmt: skip


def _absolute(text: str) -> str:
    name, file = split_input(text)
    return f"{name}={Path(file).absolute()}" if name else str(Path(file).absolute())


def _fits(name: str, pattern: str) -> bool:
    if any(sign in pattern for sign in "*?["):
        return fnmatch.fnmatchcase(name, pattern)
    return pattern in name


@dataclass
class _Reader:
    """Reads one TOML file; every error names its line."""

    path: Path
    lines: dict[tuple[str, int, str], int] = field(default_factory=dict)

    def suite(self, quantize: Sequence[str]) -> Suite:
        document = self._parse()
        self._known("", 0, document, ("suite", "defaults", "model", "thresholds"), "a table")
        head = self._table("suite", 0, document.get("suite", {}), SUITE_KEYS)
        thresholds = self._table("thresholds", 0, document.get("thresholds", {}), THRESHOLD_KEYS)
        shared, shared_special = self._entry("defaults", 0, document.get("defaults", {}), CASE_KEYS)
        entries = document.get("model", [])
        if not isinstance(entries, list) or not entries:
            raise self._error("model", 0, "", 'expected models: [[model]] with path = "*.onnx"')
        settings: dict[Path, dict[str, Any]] = {}
        special: dict[Path, dict[str, dict[str, Any]]] = {}
        for place, entry in enumerate(entries):
            own, own_special = self._entry("model", place, entry, MODEL_KEYS)
            for model in self._models(place, own.pop("path", ())):
                settings.setdefault(model, dict(shared)).update(own)
                table = special.setdefault(model, {mode: dict(keys) for mode, keys in shared_special.items()})
                for mode, keys in own_special.items():
                    table.setdefault(mode, {}).update(keys)
        cases: list[Case] = []
        for model, keys in settings.items():
            cases += _cases(self.path.parent, model, keys, special[model], quantize)
        self._unique(cases)
        plugin = self._file("suite", 0, "plugin", head["plugin"]) if "plugin" in head else None
        return Suite(head.get("name", self.path.stem), self.path, _sorted(cases), plugin, thresholds)

    def _parse(self) -> dict[str, Any]:
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
        try:
            text = self.path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ParseError(f"{self.path}: expected TOML in UTF-8") from None
        try:
            document: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ParseError(f"{self.path}: {error}") from None
        self.lines = _lines(text)
        return document

    def _entry(
        self, header: str, place: int, table: Any, keys: Keys
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """The settings of a table, and those of the tables in it that are named like a precision."""
        if not isinstance(table, dict):
            raise self._error(header, place, "", f"expected a table, got {table!r}")
        special = {}
        for mode in [key for key in table if key in PRECISIONS]:
            special[mode] = self._table(f"{header}.{mode}", place, table[mode], CASE_KEYS)
            if "quantize" in special[mode]:
                raise self._error(f"{header}.{mode}", place, "quantize", "a precision has no precisions")
        plain = {key: value for key, value in table.items() if key not in PRECISIONS}
        return self._table(header, place, plain, keys), special

    def _table(self, header: str, place: int, table: Any, keys: Keys) -> dict[str, Any]:
        if not isinstance(table, dict):
            raise self._error(header, place, "", f"expected a table, got {table!r}")
        self._known(header, place, table, keys.checks, "a key")
        found = {}
        for key, value in table.items():
            try:
                found[key] = keys.checks[key](value)
            except ValueError as error:
                raise self._error(header, place, key, f"{key}: {error}") from None
            if key in {"input", "calibration_table", "quantize_table"}:
                found[key] = [self._named_file(header, place, key, text) for text in found[key]]
        return found

    def _known(
        self, header: str, place: int, table: Mapping[str, Any], known: Sequence[str] | Mapping[str, Any],
        what: str,
    ) -> None:  # fmt: skip
        import difflib

        for key in table:
            if key in known:
                continue
            close = difflib.get_close_matches(key, known, 1, 0.5)
            meant = f", did you mean {close[0]}?" if close else f" (there are: {', '.join(known)})"
            where = f" of [{header}]" if header else ""
            raise self._error(
                header or key, place, key if header else "", f"{key} is not {what}{where}{meant}"
            )

    def _named_file(self, header: str, place: int, key: str, text: str) -> str:
        name, file = split_input(text)
        path = str(self._file(header, place, key, file))
        return f"{name}={path}" if name else path

    def _file(self, header: str, place: int, key: str, text: str) -> Path:
        path = self.path.parent / text
        if not path.is_file():
            raise self._error(header, place, key, f"{key}: {path}: no such file")
        return path

    def _models(self, place: int, patterns: Sequence[str]) -> list[Path]:
        if not patterns:
            raise self._error("model", place, "", 'expected path = "MODEL.onnx" (or a pattern)')
        found: dict[Path, None] = {}
        for pattern in patterns:
            if any(sign in pattern for sign in "*?["):
                parts = Path(pattern)
                root = Path(parts.anchor) if parts.is_absolute() else self.path.parent
                models = sorted(root.glob(str(parts.relative_to(parts.anchor))))
            else:
                models = [model for model in [self.path.parent / pattern] if model.is_file()]
            if not models:
                raise self._error("model", place, "path", f"path: {pattern}: no such file")
            found |= dict.fromkeys(models)
        return list(found)

    def _unique(self, cases: Sequence[Case]) -> None:
        seen: dict[str, Path] = {}
        for case in cases:
            other = seen.setdefault(case.id, case.model)
            if other != case.model:
                raise ParseError(f"{self.path}: {other} and {case.model} have the same name {case.name}")

    def _error(self, header: str, place: int, key: str, message: str) -> ParseError:
        line = self.lines.get((header, place, key)) or self.lines.get((header, place, ""))
        return ParseError(f"{self.path}{f':{line}' if line else ''}: {message}")


def _lines(text: str) -> dict[tuple[str, int, str], int]:
    """The line of every header and key: (header, how many [[model]] there were before it, key)."""
    found: dict[tuple[str, int, str], int] = {}
    header, place, entries = "", 0, -1
    for number, line in enumerate(text.splitlines(), 1):
        opened = re.match(r"\s*(\[{1,2})\s*([^\[\]]+?)\s*\]", line)
        if opened:
            header = re.sub(r"\s*\.\s*", ".", opened[2].replace('"', "").replace("'", ""))
            entries += opened[1] == "[[" and header == "model"
            place = max(entries, 0) if header.partition(".")[0] == "model" else 0
            found.setdefault((header, place, ""), number)
            continue
        key = re.match(r"\s*[\"']?([\w-]+)[\"']?\s*=", line)
        if key:
            found.setdefault((header, place, key[1]), number)
    return found
