"""Compare a packed network's answers with its source's, read in NumPy."""

from __future__ import annotations

import argparse
from dataclasses import asdict

import numpy as np

from bnnengine.cli.common import Answer
from bnnengine.convert import verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Source, packed file and samples."""
    parser.add_argument("source", help="the .onnx file")
    parser.add_argument("packed", help="the .bnn file")
    parser.add_argument("--data", required=True, help=".npy or .npz of samples in the source's order, (N, C, H, W)")
    parser.add_argument("--key", help="of the array in an .npz; by default its first")


def execute(options: argparse.Namespace) -> Answer:
    """Compares; 1 where the largest outputs are not the same ones."""
    data = np.load(options.data, allow_pickle=False)
    x = data[options.key or data.files[0]] if isinstance(data, np.lib.npyio.NpzFile) else data
    found = verify(options.source, options.packed, x)
    return asdict(found), str(found), int(found.top1 < 1)
