"""Both roads where there are two (src/bnncore/choices.def), around the size at which the faster one changes.

    python benchmarks/choices.py [--isa avx2] [--seconds 0.02] [--json]

For each layer the least time of one step on either road, interleaved, one thread, weights in cache as far as they fit:
the time of the first road over that of the second, so that the first is faster below 1. `bnnengine bench --tune` does
the same for the layers of a model.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnengine import (
    BinaryConv2d,
    BinaryDense,
    BinaryMatMul,
    Conv2d,
    GlobalAveragePool,
    Graph,
    Input,
    Model,
    Sequential,
    Sign,
    Threshold,
    _core,
)
from common import machine, markdown, pin, report

MOST = 2**32 - 1
RNG = np.random.default_rng(0)


def signs(*shape: int) -> Any:
    """Weights."""
    return RNG.choice([-1, 1], shape)


def dense(k: int, n: int) -> Model:
    """A dense layer on bits."""
    return Sequential([Input((k,)), Sign(), BinaryDense(signs(n, k))])


def matmul(m: int, k: int, n: int) -> Model:
    """A product of two activations."""
    g = Graph()
    return g.model(g(BinaryMatMul(), g(Sign(), g.input((m, k))), g(Sign(), g.input((n, k), name="second"))))


def bytes_conv(channels: int) -> Model:
    """A first layer of uint8."""
    conv = BinaryConv2d(signs(64, 3, 3, channels), padding=1)
    return Sequential([Input((28, 28, channels), "uint8"), conv, GlobalAveragePool()])


def grouped_conv(kernel: int, channels: int, to_bits: bool) -> Model:
    """A convolution on bits of groups of so many channels."""
    outputs = 256 // channels * channels
    output = {"threshold": Threshold(np.zeros(outputs, int))} if to_bits else {}
    weight = signs(outputs, kernel, kernel, channels)
    conv = BinaryConv2d(weight, padding=kernel // 2, groups=outputs // channels, **output)
    return Sequential([Input((14, 14, outputs)), Sign(), conv, GlobalAveragePool()])


def real_conv(width: int, channels: int, outputs: int) -> Model:
    """A 3x3 convolution of float32."""
    conv = Conv2d(RNG.standard_normal((outputs, 3, 3, channels)) / channels, padding=1)
    return Sequential([Input((8, width, channels)), conv, GlobalAveragePool()])


@dataclass(frozen=True)
class Case:
    """A layer and the two roads: fields of bnn_choices, and whether they are there with fast_math alone."""

    roads: str
    layer: str
    model: Model
    first: dict[str, int]
    second: dict[str, int]
    rows: int = 0  # that the table sets side by side, of a batch or a matrix
    batch: int = 1
    fast_math: bool = False


def cases() -> Iterator[Case]:
    """All layers."""
    vector, matrix = {"vector_rows": MOST, "vector_words": 0}, {"vector_rows": 0, "narrow_rows": 0}
    for k in (128, 512, 1024, 4096):
        for n in (10, 16, 32, 64, 128, 1024, 4096):
            model = dense(k, n)
            for rows in (1, 2, 3, 4, 8, 16, 32):
                yield Case("bgemv / bgemm", f"dense {k} to {n}", model, vector, matrix, rows, rows)
    vector, matrix = {"matmul_rows": MOST}, {"matmul_rows": 0}
    for k, n in ((64, 64), (64, 256), (512, 64), (512, 256)):
        for m in (1, 4, 8, 16, 32, 64, 128):
            yield Case("bgemv / bgemm", f"by a matrix {n}x{k}", matmul(m, k, n), vector, matrix, m)
    whole, planes = {"byte_depth": 4096}, {"byte_depth": 0}
    for channels in (1, 3, 8, 16, 32, 48, 64, 128, 256, 400):
        yield Case("igemm / planes", f"uint8 3x3, {9 * channels} terms", bytes_conv(channels), whole, planes)
    planes, groups = {"thin_channels": 64}, {"thin_channels": 0}
    for kernel in (1, 3):
        for channels in (1, 4, 8, 12, 16, 20, 24, 32):
            for to_bits in (True, False):
                what = f"{kernel}x{kernel}, groups of {channels} to {'bits' if to_bits else 'floats'}"
                yield Case("bdepth / bgemm", what, grouped_conv(kernel, channels, to_bits), planes, groups)
    for channels in (64, 256):
        for width in (4, 5, 6, 7, 8, 12, 14, 16, 56):
            yield real(f"{width} wide, {channels} to {channels}", real_conv(width, channels, channels))
    for channels in (1, 2, 3, 4, 8, 16):
        yield real(f"{3 * channels} terms a point", real_conv(56, channels, 64))
    for channels in (64, 128, 192, 256, 384, 512):
        kib = 6 * 3 * channels * channels * 4 >> 10
        yield real(f"{kib} KiB of weights", real_conv(28, channels, channels))


def real(what: str, model: Model) -> Case:
    """A 3x3 convolution of float32."""
    half = {"winograd_width": 1, "winograd_depth": 1, "winograd_kib": 1 << 16}
    return Case("winograd / fgemm", f"float 3x3, {what}", model, half, {"winograd_width": MOST}, fast_math=True)


def least(plans: list[_core.Plan], xs: list[Any], outs: list[Any], batch: int, seconds: float) -> list[float]:
    """The least microseconds of the step with the most sums, of each plan, turn by turn."""
    infos = plans[0].step_infos()
    number = max(range(len(infos)), key=lambda i: infos[i]["macs"])
    best = [np.inf] * len(plans)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for at, plan in enumerate(plans):
            for _ in range(3):
                times: list[int] = []
                plan.run(xs, outs, batch, times)
            best[at] = min(best[at], times[number] / 1e3)
    return best


def measure(case: Case, isa: str, seconds: float) -> dict[str, Any] | None:
    """One layer; None where both roads are the same kernel."""
    data, plain, batch = case.model.to_bytes(), _core.choices(isa), case.batch

    def plan(road: dict[str, int]) -> _core.Plan:
        return _core.Plan(data, isa, 1, 0, 0, fast_math=case.fast_math, choices={**plain, **road})

    plans = [plan(case.first), plan(case.second)]
    kernels = [[info["kernel"] for info in each.step_infos(batch)] for each in (*plans, plan({}))]
    if kernels[0] == kernels[1]:
        return None
    xs = [
        RNG.integers(0, 256, (batch, *spec.shape), np.uint8)
        if spec.dtype == "uint8"
        else RNG.standard_normal((batch, *spec.shape)).astype(np.float32)
        for spec in case.model.inputs
    ]
    outs = [np.empty((batch, *case.model.values[name].shape), np.float32) for name in case.model.outputs]
    us = least(plans, xs, outs, batch, seconds)
    taken = kernels[0] == kernels[2]
    return {"isa": isa, "roads": case.roads, "layer": case.layer, "rows": case.rows, "us": us, "first_is_taken": taken}


def table(result: Mapping[str, Any]) -> str:
    """A line a layer, all batches in it; bold where the first road is the one that plans take."""
    lines: dict[tuple[str, str], dict[str, list[str]]] = {}
    for case in result["cases"]:
        text = f"{case['us'][0] / case['us'][1]:.2f}"
        text = f"**{text}**" if case["first_is_taken"] else text
        text = f"{case['rows']}: {text}" if case["rows"] else text
        lines.setdefault((case["roads"], case["layer"]), {}).setdefault(case["isa"], []).append(text)
    rows = [[*key, *(", ".join(cells.get(isa, [])) for isa in result["isas"])] for key, cells in lines.items()]
    return markdown(["roads", "layer", *result["isas"]], rows)


def main() -> None:
    """Measures all layers on all instruction sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa", help="one instruction set (default: all but ref that this CPU can run)")
    parser.add_argument("--seconds", type=float, default=0.02, help="for each layer")
    parser.add_argument("--core", type=int, default=0, help="core to run on")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    pin(options.core)
    isas = [options.isa] if options.isa else [isa for isa in _core.isas() if isa != "ref"]
    found = [measure(case, isa, options.seconds) for case in cases() for isa in isas]
    result = {"machine": machine(), "isas": isas, "cases": [case for case in found if case is not None]}
    report(result, table(result), options.json)


if __name__ == "__main__":
    main()
