"""Convert a training framework's network (ONNX, QONNX, Larq, Larq Compute Engine) and compare answers."""

from __future__ import annotations

import argparse
import warnings

from bnnengine.cli.common import Answer, read_samples
from bnnengine.convert import convert


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Source and target."""
    parser.add_argument("source", help="an .onnx, .h5, .keras or .tflite file")
    parser.add_argument("target", help="the .bnn file to write")
    parser.add_argument("--data", help=".npy or .npz of samples in the source's order of axes (default: 8 random ones)")
    parser.add_argument("--strict", action="store_true", help="fail unless all that should be binary is")
    parser.add_argument("--no-check", action="store_true", help="do not compare answers")


def execute(options: argparse.Namespace) -> Answer:
    """Converts; 1 where the largest outputs of the samples do not stand at the same places."""
    samples = None if options.data is None else read_samples(options.data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the report says it
        done = convert(
            options.source, options.target, samples=samples, strict=options.strict, check=not options.no_check
        )
    found = done.verification
    return done.report.to_dict(), str(done.report), int(found is not None and found.top1 < 1)
