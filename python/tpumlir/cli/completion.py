"""``tpumlir completion``: the script that completes our command lines in bash or zsh."""

from __future__ import annotations

import argparse

from tpumlir.cli.common import EXIT_OK, Command, Parser

_SHELLS = ("bash", "zsh")


def build_parser(prog: str = "tpumlir completion") -> Parser:
    """The command line."""
    parser = Parser(
        prog, "Print the script that completes the commands, flags and files of tpumlir in a shell."
    )
    parser.add_argument("shell", choices=_SHELLS, help="the shell that reads the script")
    parser.add_argument("--debug", action="store_true", help="show a traceback if something goes wrong")
    return parser


def _body(args: argparse.Namespace) -> int:
    from tpumlir.cli import shells

    print(shells.bash() if args.shell == "bash" else shells.zsh(), end="")
    return EXIT_OK


main = Command(build_parser, _body)
