"""Predict a file of samples.

The input is .npy, or .npz with one array or with one named after each input; its first axis is the batch.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from bnnengine.cli.common import Answer, add_engine_arguments, load_engine, read_samples
from bnnengine.engine import Engine
from bnnengine.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("model", help="a .bnn file")
    parser.add_argument("input", help="a .npy or .npz file")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the outputs to this .npy file (.npz for several)")
    parser.add_argument("--top", type=int, default=1, metavar="K", help="best classes to show a sample (default: 1)")
    add_engine_arguments(parser)


def _read(path: str, engine: Engine) -> Any:
    """The arrays of a file, by the names of the inputs."""
    arrays = read_samples(path)
    if not isinstance(arrays, dict):
        return arrays
    names = [spec.name for spec in engine.inputs]
    if len(names) == 1 and names[0] not in arrays and "x" in arrays:
        return arrays["x"]
    missing = [name for name in names if name not in arrays]
    if missing:
        raise InputError(f"{path}: has arrays {sorted(arrays)}, wanted {names}")
    return arrays[names[0]] if len(names) == 1 else {name: arrays[name] for name in names}


def _labels(engine: Engine) -> list[str] | None:
    try:
        labels = json.loads(engine.metadata.get("labels", "null"))
    except json.JSONDecodeError:
        return None
    return [str(label) for label in labels] if isinstance(labels, list) else None


def _best(y: np.ndarray, top: int, labels: list[str] | None) -> list[list[dict[str, Any]]]:
    """For each sample the best classes with their scores; equal scores in the order of their index."""
    found = []
    for row in y:
        order = np.argsort(-row, kind="stable")[:top]
        named = labels is not None and len(labels) == len(row)
        found.append([{"class": labels[i] if named and labels else int(i), "score": float(row[i])} for i in order])
    return found


def execute(options: argparse.Namespace) -> Answer:
    """Runs the model on the file."""
    if options.top < 1:
        raise ValueError(f"--top: got {options.top}, wanted at least 1")
    engine = load_engine(options, options.model)
    outputs = engine.predict(_read(options.input, engine))
    ys = outputs if isinstance(outputs, tuple) else (outputs,)
    if options.output:
        path = Path(options.output)
        if len(ys) == 1:
            np.save(path, ys[0], allow_pickle=False)
        else:
            np.savez(path, **{spec.name: y for spec, y in zip(engine.outputs, ys, strict=True)})
    result: dict[str, Any] = {"samples": len(ys[0]), "outputs": {}}
    lines = []
    for spec, y in zip(engine.outputs, ys, strict=True):
        scores = y.ndim == 2 and y.dtype == np.float32
        shown = _best(y, options.top, _labels(engine)) if scores else y.tolist()
        result["outputs"][spec.name] = shown
        for number, item in enumerate(shown):
            text = "  ".join(f"{b['class']} ({b['score']:.4g})" for b in item) if scores else str(item)
            lines.append(f"{number}: {text}" if len(ys) == 1 else f"{spec.name} {number}: {text}")
    return result, "\n".join(lines), 0
