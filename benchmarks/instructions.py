"""Instructions that one prediction of a layer takes, counted by callgrind: the same on every run of one build.

    python benchmarks/instructions.py                 # the counts, beside the stored ones
    python benchmarks/instructions.py --check 1.02    # fails where one is more than 1.02 times the stored one
    python benchmarks/instructions.py --store

Needs cmake, a C compiler and valgrind, which runs AVX2 but not AVX-512. Counts depend on the compiler, so the stored
ones name theirs, and another compiler's are printed but not judged.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bnnengine import (
    BinaryConv2d,
    BinaryDense,
    Conv2d,
    GlobalAveragePool,
    Graph,
    Input,
    MaxPool2d,
    Model,
    PReLU,
    ScaleBias,
    Sequential,
    Sign,
    Threshold,
)

ROOT = Path(__file__).resolve().parents[1]
STORED = ROOT / "benchmarks" / "results" / "instructions.json"
ISAS = ("ref", "avx2")


def layers() -> dict[str, Model]:
    """Small networks, each of one kind of work."""
    rng = np.random.default_rng(0)

    def signs(*shape: int) -> np.ndarray:
        return rng.choice([-1, 1], shape)

    def conv(size: int, channels: int, kernel: int, **fields: object) -> Model:
        weight = signs(channels, kernel, kernel, channels // int(fields.get("groups", 1)))
        layer = BinaryConv2d(weight, padding=kernel // 2, **fields)
        return Sequential([Input((size, size, channels)), Sign(), layer, GlobalAveragePool()])

    g = Graph()
    x = g.input((14, 14, 64))
    y = g(BinaryConv2d(signs(64, 3, 3, 64), padding=1, scale=0.5), g(Sign(), x)) + x
    residual = g.model(g(GlobalAveragePool(), g(PReLU(rng.normal(size=64)), y)))
    image, pixels = Input((32, 32, 3)), Input((32, 32, 3), "uint8")
    return {
        "3x3 convolution, 64 channels, bits": conv(14, 64, 3, threshold=Threshold(np.zeros(64, int))),
        "3x3 convolution, 256 channels, bits": conv(7, 256, 3, threshold=Threshold(np.zeros(256, int))),
        "3x3 convolution, 36 channels, floats": conv(14, 36, 3),
        "1x1 convolution, 128 channels, floats": conv(14, 128, 1),
        "depthwise 3x3 on bits, to bits": conv(14, 256, 3, groups=256, threshold=Threshold(np.zeros(256, int))),
        "depthwise 3x3 on bits, to floats": conv(14, 100, 3, groups=100),
        "3x3 convolution, groups of 8, bits": conv(7, 128, 3, groups=16, threshold=Threshold(np.zeros(128, int))),
        "3x3 convolution, groups of 48, bits": conv(7, 144, 3, groups=3, threshold=Threshold(np.zeros(144, int))),
        "3x3 convolution, residual, PReLU": residual,
        "dense 1024 to 1024": Sequential([Input((1024,)), Sign(), BinaryDense(signs(1024, 1024)), ScaleBias()]),
        "float stem 7x7, strides 2": Sequential([image, Conv2d(rng.normal(size=(32, 7, 7, 3)), strides=2, padding=3)]),
        "bytes stem 3x3": Sequential([pixels, BinaryConv2d(signs(32, 3, 3, 3), padding=1)]),
        "depthwise 3x3": Sequential([Input((14, 14, 64)), Conv2d(rng.normal(size=(64, 3, 3, 1)), groups=64)]),
        "float pool 3x3": Sequential([Input((28, 28, 64)), MaxPool2d(3, strides=2)]),
    }


def run(*command: object) -> str:
    """Its standard error; stops where it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def count(work: Path) -> dict[str, dict[str, int]]:
    """Instructions of each layer on each instruction set."""
    run("cmake", "-S", ROOT, "-B", work / "core", "-DCMAKE_BUILD_TYPE=Release")
    run("cmake", "--build", work / "core", "--target", "bnncore", "-j", "2")
    program = work / "instructions"
    run("cc", "-O2", "-std=c11", f"-I{ROOT}/src/bnncore", ROOT / "tests" / "c" / "instructions_main.c",
        work / "core" / "libbnncore.a", "-lm", "-pthread", "-o", program)  # fmt: skip
    found: dict[str, dict[str, int]] = {}
    for name, model in layers().items():
        path = work / "layer.bnn"
        model.save(path)
        found[name] = {}
        for isa in ISAS:
            told = run("valgrind", "--tool=callgrind", "--toggle-collect=bnn_session_run",
                       f"--callgrind-out-file={work / 'out'}", program, path, isa)  # fmt: skip
            found[name][isa] = int(re.search(r"Collected : (\d+)", told).group(1))  # type: ignore[union-attr]
    return found


def main() -> None:
    """Counts, and compares or stores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", type=float, metavar="RATIO")
    parser.add_argument("--store", action="store_true")
    options = parser.parse_args()
    compiler = run("cc", "--version").splitlines()[0]
    with tempfile.TemporaryDirectory() as work:
        counts = count(Path(work))
    if options.store:
        STORED.write_text(json.dumps({"compiler": compiler, "instructions": counts}, indent=1) + "\n")
    stored = json.loads(STORED.read_text())
    worst = 0.0
    for name, by_isa in counts.items():
        for isa, number in by_isa.items():
            ratio = number / stored["instructions"][name][isa]
            worst = max(worst, ratio)
            print(f"{name:40} {isa:5} {number:12,} {ratio:8.3f}")
    if stored["compiler"] != compiler:
        print(f"stored by {stored['compiler']}, counted by {compiler}: not judged")
    elif options.check and worst > options.check:
        sys.exit(f"one takes {worst:.3f} times what is stored, more than {options.check}: look why, or --store")


if __name__ == "__main__":
    main()
