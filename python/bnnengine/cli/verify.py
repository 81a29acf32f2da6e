"""Compare a packed network's answers with its source's."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from bnnengine.cli.common import Answer, read_samples
from bnnengine.convert import verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Source, packed file and samples."""
    parser.add_argument("source", help="the .onnx, .h5, .keras or .tflite file")
    parser.add_argument("packed", help="the .bnn file")
    parser.add_argument("--data", required=True, help=".npy or .npz of samples in the source's order of axes")


def execute(options: argparse.Namespace) -> Answer:
    """Compares; 1 where the largest outputs do not stand at the same places."""
    found = verify(options.source, options.packed, read_samples(options.data))
    return asdict(found), str(found), int(found.top1 < 1)
