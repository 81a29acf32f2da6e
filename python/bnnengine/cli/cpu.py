"""Show what this CPU has, which kernels would run, and versions."""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

import numpy as np

from bnnengine import _core
from bnnengine._version import __version__
from bnnengine.cli.common import Answer, table
from bnnengine.threads import default_num_threads


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no arguments of its own."""


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.lower().startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def execute(options: argparse.Namespace) -> Answer:
    """Asks the core."""
    isas = _core.isas()
    kernels: dict[str, dict[str, str]] = {isa: {} for isa in isas}
    own = set(_core.kernels())
    families = sorted({family for family, _ in own})
    for number, isa in enumerate(isas):
        for family in families:
            kernels[isa][family] = next(i for i in reversed(isas[: number + 1]) if (family, i) in own)
    versions = {"bnnengine": __version__, "numpy": np.__version__, "python": platform.python_version()}
    result = {
        "cpu": _cpu_name(),
        "machine": platform.machine(),
        "isas": isas,
        "bound": isas[-1],
        "kernels": kernels,
        "threads": default_num_threads(),
        "versions": versions,
    }
    rows = [[isa, *(kernels[isa][f] for f in families)] for isa in isas]
    text = "\n".join(
        [
            f"cpu        {result['cpu']} ({result['machine']})",
            f"runs       {', '.join(isas)}; {isas[-1]} unless told otherwise",
            f"threads    {result['threads']}",
            f"versions   {', '.join(f'{name} {version}' for name, version in versions.items())}",
            "",
            table(["asked for", *families], rows, 1 + len(families)),
        ]
    )
    return result, text, 0
