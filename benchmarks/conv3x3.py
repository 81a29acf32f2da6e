"""The four 3x3 binary convolutions of a ResNet-18, bits to bits, here and in OpenVINO, interleaved in one run.

    python benchmarks/conv3x3.py [--isa avx2] [--rounds 15] [--json]

A layer is timed whole (border, cells, product, threshold, packing) and as a marginal cost: chains of one layer and of
LAYERS layers are timed, and (T_LAYERS - T_1) / (LAYERS - 1) leaves out entering and leaving the bits. Both sides get
the same weights, padding (-1) and thresholds, one thread, one core; their outputs are compared first, and the script
stops if they differ.

OpenVINO picks its kernel by the CPU, and has no switch for it. To compare AVX2 with AVX2 on a machine that has AVX-512,
point --openvino at a copy that hide_avx512.py has made.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any

import numpy as np

from bnnengine import BinaryConv2d, Engine, Input, Sequential, Sign, Threshold
from common import interleave, machine, markdown, pin, quartiles, report

SHAPES = ((56, 64), (28, 128), (14, 256), (7, 512))
LAYERS = 5


def chain(size: int, channels: int, layers: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights (+-1) and integer thresholds of each layer."""
    rng = np.random.default_rng(size)
    return [
        (rng.choice([-1, 1], (channels, 3, 3, channels)), 2 * rng.integers(-20, 21, channels)) for _ in range(layers)
    ]


def ours(size: int, channels: int, layers: int, isa: str | None) -> Engine:
    """The chain here: signs of a float image, convolutions, the last of them without a threshold."""
    convolutions = [
        BinaryConv2d(w, padding=1, pad_value=-1, threshold=Threshold(t)) for w, t in chain(size, channels, layers)
    ]
    convolutions[-1] = replace(convolutions[-1], threshold=None)
    model = Sequential([Input((size, size, channels)), Sign(), *convolutions])
    return Engine.load(model.to_bytes(), isa=isa, num_threads=1)


def theirs(size: int, channels: int, layers: int) -> tuple[Any, str]:
    """The chain in OpenVINO, compiled, and the kernel that it chose; it compares with >, hence the half."""
    import openvino as ov
    from openvino import opset13 as op

    kept: list[Any] = []  # OpenVINO's constants share the memory of these arrays

    def constant(array: Any) -> Any:
        kept.append(array)
        return op.constant(array)

    def sign(x: Any, least: np.ndarray) -> Any:
        level = least.reshape(1, channels, 1, 1).astype(np.float32)
        minus, plus = (constant(np.full((1, 1, 1, 1), value, np.float32)) for value in (-1, 1))
        # two levels over [level - 1, level + 1] meet at the level; equal ends would make every output the same
        return op.fake_quantize(x, constant(level - 1), constant(level + 1), minus, plus, 2)

    parameter = op.parameter([1, channels, size, size], np.float32)
    x, least = parameter, np.zeros(channels)
    for weight, threshold in chain(size, channels, layers):
        packed = np.packbits(weight.transpose(0, 3, 1, 2).ravel() > 0, bitorder="little")
        kept.append(packed)
        tensor = ov.Tensor(packed, ov.Shape([channels, channels, 3, 3]), ov.Type.u1)
        x, least = sign(x, least), threshold - 0.5
        x = op.binary_convolution(x, constant(tensor), [1, 1], [1, 1], [1, 1], [1, 1], "xnor-popcount", -1.0)
    compiled = ov.Core().compile_model(ov.Model([x], [parameter]), "CPU", {"INFERENCE_NUM_THREADS": 1})
    request = compiled.create_infer_request()
    infos = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    kinds = {i["primitiveType"].astype(str) for i in infos if i["layerType"].astype(str) == "BinaryConvolution"}
    request.kept = kept
    return request, ", ".join(sorted(kinds))


def measure(size: int, channels: int, isa: str | None, rounds: int) -> dict[str, Any]:
    """One shape."""
    x = np.random.default_rng(0).standard_normal((1, size, size, channels)).astype(np.float32)
    image = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    calls, kernel = {}, ""
    for layers in (1, LAYERS):
        engine = ours(size, channels, layers, isa)
        out = engine.predict(x)
        calls[f"ours {layers}"] = lambda engine=engine, out=out: engine.predict(x, out=out)
        request, kernel = theirs(size, channels, layers)
        calls[f"theirs {layers}"] = lambda request=request: request.infer([image], share_inputs=True)
        answer = next(iter(request.infer([image]).values()))
        if not np.array_equal(out, answer.transpose(0, 2, 3, 1)):
            sys.exit(f"{size}x{size}x{channels}, {layers} layers: the outputs differ; nothing was timed")
    times = interleave(calls, rounds, 0.05)

    def marginal(side: str) -> list[float]:
        pairs = zip(times[f"{side} {LAYERS}"], times[f"{side} 1"], strict=True)
        return [(long - short) / (LAYERS - 1) * 1e6 for long, short in pairs]

    here, there = marginal("ours"), marginal("theirs")
    macs = size * size * channels * channels * 9
    return {
        "shape": f"{size}x{size}x{channels}",
        "isa": engine.isa,
        "openvino_kernel": kernel,
        "ours_us": quartiles(here),
        "openvino_us": quartiles(there),
        "ours_gmacs_per_second": macs / np.median(here) / 1e3,
        "openvino_gmacs_per_second": macs / np.median(there) / 1e3,
        "ratio": quartiles([b / a for a, b in zip(here, there, strict=True)]),
    }


def main() -> None:
    """Measures the four shapes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa", help="instruction set of ours (default: the best)")
    parser.add_argument("--openvino", metavar="DIR", help="folder to import openvino from, as hide_avx512.py makes it")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--core", type=int, default=0, help="core to run on")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.openvino:
        sys.path.insert(0, options.openvino)
    pin(options.core)
    shapes = [measure(size, channels, options.isa, options.rounds) for size, channels in SHAPES]

    def spread(q: dict[str, float], form: str) -> str:
        return f"{q['median']:{form}} ({q['q1']:{form}} to {q['q3']:{form}})"

    rows = [
        [
            s["shape"],
            spread(s["ours_us"], ".0f"),
            f"{s['ours_gmacs_per_second']:.0f}",
            spread(s["openvino_us"], ".0f"),
            f"{s['openvino_gmacs_per_second']:.0f}",
            spread(s["ratio"], ".2f"),
        ]
        for s in shapes
    ]
    isa, kernel = shapes[0]["isa"], shapes[0]["openvino_kernel"]
    head = ["shape", f"bnnengine {isa}, us", "GMAC/s", f"OpenVINO {kernel}, us", "GMAC/s", "ratio"]
    report({"machine": machine("openvino"), "shapes": shapes}, markdown(head, rows), options.json)


if __name__ == "__main__":
    main()
