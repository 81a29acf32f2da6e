"""Show every layer of a model: shapes, bits a weight, bytes, and why a layer is not binary."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from bnnengine.cli.common import Answer, float32_bytes, table
from bnnengine.layers import Layer
from bnnengine.layers.output import Sum
from bnnengine.layers.window import Window
from bnnengine.model import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("model", help="a .bnn file")


def why_not_binary(layer: Layer, dtype: str) -> str:
    """Why the layer does not multiply bits with bits; empty where it does, or where it multiplies nothing."""
    if not isinstance(layer, Sum):
        return ""
    if not layer.is_binary:
        return "real-valued: float32 weights"
    if dtype == "uint8":
        return "8-bit input, exact in integers"
    return "" if dtype == "bits" else "real-valued: float32 input"


def _macs(layer: Layer, shape: tuple[int, ...]) -> int:
    if not isinstance(layer, Sum):
        return 0
    window = getattr(layer, "window", None)
    places = int(np.prod(window.output("", *shape[:2]))) if isinstance(window, Window) else 1
    return layer.depth * layer.outputs * places


def _bytes(layer: Layer) -> int:
    tensors, _ = layer.to_record()
    return sum(t.words.nbytes if hasattr(t, "words") else t.nbytes for t in tensors.values())


def execute(options: argparse.Namespace) -> Answer:
    """Reads the model and tells."""
    data = Path(options.model).read_bytes()
    model = Model.load(data)
    layers: list[dict[str, Any]] = []
    for node in model.nodes:
        source, made, layer = model.values[node.inputs[0]], model.values[node.outputs[0]], node.layer
        weights = int(np.prod(layer.weight.shape)) if isinstance(layer, Sum) else 0
        layers.append(
            {
                "name": node.name,
                "layer": type(layer).__name__,
                "input": str(source),
                "output": str(made),
                "weights": weights,
                "bits_a_weight": (1 if layer.is_binary else 32) if isinstance(layer, Sum) else None,
                "bytes": _bytes(layer),
                "macs": _macs(layer, source.shape),
                "not_binary": why_not_binary(layer, source.dtype),
            }
        )
    real = float32_bytes(model)
    binary = sum(entry["macs"] for entry in layers if not entry["not_binary"])
    total = sum(entry["macs"] for entry in layers)
    result = {
        "file": options.model,
        "file_bytes": len(data),
        "float32_bytes": real,
        "layers": layers,
        "macs": total,
        "binary_macs": binary,
        "inputs": [{"name": s.name, "dtype": s.dtype, "shape": s.shape} for s in model.inputs],
        "outputs": list(model.outputs),
        "metadata": dict(model.metadata),
    }
    rows = [
        [
            e["name"], e["layer"], e["input"], e["output"], f"{e['weights']:,}" if e["weights"] else "",
            "" if e["bits_a_weight"] is None else str(e["bits_a_weight"]), f"{e['bytes']:,}",
            f"{e['macs']:,}" if e["macs"] else "", e["not_binary"],
        ]
        for e in layers
    ]  # fmt: skip
    head = ["layer", "kind", "input", "output", "weights", "bits", "bytes", "MACs", "why not binary"]
    share = f", {binary / total:.1%} of them binary" if total else ""
    size = (
        f"{len(data):,} bytes; {real:,} as float32, {real / len(data):.1f} times as much"
        if real
        else f"{len(data):,} bytes"
    )
    lines = [table(head, rows, 4), "", f"size      {size}", f"work      {total:,} multiply-accumulates a sample{share}"]
    lines += [f"{key:<9} {value}" for key, value in model.metadata.items()]
    return result, "\n".join(lines), 0
