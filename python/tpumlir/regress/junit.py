"""The results as JUnit XML, which CI systems show."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from tpumlir.regress.baseline import Change
from tpumlir.regress.verdict import Row, described

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ERRORS = {"crashed", "timeout", "error"}


def junit(suite: str, rows: Sequence[Row], changes: Sequence[Change] = ()) -> bytes:
    """One suite per precision; a case that is not as expected, or worse than the baseline, fails.

    A known failure is skipped, with what is known of it.
    """
    worse: dict[str, list[str]] = {}
    for change in changes:
        if change.kind == "regression":
            worse.setdefault(change.case, []).append(change.text)
    root = ElementTree.Element("testsuites", name=_legal(suite))
    modes = list(dict.fromkeys(row.case.quantize for row in rows))
    for mode in modes:
        _suite(root, f"{suite}.{mode}", [row for row in rows if row.case.quantize == mode], worse)
    if "" in worse:
        whole = ElementTree.SubElement(root, "testsuite", name=_legal(f"{suite}.all"))
        case = ElementTree.SubElement(whole, "testcase", classname=_legal(suite), name="all cases", time="0")
        _problem(case, "failure", worse[""])
        _count(whole, 1, failures=1)
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(one.get(name, "0")) for one in root)))
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _suite(
    root: ElementTree.Element, name: str, rows: Sequence[Row], worse: Mapping[str, Sequence[str]]
) -> None:
    suite = ElementTree.SubElement(root, "testsuite", name=_legal(name))
    total = 0.0
    for row in rows:
        seconds = row.result.samples.get("wall", [0.0])[-1]
        total += seconds
        case = ElementTree.SubElement(
            suite, "testcase", classname=_legal(name), name=_legal(row.case.name), time=f"{seconds:.3f}"
        )
        problems = [row.why] if row.verdict == "wrong" else []
        problems += [text for text in worse.get(row.case.id, ()) if text not in problems]
        if problems:
            _problem(case, "error" if row.outcome["status"] in _ERRORS else "failure", problems)
        elif row.outcome["status"] != "passed":
            ElementTree.SubElement(case, "skipped", message=_legal(f"expected: {described(row.outcome)}"))
        if row.result.log:
            ElementTree.SubElement(case, "system-err").text = _legal(row.result.log)
    counts = {
        name: len(suite.findall(f"testcase/{tag}"))
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
    }
    _count(suite, len(rows), **counts)
    suite.set("time", f"{total:.3f}")


def _problem(case: ElementTree.Element, tag: str, texts: Sequence[str]) -> None:
    made = ElementTree.SubElement(case, tag, message=_legal(texts[0]))
    made.text = _legal("\n".join(texts))


def _count(suite: ElementTree.Element, tests: int, **counts: int) -> None:
    for name in ("failures", "errors", "skipped"):
        suite.set(name, str(counts.get(name, 0)))
    suite.set("tests", str(tests))


def _legal(text: str) -> str:
    """Names and messages may hold anything; XML may not."""
    return _ILLEGAL.sub("\ufffd", text)
