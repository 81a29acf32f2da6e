"""Convert a training framework's file (ONNX, QONNX) to a packed network, and compare their answers."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from bnnengine.cli.common import Answer
from bnnengine.convert import convert


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Source and target."""
    parser.add_argument("source", help="an .onnx file")
    parser.add_argument("target", help="the .bnn file to write")
    parser.add_argument("--no-check", action="store_true", help="do not run both on random samples")


def execute(options: argparse.Namespace) -> Answer:
    """Converts; 1 where the largest outputs of the samples are not the same ones."""
    done = convert(options.source, options.target, check=not options.no_check)
    found = done.verification
    result = {
        "source_bytes": done.source_bytes,
        "packed_bytes": done.packed_bytes,
        "report": done.report().splitlines(),
        "verification": None if found is None else asdict(found),
    }
    return result, done.report(), int(found is not None and found.top1 < 1)
