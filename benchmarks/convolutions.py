"""Binary convolutions of one layer's size, here and in OpenVINO, interleaved in one run.

    python benchmarks/convolutions.py [--isa avx2] [--rounds 9] [--json]

Whole layers are timed: border, product, output. `bits` layers take bits and give bits by a threshold; `residual` layers
scale their sums, add the float image that came in, and take its sign for the next layer, as most published networks
do. A layer's time is its marginal cost in a chain: (T_LAYERS - T_1) / (LAYERS - 1) leaves out entering and leaving.
Both sides get the same weights, one thread, one core; their outputs are compared first, and the greatest difference
printed (a 2 is one sign that flipped, where a float sum of residuals lies within rounding of 0).

OpenVINO picks its kernel by the CPU, and has no switch for it. To compare AVX2 with AVX2 on a machine that has AVX-512,
point --openvino at a copy that hide_avx512.py has made.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

from bnnengine import BinaryConv2d, Engine, Graph, Model, Sign, Threshold
from common import interleave, machine, markdown, pin, quartiles, report

# size, channels, kernel: a ResNet-18's, then other counts of channels and other kernels
SHAPES = (
    (56, 64, 3),
    (28, 128, 3),
    (14, 256, 3),
    (7, 512, 3),
    (56, 32, 3),
    (28, 96, 3),
    (14, 200, 3),
    (28, 128, 1),
    (14, 256, 1),
    (28, 128, 5),
    (14, 256, 5),
)
LAYERS = 5


def chain(size: int, channels: int, kernel: int, layers: int, residual: bool) -> Model:
    """So many layers, one after the other, from a float image to a float image."""
    rng = np.random.default_rng(size)
    g = Graph()
    x = g.input((size, size, channels))
    for number in range(layers):
        weight, pad = rng.choice([-1, 1], (channels, kernel, kernel, channels)), kernel // 2
        if residual:
            vectors = {"scale": rng.uniform(0.1, 1, channels), "bias": rng.normal(size=channels)}
            x = g(BinaryConv2d(weight, padding=pad, **vectors), g(Sign(), x)) + x
        else:
            threshold = Threshold(2 * rng.integers(-5, 6, channels)) if number < layers - 1 else None
            bits = g(Sign(), x) if number == 0 else x
            x = g(BinaryConv2d(weight, padding=pad, pad_value=-1, threshold=threshold), bits)
    return g.model(x)


def measure(shape: tuple[int, int, int], residual: bool, options: argparse.Namespace) -> dict[str, Any]:
    """One shape."""
    from peers import open_vino

    size, channels, kernel = shape
    x = np.random.default_rng(0).standard_normal((1, size, size, channels)).astype(np.float32)
    image = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    calls, name, difference, isa = {}, "", 0.0, ""
    for layers in (1, LAYERS):
        model = chain(*shape, layers, residual)
        engine = Engine(model.to_bytes(), isa=options.isa, num_threads=1)
        out = engine.predict(x)
        calls[f"ours {layers}"] = lambda engine=engine, out=out: engine.predict(x, out=out)
        run, name = open_vino.session(model, 1)
        difference = max(difference, float(np.abs(run(image).transpose(0, 2, 3, 1) - out).max()))
        calls[f"theirs {layers}"] = lambda run=run: run(image)
        isa = engine.isa
    times = interleave(calls, options.rounds, 0.03)

    def marginal(side: str) -> list[float]:
        pairs = zip(times[f"{side} {LAYERS}"], times[f"{side} 1"], strict=True)
        return [(long - short) / (LAYERS - 1) * 1e6 for long, short in pairs]

    here, there = marginal("ours"), marginal("theirs")
    least = [(min(times[f"{s} {LAYERS}"]) - min(times[f"{s} 1"])) / (LAYERS - 1) * 1e6 for s in ("ours", "theirs")]
    return {
        "layer": f"{'residual' if residual else 'bits'} {size}x{size}x{channels}, {kernel}x{kernel}",
        "isa": isa,
        "openvino_kernel": name,
        "difference": difference,
        "ours_us": quartiles(here),
        "openvino_us": quartiles(there),
        "ours_least_us": least[0],
        "openvino_least_us": least[1],
        "ours_gmacs_per_second": (size * channels * kernel) ** 2 / least[0] / 1e3,
        "ratio": quartiles([b / a for a, b in zip(here, there, strict=True)]),
    }


def main() -> None:
    """Measures all shapes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa", help="instruction set of ours (default: the best)")
    parser.add_argument("--openvino", metavar="DIR", help="folder to import openvino from, as hide_avx512.py makes it")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--core", type=int, default=0, help="core to run on")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.openvino:
        sys.path.insert(0, options.openvino)
    pin(options.core)
    layers = [measure(shape, residual, options) for residual in (False, True) for shape in SHAPES]

    def spread(q: dict[str, float], form: str) -> str:
        return f"{q['median']:{form}} ({q['q1']:{form}} to {q['q3']:{form}})"

    rows = [
        [
            s["layer"],
            f"{s['ours_least_us']:.0f}",
            spread(s["ours_us"], ".0f"),
            f"{s['ours_gmacs_per_second']:.0f}",
            f"{s['openvino_least_us']:.0f}",
            spread(s["openvino_us"], ".0f"),
            f"**{s['openvino_least_us'] / s['ours_least_us']:.2f}**",
            spread(s["ratio"], ".2f"),
        ]
        for s in layers
    ]
    ours, theirs = f"bnnengine {layers[0]['isa']}", f"OpenVINO {layers[0]['openvino_kernel']}"
    head = ["layer", f"{ours}, least us", "median (quartiles)", "GMAC/s", f"{theirs}, least us", "median (quartiles)"]
    head += ["ratio of the least", "median ratio (quartiles)"]
    report({"machine": machine("openvino"), "layers": layers}, markdown(head, rows), options.json)


if __name__ == "__main__":
    main()
