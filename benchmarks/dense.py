"""A binary dense layer of 4096 inputs and 4096 outputs, here, in NumKong and in bnn-lab, interleaved in one run.

    python benchmarks/dense.py [--isa avx2] [--rounds 9] [--json]

Ours is the whole layer, bits to bits by a threshold: the marginal cost in a chain, (T_3 - T_1) / 2. NumKong's packed
Hamming distances are the counts alone, on weights that it has packed before, and bnn-lab's products the sums as floats,
of operands packed before (`pip install --no-deps bnn-lab`, beside torch). For one row the time of a plain read of
weights stands beside them, which no layer can undercut for long: NumPy's maximum over three layers' (6 MiB), a third.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bnnengine import BinaryDense, Engine, Input, Sequential, Sign, Threshold
from common import interleave, machine, markdown, pin, quartiles, report

SIZE = 4096
AVX512 = ("skylake", "icelake", "genoa", "sapphire", "turin", "sierra", "alder", "diamond")


def ours(layers: int, isa: str | None, last: np.ndarray) -> Engine:
    """A chain of layers to bits, and one small layer to floats behind it."""
    rng = np.random.default_rng(0)
    zeros = Threshold(np.zeros(SIZE, np.int32))
    chain = [BinaryDense(rng.choice([-1, 1], (SIZE, SIZE)), threshold=zeros) for _ in range(layers)]
    model = Sequential([Input((SIZE,)), Sign(), *chain, BinaryDense(last)])
    return Engine(model.to_bytes(), isa=isa, num_threads=1)


def numkong(weight: np.ndarray, rows: np.ndarray, isa: str) -> Callable[[], Any] | None:
    """Counts of a batch of rows against all weights, by NumKong; None where it is not installed."""
    try:
        import numkong as nk
    except ImportError:
        return None
    if isa == "avx2":
        for name in (name for name, there in nk.get_capabilities().items() if there and name.startswith(AVX512)):
            nk.disable_capability(name)
    packed = nk.hammings_pack(np.packbits(weight > 0, axis=1), dtype="uint1")
    bits = np.packbits(rows > 0, axis=1)
    counts = np.asarray(nk.hammings_packed(bits, packed))
    wanted = (SIZE - np.where(rows > 0, 1, -1) @ weight.T.astype(np.int64)) // 2
    if not np.array_equal(counts, wanted):
        raise SystemExit("numkong: the counts differ; nothing was timed")
    return lambda: nk.hammings_packed(bits, packed)


def bnn_lab(weight: np.ndarray, rows: np.ndarray, isa: str) -> Callable[[], Any] | None:
    """The product of a batch of rows with all weights, by bnn-lab; None where it is not installed."""
    try:
        from bnn.kernels import packed as lab
    except ImportError:
        return None
    if not lab.native_kernel_available() or lab.set_kernel(isa) != isa:
        return None
    lab.set_num_threads(1)
    (x, k), (w, _) = lab.pack_binary_pm1(np.where(rows > 0, 1.0, -1.0)), lab.pack_binary_pm1(weight.astype(np.float32))
    wanted = np.where(rows > 0, 1, -1) @ weight.T.astype(np.int64)
    if not np.array_equal(lab.binary_gemm_native_prepacked(x, w, k), wanted):
        raise SystemExit("bnn-lab: the sums differ; nothing was timed")
    return lambda: lab.binary_gemm_native_prepacked(x, w, k)


def measure(rows: int, options: argparse.Namespace) -> dict[str, Any]:
    """One batch size."""
    rng = np.random.default_rng(1)
    x, last = rng.standard_normal((rows, SIZE)).astype(np.float32), rng.choice([-1, 1], (8, SIZE))
    engines = {layers: ours(layers, options.isa, last) for layers in (1, 3)}
    outs = {layers: engine.predict(x) for layers, engine in engines.items()}
    calls: dict[str, Callable[[], Any]] = {
        f"ours {layers}": lambda layers=layers: engines[layers].predict(x, out=outs[layers]) for layers in engines
    }
    isa = engines[1].isa
    weight = rng.choice([-1, 1], (SIZE, SIZE))
    for name, peer in (("numkong", numkong), ("bnn-lab", bnn_lab)):
        call = peer(weight, x, isa)
        if call:
            calls[name] = call
    if rows == 1:
        plain = [rng.integers(0, 2**63, SIZE * SIZE // 64, dtype=np.uint64) for _ in range(3)]
        calls["read"] = lambda: [weights.max() for weights in plain]
    times = interleave(calls, options.rounds, 0.05)
    layer = [(three - one) / 2 * 1e6 for three, one in zip(times["ours 3"], times["ours 1"], strict=True)]
    least = (min(times["ours 3"]) - min(times["ours 1"])) / 2 * 1e6
    scale = {"numkong": 1e6, "bnn-lab": 1e6, "read": 1e6 / 3}
    others = {name: quartiles([t * by for t in times[name]]) for name, by in scale.items() if name in times}
    return {
        "rows": rows,
        "isa": isa,
        "ours_us": quartiles(layer),
        "ours_least_us": least,
        "ours_gmacs_per_second": rows * SIZE * SIZE / least / 1e3,
        "others_us": others,
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """1, 16 and 256 rows; options as of main."""
    return {"machine": machine("numkong", "bnn-lab"), "batches": [measure(rows, options) for rows in (1, 16, 256)]}


def table(result: Mapping[str, Any]) -> str:
    """Times and ratios."""
    batches = result["batches"]
    names = {"numkong": "NumKong", "bnn-lab": "bnn-lab", "read": "plain read"}
    names = {name: text for name, text in names.items() if any(name in b["others_us"] for b in batches)}
    rows = []
    for b in batches:
        q, others, ours = b["ours_us"], b["others_us"], b["ours_least_us"]
        cells = [
            f"{others[n]['least']:.0f} (**{others[n]['least'] / ours:.2f}**)" if n in others else "" for n in names
        ]
        median = f"{q['median']:.0f} ({q['q1']:.0f} to {q['q3']:.0f})"
        rows.append([str(b["rows"]), f"{ours:.0f}", median, f"{b['ours_gmacs_per_second']:.0f}", *cells])
    head = [
        "rows",
        f"bnnengine {batches[0]['isa']}, least us",
        "median (quartiles)",
        "GMAC/s",
        *(f"{name}, least us (ratio)" for name in names.values()),
    ]
    return markdown(head, rows)


def main() -> None:
    """Measures 1, 16 and 256 rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa", help="instruction set of ours (default: the best)")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--core", type=int, default=0, help="core to run on")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    pin(options.core)
    result = run(options)
    report(result, table(result), options.json)


if __name__ == "__main__":
    main()
