"""``tpumlir doctor``: versions, processor, memory, what is missing, and a self-test, for bug reports."""

from __future__ import annotations

import argparse
from itertools import groupby

from tpumlir.cli.common import EXIT_FAILED, EXIT_OK, Command, Parser, print_json, print_table


def build_parser(prog: str = "tpumlir doctor") -> Parser:
    """The command line."""
    parser = Parser(
        prog,
        "Show versions, what the processor can do, memory, what is missing and what that is for, and compile "
        "a small model through all stages. Exit code 1 if something that is needed does not work.",
    )
    parser.add_common()
    return parser


def _body(args: argparse.Namespace) -> int:
    from tpumlir import __version__
    from tpumlir.road.doctor import examine, lines_of

    report = examine(__version__)
    if args.json:
        print_json(report.to_json())
        return EXIT_OK if report.passed else EXIT_FAILED
    for section, findings in groupby(report.findings, key=lambda one: one.section):
        print(section)
        print_table([(f"  {name}", *rest) for name, *rest in lines_of(list(findings))])
    if report.passed:
        print("\nall that is needed works")
        return EXIT_OK
    print(
        f"\n{len(report.broken)} things are broken:" if len(report.broken) > 1 else "\none thing is broken:"
    )
    for one in report.broken:
        print(f"  {one.name}: {one.value}\n    {one.remedy}")
    return EXIT_FAILED


main = Command(build_parser, _body)
