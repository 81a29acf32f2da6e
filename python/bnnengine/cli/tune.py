"""`bench --tune`: every layer that sums, by every variant that this CPU can run, interleaved on one thread.

A variant is an instruction set, and in it a road, where two lead to the same result (src/bnncore/choices.h): a dense
layer's samples one by one or all at once, a uint8 layer's sums of bytes or by bit planes, groups of channels in planes
of counts or one by one, a float32 convolution's direct sums or, which are rounded in other places, half of them. `*`
marks what the plan takes on its own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnengine import _core
from bnnengine.cli.common import table
from bnnengine.engine import Engine

MOST = 2**32 - 1
RUNS = 3  # of a variant in a row
# fields of bnn_choices, and whether fast_math
ROADS: dict[str, tuple[dict[str, int], bool]] = {
    "as chosen": ({}, False),
    "one by one": ({"vector_rows": MOST, "vector_words": 0, "matmul_rows": MOST}, False),
    "all at once": ({"vector_rows": 0, "narrow_rows": 0, "matmul_rows": 0}, False),
    "bytes": ({"byte_depth": 4096}, False),
    "bit planes": ({"byte_depth": 0}, False),
    "groups by planes": ({"thin_channels": 64}, False),
    "group by group": ({"thin_channels": 0}, False),
    "half products": ({"winograd_width": 1, "winograd_depth": 1, "winograd_kib": 1 << 16}, True),
}


@dataclass
class Variant:
    """A plan for one instruction set and road, and the times of its steps, a row a round, in nanoseconds."""

    isa: str
    road: str
    plan: _core.Plan
    kernels: list[str]
    times: list[list[int]]


def variants(engine: Engine, batch: int) -> list[Variant]:
    """For each instruction set the plan as it is, and each road on which some step has another kernel."""
    found = []
    for isa in _core.isas():
        seen: list[list[str]] = []
        for road, (changed, fast_math) in ROADS.items():
            choices = {**_core.choices(isa), **changed}
            plan = _core.Plan(engine._plan.data(), isa, 1, 0, 0, fast_math=fast_math, choices=choices)
            kernels = [info["kernel"] for info in plan.step_infos(batch)]
            if kernels not in seen:
                seen.append(kernels)
                found.append(Variant(isa, road, plan, kernels, []))
    return found


def measure(engine: Engine, xs: list[Any], seconds: float) -> list[dict[str, Any]]:
    """A record for each step that sums: its variants' least and median microseconds, and what the plan takes."""
    batch = len(xs[0])
    outs = [np.empty((batch, *spec.shape), spec.dtype) for spec in engine.outputs]
    tried = variants(engine, batch)
    end = time.perf_counter() + seconds
    while len(tried[0].times) < 3 or time.perf_counter() < end:
        for variant in tried:
            for _ in range(RUNS):
                times: list[int] = []
                variant.plan.run(xs, outs, batch, times)
            variant.times.append(times)  # the last one's: its weights are in cache as far as they fit
    layers = []
    for number, info in enumerate(engine._plan.step_infos()):
        if not info["macs"] or info["pass_step"] != number:
            continue
        rows, seen = [], set()
        own = next(v for v in tried if v.isa == engine.isa and v.road == "as chosen").kernels[number]
        for variant in tried:
            kernel = variant.kernels[number]
            if kernel in seen:
                continue
            seen.add(kernel)
            us = np.array([times[number] for times in variant.times]) / 1e3
            rows.append({"isa": variant.isa, "road": variant.road, "kernel": kernel, "least_us": float(us.min()),
                         "median_us": float(np.median(us)), "taken": kernel == own})  # fmt: skip
        layers.append({"name": info["name"], "macs": info["macs"] * batch, "variants": rows})
    return layers


def text(layers: list[dict[str, Any]]) -> str:
    """A line a variant."""
    rows = []
    for layer in layers:
        taken = next((v["least_us"] for v in layer["variants"] if v["taken"]), None)
        best = min(v["least_us"] for v in layer["variants"])
        for number, v in enumerate(layer["variants"]):
            mark = "*" if v["taken"] else ""
            ratio = f"{v['least_us'] / taken:.2f}" if taken else ""
            note = "least" if v["least_us"] == best else ""
            rate = f"{layer['macs'] / v['least_us'] / 1e3:.1f}"
            name = layer["name"] if number == 0 else ""
            rows.append([name, v["kernel"] + mark, v["road"], note, f"{v['least_us']:.2f}", f"{v['median_us']:.2f}",
                         rate, ratio])  # fmt: skip
    head = ["layer", "kernel", "road", "", "least us", "median us", "GMAC/s", "to *"]
    return table(head, rows, 4)
