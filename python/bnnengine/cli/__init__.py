"""The command line: `bnnengine demo | convert | verify | run | inspect | bench | selftest | cpu`, a file each."""

from __future__ import annotations

import argparse
import json
import math
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


def _print(text: str) -> None:
    """To where there is a standard output; what its encoding lacks is escaped."""
    if sys.stdout is not None:
        encoding = sys.stdout.encoding or "ascii"
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def _plain(value: Any) -> Any:
    """With null for numbers that are not finite, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 0 where it went well, 1 where it failed, 2 for words that it does not know."""
    options = parser().parse_args(arguments)
    command: Any = COMMANDS[options.command]
    try:
        answer: Answer = command.execute(options)
        result, text, code = answer
        _print(json.dumps(_plain(result), indent=2) if options.json else text)
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except (BnnError, OSError, ValueError, MemoryError) as error:
        print(f"bnnengine {options.command}: {error}", file=sys.stderr)
        return 1
    return code
