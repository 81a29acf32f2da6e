"""One thread and two, layer by layer, interleaved in one run: where the second core is worth it, and where it is not.

    python benchmarks/threads.py [--isa avx2] [--threads 2] [--rounds 9] [--json]

Each network is one layer, or a chain of ten as convolutions.py has them (its residual form), from a float image to a
float image; a prediction wakes the helpers once. Both cores have to be free: anything else that runs there shows at
once, so the least times say most.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from bnnengine import BinaryDense, Engine, Input, Model, Sequential, Sign
from common import interleave, machine, markdown, quartiles, report
from convolutions import chain

# size, channels, kernel, layers
CONVOLUTIONS = (
    (4, 32, 3, 1),
    (7, 64, 3, 1),
    (14, 64, 3, 1),
    (14, 128, 3, 1),
    (28, 64, 3, 1),
    (14, 256, 3, 1),
    (56, 64, 3, 1),
    (14, 256, 5, 1),
    (28, 128, 5, 1),
    (56, 128, 3, 1),
    (28, 256, 3, 1),
    (56, 64, 3, 10),
    (14, 256, 3, 10),
    (7, 512, 3, 10),
)
# samples, inputs and outputs
DENSE = ((1, 256), (1, 1024), (1, 4096), (16, 1024), (16, 4096), (256, 4096))


def dense(size: int) -> Model:
    """One binary layer."""
    return Sequential([Input((size,)), Sign(), BinaryDense(np.random.default_rng(0).choice([-1, 1], (size, size)))])


def measure(name: str, model: Model, samples: int, options: argparse.Namespace) -> dict[str, Any]:
    """One network."""
    x = np.random.default_rng(0).standard_normal((samples, *model.inputs[0].shape)).astype(np.float32)
    calls = {}
    for threads in (1, options.threads):
        engine = Engine(model.to_bytes(), isa=options.isa, num_threads=threads)
        out = engine.predict(x)
        calls[str(threads)] = lambda engine=engine, out=out: engine.predict(x, out=out)
    one, several = interleave(calls, options.rounds, 0.05).values()
    return {
        "network": name,
        "us": {"1": quartiles([t * 1e6 for t in one]), "several": quartiles([t * 1e6 for t in several])},
        "speedup": quartiles([a / b for a, b in zip(one, several, strict=True)]),
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All networks; options as of main."""
    found = []
    for size, channels, kernel, layers in CONVOLUTIONS:
        name = f"{size}x{size}x{channels}, {kernel}x{kernel}" + (f", {layers} of them" if layers > 1 else "")
        found.append(measure(name, chain(size, channels, kernel, layers, True), 1, options))
    found += [measure(f"dense {size}, {n} rows", dense(size), n, options) for n, size in DENSE]
    return {"machine": machine(), "isa": options.isa, "threads": options.threads, "threaded": found}


def table(result: Mapping[str, Any]) -> str:
    """Least times and their ratio; the median ratio and its quartiles."""
    rows = []
    for network in result["threaded"]:
        one, several, s = network["us"]["1"]["least"], network["us"]["several"]["least"], network["speedup"]
        spread = f"{s['median']:.2f} ({s['q1']:.2f} to {s['q3']:.2f})"
        rows.append([network["network"], f"{one:.1f}", f"{several:.1f}", f"**{one / several:.2f}**", spread])
    return markdown(["network", "1 thread, least us", f"{result['threads']}", "ratio", "median (quartiles)"], rows)


def main() -> None:
    """Measures all networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa", help="instruction set (default: the best)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.threads < 2:
        sys.exit("threads: wanted 2 or more")
    result = run(options)
    report(result, table(result), options.json)


if __name__ == "__main__":
    main()
