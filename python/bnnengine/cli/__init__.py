"""The command line: `bnnengine demo | convert | verify | run | inspect | bench | selftest | cpu`, a file each."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from bnnengine._version import __version__
from bnnengine.cli import bench, convert, cpu, demo, inspect, run, selftest, verify
from bnnengine.cli.common import Answer
from bnnengine.errors import BnnError

COMMANDS = {
    "demo": demo,
    "convert": convert,
    "verify": verify,
    "run": run,
    "inspect": inspect,
    "bench": bench,
    "selftest": selftest,
    "cpu": cpu,
}


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(prog="bnnengine", description="Runs binarized neural networks on ordinary CPUs.")
    top.add_argument("--version", action="version", version=f"bnnengine {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        about = (module.__doc__ or "").strip()
        command = commands.add_parser(name, help=about.split("\n")[0].rstrip("."), description=about)
        command.add_argument("--json", action="store_true", help="print JSON, for programs")
        module.add_arguments(command)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 0 where it went well, 1 where it failed, 2 for words that it does not know."""
    options = parser().parse_args(arguments)
    command: Any = COMMANDS[options.command]
    try:
        answer: Answer = command.execute(options)
        result, text, code = answer
        print(json.dumps(result, indent=2) if options.json else text)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except (BnnError, OSError, ValueError, MemoryError) as error:
        print(f"bnnengine {options.command}: {error}", file=sys.stderr)
        return 1
    return code
