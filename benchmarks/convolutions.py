"""Binary convolutions of one layer's size, here and in OpenVINO, interleaved in one run.

    python benchmarks/convolutions.py [--isa avx2] [--rounds 9] [--json]

Whole layers are timed: border, product, output. `bits` layers take bits and give bits by a threshold; `residual` layers
scale their sums, add the float image that came in, and take its sign for the next layer, as most published networks
do. A layer's time is its marginal cost in a chain: (T_LAYERS - T_1) / (LAYERS - 1) leaves out entering and leaving.
Layers of stride 2 make no chain: so many of them stand side by side over the same bits, and their outputs are added up
(`residual`), or each goes through a layer of stride 1, whose sums are added up (`bits`: the time is that of both).
Both sides get the same weights, one thread, one core; their outputs are compared first, and the greatest difference
printed (a 2 is one sign that flipped, where a float sum of residuals lies within rounding of 0).

Bit-MACs a cycle: the core's clock is measured by a chain of additions (common.py). The bound is what the vector ports
allow the kernel's inner loop, as the header comment of src/bnncore/kernels/bgemm_<isa>.c counts them.

OpenVINO picks its kernel by the CPU, and has no switch for it. To compare AVX2 with AVX2 on a machine that has AVX-512,
point --openvino at a copy that hide_avx512.py has made.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from bnnengine import BinaryConv2d, Engine, Graph, Model, Sign, Threshold
from common import bit_bound, clock, interleave, machine, markdown, pin, quartiles, report

# size, channels, kernel, stride: a ResNet-18's, then other counts of channels, other kernels, and strides
SHAPES = (
    (56, 64, 3, 1),
    (28, 128, 3, 1),
    (14, 256, 3, 1),
    (7, 512, 3, 1),
    (56, 32, 3, 1),
    (28, 96, 3, 1),
    (14, 200, 3, 1),
    (28, 128, 1, 1),
    (14, 256, 1, 1),
    (28, 128, 5, 1),
    (14, 256, 5, 1),
    (56, 64, 3, 2),
    (28, 128, 3, 2),
    (14, 256, 3, 2),
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


def branches(size: int, channels: int, kernel: int, layers: int, residual: bool) -> Model:
    """So many layers of stride 2 side by side, added up."""
    rng = np.random.default_rng(size)
    g = Graph()
    bits, pad, found = g(Sign(), g.input((size, size, channels))), kernel // 2, None
    for _ in range(layers):
        weights = [rng.choice([-1, 1], (channels, kernel, kernel, channels)) for _ in range(2)]
        vectors = {"scale": rng.uniform(0.1, 1, channels), "bias": rng.normal(size=channels)}
        if residual:
            y = g(BinaryConv2d(weights[0], strides=2, padding=pad, **vectors), bits)
        else:
            threshold = Threshold(2 * rng.integers(-5, 6, channels))
            y = g(BinaryConv2d(weights[0], strides=2, padding=pad, pad_value=-1, threshold=threshold), bits)
            y = g(BinaryConv2d(weights[1], padding=pad, pad_value=-1, **vectors), y)
        found = y if found is None else y + found
    assert found is not None
    return g.model(found)


def macs_of(shape: tuple[int, int, int, int], residual: bool) -> int:
    """Of what is timed."""
    size, channels, kernel, stride = shape
    return (size // stride * channels * kernel) ** 2 * (2 if stride == 2 and not residual else 1)


def measure(shape: tuple[int, int, int, int], residual: bool, options: argparse.Namespace) -> dict[str, Any]:
    """One shape."""
    try:
        from peers import open_vino
    except ImportError:
        open_vino = None  # type: ignore[assignment]
    size, channels, kernel, stride = shape
    x = np.random.default_rng(0).standard_normal((1, size, size, channels)).astype(np.float32)
    image = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    calls, name, difference, isa = {}, "", 0.0, ""
    for layers in (1, LAYERS):
        model = (chain if stride == 1 else branches)(size, channels, kernel, layers, residual)
        engine = Engine(model.to_bytes(), isa=options.isa, num_threads=1)
        out = engine.predict(x)
        calls[f"ours {layers}"] = lambda engine=engine, out=out: engine.predict(x, out=out)
        isa = engine.isa
        if open_vino is None:
            continue
        run, name = open_vino.session(model, 1)
        difference = max(difference, float(np.abs(run(image).transpose(0, 2, 3, 1) - out).max()))
        calls[f"theirs {layers}"] = lambda run=run: run(image)
    times = interleave(calls, options.rounds, 0.03)

    def marginal(side: str) -> list[float]:
        pairs = zip(times[f"{side} {LAYERS}"], times[f"{side} 1"], strict=True)
        return [(long - short) / (LAYERS - 1) * 1e6 for long, short in pairs]

    def least(side: str) -> float:
        return (min(times[f"{side} {LAYERS}"]) - min(times[f"{side} 1"])) / (LAYERS - 1) * 1e6

    kind, at = "residual" if residual else "bits", "" if stride == 1 else "/2" if residual else "/2, 3x3"
    ghz, bound = options.ghz, bit_bound(isa)
    rate = macs_of(shape, residual) / least("ours") / 1e3
    found = {
        "layer": f"{kind} {size}x{size}x{channels}, {kernel}x{kernel}{at}",
        "isa": isa,
        "ours_us": quartiles(marginal("ours")),
        "ours_least_us": least("ours"),
        "macs": macs_of(shape, residual),
        "ours_gmacs_per_second": rate,
        "macs_per_cycle": rate / ghz if ghz else None,
        "share_of_bound": rate / ghz / bound if ghz and bound else None,
    }
    if open_vino is None:
        return found
    pairs = zip(marginal("ours"), marginal("theirs"), strict=True)
    return {
        **found,
        "openvino_kernel": name,
        "difference": difference,
        "openvino_us": quartiles(marginal("theirs")),
        "openvino_least_us": least("theirs"),
        "ratio": quartiles([b / a for a, b in pairs]),
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All shapes; options as of main."""
    options.ghz = clock()
    layers = [measure(shape, residual, options) for residual in (False, True) for shape in SHAPES]
    return {"machine": machine("openvino"), "core_ghz": options.ghz, "layers": layers}


def table(result: Mapping[str, Any]) -> str:
    """Times, rates, shares, ratios."""
    rows = []
    for s in result["layers"]:
        q, ours = s["ours_us"], s["ours_least_us"]
        share = f", {s['share_of_bound']:.0%}" if s.get("share_of_bound") else ""
        cycle = f"{s['macs_per_cycle']:.0f}{share}" if s.get("macs_per_cycle") else ""
        rows.append([
            s["layer"], f"{ours:.0f}", f"{q['median']:.0f} ({q['q1']:.0f} to {q['q3']:.0f})",
            f"{s['ours_gmacs_per_second']:.0f}", cycle,
        ])  # fmt: skip
        if "ratio" in s:
            r, peer = s["ratio"], s["openvino_least_us"]
            spread = f"{r['median']:.2f} ({r['q1']:.2f} to {r['q3']:.2f})"
            rows[-1] += [f"{peer:.0f}", f"**{peer / ours:.2f}**", spread]
    first = result["layers"][0]
    head = [
        "layer",
        f"bnnengine {first['isa']}, least us",
        "median (quartiles)",
        "GMAC/s",
        "MACs a cycle, of the bound",
    ]
    if "ratio" in first:
        head += [f"OpenVINO {first['openvino_kernel']}, least us", "ratio", "median ratio (quartiles)"]
    return markdown(head, rows)


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
    result = run(options)
    report(result, table(result), options.json)


if __name__ == "__main__":
    main()
