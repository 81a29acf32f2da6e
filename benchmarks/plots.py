"""Pictures of what suite.py has measured: a network's time layer by layer, ratios to the peers, a roofline.

    python benchmarks/plots.py --results FOLDER [--tag _zen5_avx2] [--isa avx2]

The layers' times are measured anew, by Engine.profile, on one thread. Needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np

import networks
from bnnengine import Engine, zoo
from common import bit_bound

# kernel families by what they do, and a colour for each kind that is told apart without its hue
KINDS = {
    "binary sums": ("#1b6ca8", ("bgemm", "bgemv")),
    "real sums": ("#f2a541", ("fgemm", "winograd", "igemm", "fdepth")),
    "number by number": ("#8fb996", ("vector", "norm")),
    "pools": ("#c44536", ("window", "pool")),
    "packing": ("#6b4e71", ("pack", "settle")),
    "other": ("#bbbbbb", ()),
}
PEERS = {"openvino": ("o", "#c44536"), "ort": ("s", "#f2a541"), "lce indirect": ("^", "#1b6ca8")}


def kind_of(kernel: str) -> str:
    """The kind of work of a step, by its kernel."""
    family = kernel.split(" ")[0]
    return next((kind for kind, (_, families) in KINDS.items() if family in families), "other")


def layers(names: list[str], isa: str | None, path: Path) -> None:
    """A bar a network, a segment a pass: what its layers take."""
    figure, axes = plt.subplots(figsize=(9, 0.36 * len(names) + 1.2))
    for row, name in enumerate(names):
        model = getattr(zoo, name)()
        engine = Engine(model.to_bytes(), isa=isa, num_threads=1)
        x = np.random.default_rng(0).standard_normal((1, *model.inputs[0].shape)).astype(model.inputs[0].dtype)
        steps = [step for step in engine.profile(x, seconds=0.3).steps if step.ms]
        ends = np.cumsum([step.ms for step in steps])
        colors = [KINDS[kind_of(step.kernel)][0] for step in steps]
        spans = [(end - step.ms, step.ms) for step, end in zip(steps, ends, strict=True)]
        axes.broken_barh(spans, (row - 0.38, 0.76), facecolors=colors, edgecolor="white", linewidth=0.2)
        left = float(ends[-1])
        axes.text(left, row, f" {left:.2f} ms", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("ms, one image, one thread; a segment is a layer with what runs in its pass")
    handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color, _ in KINDS.values()]
    axes.legend(handles, KINDS, fontsize=8, loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    figure.savefig(path, bbox_inches="tight", dpi=110)
    plt.close(figure)


def ratios(result: Mapping[str, Any], path: Path) -> None:
    """For each network how many times as long as ours a peer takes."""
    found = result["networks"]
    figure, axes = plt.subplots(figsize=(9, 0.3 * len(found) + 1.2))
    for label, (marker, color) in PEERS.items():
        at = [i for i, n in enumerate(found) if label in n["ms"]]
        values = [found[i]["ms"][label]["least"] / found[i]["ms"]["bnnengine"]["least"] for i in at]
        if at:
            axes.plot(values, at, marker, color=color, label=networks.PEERS[label], markersize=6)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    ticks = [1, 2, 3, 5, 10, 20, 30]
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(found)), [n["network"] for n in found], fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("a peer's time over ours (least of the rounds); left of 1 the peer is faster")
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, bbox_inches="tight", dpi=110)
    plt.close(figure)


def traffic(layer: Mapping[str, Any]) -> float:
    """Bytes that a layer of convolutions.py reads and writes at the least: bits in, weights, bits or floats out."""
    kind, shape, kernel = layer["layer"].split(" ")[:3]
    size, _, channels = map(int, shape.rstrip(",").split("x"))
    taps = int(kernel.rstrip(",").split("x")[0]) ** 2
    pixels = size * size * channels
    return taps * channels**2 / 8 + pixels / 8 + (pixels / 8 if kind == "bits" else 8 * pixels + pixels / 8)


def roofline(result: Mapping[str, Any], read: float | None, path: Path) -> None:
    """Rates of the layers of stride 1 over bit-MACs a byte, under the ports' bound and the memory's."""
    figure, axes = plt.subplots(figsize=(7, 4.5))
    points = [layer for layer in result["layers"] if "/2" not in layer["layer"]]
    for kind, marker, color in (("bits", "o", "#1b6ca8"), ("residual", "^", "#f2a541")):
        chosen = [layer for layer in points if layer["layer"].startswith(kind)]
        at = [layer["macs"] / traffic(layer) for layer in chosen]
        axes.plot(at, [layer["ours_gmacs_per_second"] for layer in chosen], marker, color=color, label=kind)
        peers = [layer["macs"] / layer["openvino_least_us"] / 1e3 for layer in chosen if "openvino_least_us" in layer]
        if peers:
            axes.plot(at, peers, marker, color=color, fillstyle="none", label=f"{kind}, OpenVINO")
    span = np.geomspace(5, 10000, 50)
    bound, ghz = bit_bound(points[0]["isa"]), result["core_ghz"]
    if bound and ghz:
        axes.axhline(bound * ghz, color="black", linewidth=0.8)
        axes.text(span[-1], bound * ghz * 1.04, f"ports: {bound} a cycle at {ghz:.2f} GHz", ha="right", fontsize=8)
    if read:
        axes.plot(span, span * read, color="black", linewidth=0.8, linestyle="--")
        axes.text(span[0] * 1.2, span[0] * read * 1.6, f"reads of {read:.0f} GB/s", fontsize=8, rotation=40)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(span[0], span[-1])
    axes.set_ylim(50, 5000)
    axes.set_xlabel("bit-MACs for each byte read or written")
    axes.set_ylabel("GMAC/s, one thread")
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, bbox_inches="tight", dpi=110)
    plt.close(figure)


def draw(results: Mapping[str, Mapping[str, Any]], folder: Path, tag: str, isa: str | None = None) -> list[Path]:
    """All pictures that the results allow."""
    made = {name: folder / f"{name}{tag}.png" for name in ("layers", "ratios", "roofline")}
    drawn = []
    if "networks" in results:
        found = results["networks"]["networks"]
        layers([n["network"] for n in found], isa or found[0]["isa"], made["layers"])
        ratios(results["networks"], made["ratios"])
        drawn += [made["layers"], made["ratios"]]
    if "convolutions" in results:
        batches = results.get("dense", {}).get("batches", ())
        reads = [4096**2 / 8 / b["others_us"]["read"]["least"] / 1e3 for b in batches if "read" in b["others_us"]]
        roofline(results["convolutions"], reads[0] if reads else None, made["roofline"])
        drawn.append(made["roofline"])
    return drawn


def main() -> None:
    """Draws stored results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, metavar="FOLDER", help="where suite.py wrote")
    parser.add_argument("--tag", default="", help="of the files' names")
    options = parser.parse_args()
    paths = {part: options.results / f"{part}{options.tag}.json" for part in ("convolutions", "dense", "networks")}
    results = {part: json.loads(path.read_text()) for part, path in paths.items() if path.exists()}
    for path in draw(results, options.results, options.tag):
        print(f"{path} is written")


if __name__ == "__main__":
    main()
