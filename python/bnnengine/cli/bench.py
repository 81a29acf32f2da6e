"""Measure a model on this machine: latency percentiles by batch, and each layer's time and rate.

Times include the call from Python. The bound of a layer is the time that its sums would take at the rate which the
same kernel reaches on a layer that suits it, measured just before: what is above it is due to the layer's shape.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from bnnengine.cli import tune
from bnnengine.cli.common import Answer, add_engine_arguments, load_engine, sample_inputs, table
from bnnengine.engine import Engine
from bnnengine.layers import BinaryConv2d, BinaryDense, Conv2d, GlobalAveragePool, Input, ScaleBias, Sign, Threshold
from bnnengine.model import Model, Sequential


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("model", help="a .bnn file")
    parser.add_argument("--batch", default="1,8,32", metavar="N,N", help="batch sizes (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each batch size (default: %(default)s)")
    parser.add_argument("--tune", action="store_true", help="each layer by every variant that this CPU can run")
    add_engine_arguments(parser)


def _latency(engine: Engine, batch: int, seconds: float) -> dict[str, Any]:
    x = sample_inputs(engine, batch)
    made = engine.predict(x)
    outs = list(made) if isinstance(made, tuple) else made
    times: list[int] = []
    end = time.perf_counter() + seconds
    while len(times) < 20 or time.perf_counter() < end:
        start = time.perf_counter_ns()
        engine.predict(x, out=outs)
        times.append(time.perf_counter_ns() - start)
    us = np.array(times) / 1e3
    p50, p90, p99 = np.percentile(us, [50, 90, 99])
    return {"batch": batch, "runs": len(times), "least_us": us.min(), "p50_us": p50, "p90_us": p90, "p99_us": p99,
            "samples_per_second": batch / p50 * 1e6}  # fmt: skip


def _suiting_layers() -> dict[str, Model]:
    """For each kernel family a network of one layer that suits it: full tiles, operands that stay in cache."""
    rng = np.random.default_rng(0)

    def signs(*shape: int) -> Any:
        return rng.choice([-1, 1], shape)

    def level(channels: int) -> Threshold:
        return Threshold(np.zeros(channels, np.int32))

    binary = BinaryConv2d(signs(256, 3, 3, 256), padding=1, pad_value=-1, threshold=level(256))
    row = BinaryDense(signs(1024, 1024), threshold=level(1024))
    first = BinaryConv2d(signs(64, 3, 3, 16), padding=1, threshold=level(64))
    real = Conv2d(rng.standard_normal((64, 3, 3, 64)), padding=1)
    return {
        "bgemm": Sequential([Input((14, 14, 256)), Sign(), binary, GlobalAveragePool()]),
        "bgemv": Sequential([Input((1024,)), Sign(), row, ScaleBias()]),
        "igemm": Sequential([Input((56, 56, 16), "uint8"), first, GlobalAveragePool()]),
        "fgemm": Sequential([Input((28, 28, 64)), real]),
    }


def _best_rates(isa: str, families: set[str]) -> dict[str, float]:
    """GMAC/s on one thread of each family on the layer that suits it."""
    rates = {}
    for family, model in _suiting_layers().items():
        if family in families:
            engine = Engine.load(model.to_bytes(), isa=isa, num_threads=1)
            profile = engine.profile(sample_inputs(engine, 1), seconds=0.1)
            rates[family] = max(step.gmacs_per_second or 0.0 for step in profile.steps)
    return rates


def _layers(engine: Engine, batch: int, seconds: float) -> list[dict[str, Any]]:
    profile = engine.profile(sample_inputs(engine, batch), seconds=seconds)
    rates = _best_rates(engine.isa, {step.kernel.split(" ")[0] for step in profile.steps if step.macs})
    found = []
    for step in profile.steps:
        best = rates.get(step.kernel.split(" ")[0]) if step.macs else None
        layer = {"name": step.name, "kernel": step.kernel, "within": step.within}
        times = {"us": step.ms * 1e3, "share": step.share, "gmacs_per_second": step.gmacs_per_second}
        found.append({**layer, **times, "bound_us": step.macs / best / 1e3 if best else None})
    return found


def execute(options: argparse.Namespace) -> Answer:
    """Measures."""
    try:
        batches = [int(n) for n in options.batch.split(",")]
        if min(batches) < 1:
            raise ValueError
    except ValueError:
        raise ValueError(f"--batch: got {options.batch!r}, wanted whole numbers from 1, such as 1,8,32") from None
    engine = load_engine(options, options.model)
    if options.tune:
        x = sample_inputs(engine, batches[0])
        found = tune.measure(engine, x if isinstance(x, list) else [x], options.seconds)
        head = f"{options.model}: one thread, batch {batches[0]}; * what the plan takes ({engine.isa})"
        answer = {"model": options.model, "isa": engine.isa, "batch": batches[0], "layers": found}
        return answer, f"{head}\n\n{tune.text(found)}", 0
    latency = [_latency(engine, batch, options.seconds) for batch in batches]
    layers = _layers(engine, batches[0], options.seconds)
    result = {
        "model": options.model,
        "isa": engine.isa,
        "threads": engine.num_threads,
        "latency": latency,
        "layers": layers,
        "layers_batch": batches[0],
    }
    keys = ["least_us", "p50_us", "p90_us", "p99_us"]
    rows = [[str(r["batch"]), *(f"{r[k]:.1f}" for k in keys), f"{r['samples_per_second']:,.0f}"] for r in latency]
    first = table(["batch", "least us", "p50 us", "p90 us", "p99 us", "samples/s"], rows, 0)

    def number(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    rows = [
        [
            s["name"],
            s["kernel"],
            f"{s['us']:.2f}" if s["within"] is None else f"in {s['within']}",
            f"{s['share']:.1%}" if s["within"] is None else "",
            number(s["gmacs_per_second"], ".1f"),
            number(s["bound_us"], ".2f"),
        ]
        for s in layers
    ]
    second = table(["layer", "kernel", "us", "share", "GMAC/s", "bound us"], rows, 2)
    head = f"{options.model}: {engine.isa}, {engine.num_threads} thread(s) at most"
    note = (
        f"layers at batch {batches[0]}, least of many; bound: at the rate of the same kernel on a layer that suits it"
    )
    return result, "\n".join([head, "", first, "", second, "", note]), 0
