"""Compare every kernel of this CPU with portable C, bit for bit, and the shipped networks between instruction sets."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from bnnengine import _core
from bnnengine.cli.common import MODELS, Answer, shipped_digits, shipped_model, table
from bnnengine.engine import Engine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--rounds", type=int, default=200, help="random shapes for each kernel (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of those shapes (default: %(default)s)")


def execute(options: argparse.Namespace) -> Answer:
    """Runs the comparisons; fails on any difference."""
    if options.rounds < 0 or options.seed < 0:
        raise ValueError("--rounds and --seed: wanted whole numbers from 0")
    kernels: list[dict[str, Any]] = []
    for family, isa in _core.kernels():
        cases, differ, first = _core.selftest(family, isa, options.rounds, options.seed)
        kernels.append({"family": family, "isa": isa, "cases": cases, "differ": differ, "first": first})
    x, _ = shipped_digits()
    networks: list[dict[str, Any]] = []
    for name in MODELS:
        data = shipped_model(name)
        expected = Engine.load(data, isa="ref", num_threads=1).predict(x)
        for isa in _core.isas():
            got = Engine.load(data, isa=isa, num_threads=1).predict(x)
            networks.append(
                {"network": name, "isa": isa, "cases": len(x), "differ": int((got != expected).any(axis=1).sum())}
            )
    differ = sum(e["differ"] for e in kernels) + sum(e["differ"] for e in networks)
    rows = [[e["family"], e["isa"], f"{e['cases']:,}", str(e["differ"]), e["first"]] for e in kernels]
    rows += [[f"network {e['network']}", e["isa"], f"{e['cases']:,}", str(e["differ"]), ""] for e in networks]
    verdict = (
        "every result is the same"
        if differ == 0
        else f"{differ} results differ: please report this, with `bnnengine cpu`"
    )
    result = {"kernels": kernels, "networks": networks, "differ": differ, "best": _core.isas()[-1]}
    text = table(["what", "isa", "cases", "differ", "first"], rows, 2)
    return result, f"{text}\n\n{verdict}", int(np.sign(differ))
