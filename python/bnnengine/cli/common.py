"""What several commands need: their arguments, the shipped files, tables."""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnengine import _core
from bnnengine.engine import Engine
from bnnengine.errors import InputError
from bnnengine.model import Model

# A command's answer: for programs, for people, and the exit code.
Answer = tuple[dict[str, Any], str, int]

MODELS = ("cnn", "mlp")


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """--isa, --threads and --fast-math."""
    parser.add_argument("--isa", choices=_core.isas(), help="force an instruction set (default: the best of this CPU)")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads of one call (default: the CPUs of this process)"
    )
    parser.add_argument(
        "--fast-math", action="store_true", help="half the products in float32 convolutions, rounded in other places"
    )


def load_engine(options: argparse.Namespace, source: str | bytes) -> Engine:
    """The engine that the arguments ask for."""
    return Engine.load(source, isa=options.isa, num_threads=options.threads, fast_math=options.fast_math)


def read_samples(path: str) -> Any:
    """An .npy's array, or an .npz's: its only one, or all of them by name.

    Raises:
        InputError: no such file; one of objects is refused, since loading it would run code.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a .npy or .npz file of numbers: {error}") from None
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays


def shipped_model(name: str) -> bytes:
    """The bytes of a model that the package ships: "cnn" or "mlp"."""
    return (resources.files("bnnengine") / "data" / f"mnist_{name}.bnn").read_bytes()


def shipped_digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The demo's digits: x uint8 (1000, 28, 28, 1) and y uint8 (1000,)."""
    with (resources.files("bnnengine") / "data" / "digits.npz").open("rb") as file, np.load(file) as digits:
        return digits["x"][..., None], digits["y"]


def float32_bytes(model: Model) -> int:
    """What the network's parameters would take at 32 bits each."""
    return sum(4 * node.layer.parameters for node in model.nodes)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns, the first `left` of them flush left, the others flush right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def sample_inputs(engine: Engine, batch: int) -> Any:
    """Inputs for a batch: random numbers from a fixed seed."""
    rng = np.random.default_rng(0)
    arrays = []
    for spec in engine.inputs:
        shape = (batch, *spec.shape)
        whole = spec.dtype == "uint8"
        arrays.append(rng.integers(0, 256, shape, np.uint8) if whole else rng.standard_normal(shape, np.float32))
    return arrays[0] if len(arrays) == 1 else arrays
