"""Whole networks of the zoo, batch 1, here and in other engines, interleaved in one run.

    python benchmarks/networks.py [--models birealnet18,quicknet] [--threads 1] [--isa avx2] [--rounds 7] [--json]

Each network is random weights in the published topology. What is compared:

    ort            ONNX Runtime, float32, without the signs: the fastest that a float engine does with this topology
    ort signs      the same with a Sign before each binary convolution: what a trained network needs there
    batch 8, 32    ours, for an image of such a batch, beside the same images one by one, in turns
    fast_math      ours with Engine.load(..., fast_math=True), where that changes anything
    openvino       its 1-bit convolution (float32 elsewhere), from the same layers
    lce, lce indirect   Larq Compute Engine with Larq Zoo's own network of that name, both settings of its binary GEMM

OpenVINO and ONNX Runtime (with signs) get our weights, and their first output is compared with ours before anything is
timed: `difference` is the greatest one, relative to the largest output. Larq Zoo's networks have random weights of
their own. Engines choose their instruction sets by the CPU; --openvino, --onnxruntime and --lce take folders made by
hide_avx512.py, to compare AVX2 with AVX2 on a machine that has AVX-512. Larq Compute Engine needs its own environment:
--lce-python PYTHON --lce-models FOLDER, from larq_models.py.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnengine import Engine, Model, zoo
from common import least, machine, markdown, quartiles, report

Array = npt.NDArray[np.float32]
Timer = Callable[[float], float]

PEERS = {
    "openvino": "OpenVINO 1-bit",
    "ort": "ONNX Runtime, no signs",
    "ort signs": "with signs",
    "lce": "Larq, default",
    "lce indirect": "Larq, indirect",
}
BATCHES = (8, 32)


def batches(engine: Engine, x: Array, seconds: float) -> dict[str, tuple[float, float]]:
    """For each size of a batch the least time for an image in it, in ms, and that of the same images one by one."""
    times = {}
    for n in BATCHES:
        many = np.repeat(x, n, 0)
        alone, together, end = float("inf"), float("inf"), time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            for i in range(n):
                engine.predict(many[i : i + 1])
            middle = time.perf_counter()
            engine.predict(many)
            alone, together = min(alone, middle - start), min(together, time.perf_counter() - middle)
        times[str(n)] = (together / n * 1e3, alone / n * 1e3)
    return times


def timers(
    name: str, engine: Engine, model: Model, x: Array, options: argparse.Namespace
) -> tuple[dict[str, Timer], dict[str, float]]:
    """For each engine the least time of a call over some seconds; differences from our output."""
    image = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    out = engine.predict(x)
    first = out[0] if isinstance(out, tuple) else out
    found: dict[str, Timer] = {"bnnengine": lambda s: least(lambda: engine.predict(x, out=out), s)}
    fast = Engine(model.to_bytes(), isa=options.isa, num_threads=options.threads, fast_math=True)
    if fast.summary() != engine.summary():
        found["fast_math"] = lambda s: least(lambda: fast.predict(x, out=out), s)
    differences: dict[str, float] = {}

    def add(label: str, run: Callable[[Any], Any], compare: bool) -> None:
        if compare:
            differences[label] = float(np.abs(run(image) - first).max() / np.abs(first).max())
        found[label] = lambda s: least(lambda: run(image), s)

    if "ort" in options.peers:
        from peers import onnx_runtime

        add("ort", onnx_runtime.session(model, False, options.threads), False)
        add("ort signs", onnx_runtime.session(model, True, options.threads), True)
    if "openvino" in options.peers:
        from peers import open_vino

        run, kernel = open_vino.session(model, options.threads)
        add("openvino", run, True)
        differences[f"openvino kernel {kernel}"] = 0.0
    path = Path(options.lce_models or ".") / f"{name}.tflite"
    if options.lce_python and path.exists():
        from peers.larq import Larq

        for label, indirect in (("lce", False), ("lce indirect", True)):
            found[label] = Larq(options.lce_python, options.lce, path, options.threads, indirect).time
    return found, differences


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One network."""
    model = getattr(zoo, name)()
    engine = Engine(model.to_bytes(), isa=options.isa, num_threads=options.threads)
    x = np.random.default_rng(1).standard_normal((1, *model.inputs[0].shape)).astype(np.float32)
    calls, differences = timers(name, engine, model, x, options)
    times: dict[str, list[float]] = {label: [] for label in calls}
    batched: list[dict[str, tuple[float, float]]] = []
    order = np.random.default_rng(0)
    for _ in range(options.rounds):
        for label in order.permutation(list(calls)):
            times[label].append(calls[label](options.seconds) * 1e3)
        batched.append(batches(engine, x, options.seconds))
    ours = times["bnnengine"]
    return {
        "network": name,
        "isa": engine.isa,
        "threads": options.threads,
        "differences": differences,
        "batch": {
            n: {"ms": min(b[n][0] for b in batched), "to_alone": quartiles([b[n][0] / b[n][1] for b in batched])}
            for n in batched[0]
        },
        "ms": {label: quartiles(values) for label, values in times.items()},
        "ratio": {
            label: quartiles([b / a for a, b in zip(ours, values, strict=True)])
            for label, values in times.items()
            if label != "bnnengine"
        },
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The networks that are asked for; options as of main."""
    networks = [measure(name, options) for name in options.models.split(",")]
    return {"machine": machine("openvino", "onnxruntime"), "networks": networks}


def table(result: Mapping[str, Any]) -> str:
    """Least times; behind a peer's its ratio to ours, and to ours with fast_math; behind a batch's to single images."""
    fast = any("fast_math" in network["ms"] for network in result["networks"])
    sizes = list(result["networks"][0]["batch"])
    peers = {label: text for label, text in PEERS.items() if any(label in n["ms"] for n in result["networks"])}
    rows = []
    for network in result["networks"]:
        ms = network["ms"]
        ours = [ms[key]["least"] for key in ("bnnengine", "fast_math") if key in ms]

        def cell(key: str, ms: dict[str, Any] = ms, ours: list[float] = ours) -> str:
            if key not in ms:
                return ""
            least = ms[key]["least"]
            return f"{least:.2f} (**{', '.join(f'{least / own:.1f}' for own in ours)}**)"

        own = [f"{ms['bnnengine']['least']:.2f}", f"{ms['bnnengine']['median']:.2f}"]
        own += [f"{batch['ms']:.2f} ({batch['to_alone']['median']:.2f})" for batch in network["batch"].values()]
        own += [f"{ms['fast_math']['least']:.2f}" if "fast_math" in ms else ""] if fast else []
        rows.append([network["network"], *own, *map(cell, peers)])
    head = ["network", "bnnengine, least ms", "median", *(f"an image of {n}" for n in sizes)]
    return markdown([*head, *(["fast_math, least"] if fast else []), *peers.values()], rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What suite.py has too."""
    parser.add_argument("--models", default=",".join(zoo.__all__), help="names in bnnengine.zoo, with commas")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.15, help="of each call in each round")
    parser.add_argument("--onnxruntime", metavar="DIR", help="folder to import onnxruntime from")
    parser.add_argument("--lce", metavar="DIR", help="folder to import larq_compute_engine from")
    parser.add_argument("--lce-python", help="Python with larq-compute-engine")
    parser.add_argument("--lce-models", help="folder of larq_models.py")


def main() -> None:
    """Measures the networks that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="ort,openvino", help="of ort and openvino, with commas")
    parser.add_argument("--isa", help="instruction set of ours (default: the best)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--openvino", metavar="DIR", help="folder to import openvino from")
    parser.add_argument("--json", action="store_true")
    add_arguments(parser)
    options = parser.parse_args()
    for folder in (options.openvino, options.onnxruntime):
        if folder:
            sys.path.insert(0, folder)
    result = run(options)
    report(result, table(result), options.json)


if __name__ == "__main__":
    main()
