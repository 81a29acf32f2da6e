"""From a file to the first answer: time and resident memory, each in a process of its own, one thread.

    python benchmarks/loading.py [--models birealnet18,quicknet] [--isa avx2] [--rounds 7] [--json]

A process imports numpy, looks at its memory, and then at the clock: importing the package, loading the file, the first
prediction. Memory is what the process has then, above what it had before. `allowed` is the limit that we set ourselves:
twice the file, the values of one sample, and 5 MB. ONNX Runtime, if it is there, does the same with the same network in
float32, signs and all; rounds are interleaved. Bytecode is cached, as an installed package has it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bnnengine import Model, zoo
from common import machine, markdown, quartiles, report

MB = 1e6

# argv: the engine, the file, the input's shape, the instruction set or ""
CHILD = """
import json, sys, time
import numpy as np

def resident():
    try:
        lines = open("/proc/self/status").read().splitlines()
    except OSError:
        return None
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024

engine, path, shape, isa = sys.argv[1:]
x = np.ones((1, *map(int, shape.split(","))), np.float32)
arena, before, start = 0, resident(), time.perf_counter()
if engine == "bnnengine":
    from bnnengine import Engine
    imported = time.perf_counter()
    network = Engine.load(path, num_threads=1, isa=isa or None)
    loaded = time.perf_counter()
    network.predict(x)
else:
    import onnxruntime
    imported = time.perf_counter()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    network = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    loaded = time.perf_counter()
    network.run(None, {"image": x.transpose(0, 3, 1, 2)})
done, after = time.perf_counter(), resident()
if engine == "bnnengine":
    arena = network._plan.info()["arena_bytes"]
print(json.dumps({
    "import_ms": (imported - start) * 1e3, "load_ms": (loaded - imported) * 1e3, "first_ms": (done - loaded) * 1e3,
    "resident": None if before is None else after - before, "arena": arena,
}))
"""


def child(engine: str, path: Path, model: Model, isa: str) -> dict[str, Any]:
    """One process."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(path.parent / "bytecode")
    shape = ",".join(map(str, model.inputs[0].shape))
    command = [sys.executable, "-c", CHILD, engine, str(path), shape, isa]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One network."""
    model = getattr(zoo, name)()
    paths = {"bnnengine": folder / f"{name}.bnn"}
    model.save(paths["bnnengine"])
    if "ort" in options.peers and all(importlib.util.find_spec(package) for package in ("onnx", "onnxruntime")):
        from peers import onnx_runtime

        paths["onnxruntime"] = folder / f"{name}.onnx"
        paths["onnxruntime"].write_bytes(onnx_runtime.network(model, True)[0].SerializeToString())
    runs: dict[str, list[dict[str, Any]]] = {engine: [] for engine in paths}
    for number in range(options.rounds + 1):
        for engine, path in paths.items():
            found = child(engine, path, model, options.isa or "")
            if number:  # the first one warms the file cache
                runs[engine].append(found)
    engines = {
        engine: {
            "file": paths[engine].stat().st_size,
            "ready_ms": quartiles([run["import_ms"] + run["load_ms"] for run in found]),
            "import_ms": quartiles([run["import_ms"] for run in found]),
            "first_ms": quartiles([run["first_ms"] for run in found]),
            "resident": None if found[0]["resident"] is None else sorted(r["resident"] for r in found)[len(found) // 2],
        }
        for engine, found in runs.items()
    }
    allowed = 2 * engines["bnnengine"]["file"] + runs["bnnengine"][0]["arena"] + 5 * MB
    return {"network": name, "isa": options.isa or "best", "engines": engines, "allowed": allowed}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The networks that are asked for; options as of main."""
    with tempfile.TemporaryDirectory() as folder:
        found = [measure(name, Path(folder), options) for name in options.models.split(",")]
    return {"machine": machine("onnxruntime"), "loads": found}


def megabytes(value: float | None) -> str:
    """With a digit."""
    return "" if value is None else f"{value / MB:.1f}"


def table(result: Mapping[str, Any]) -> str:
    """Least times, medians of memory."""
    rows = []
    for load in result["loads"]:
        ours, peer = load["engines"]["bnnengine"], load["engines"].get("onnxruntime")
        rows.append([
            load["network"], megabytes(ours["file"]), f"{ours['import_ms']['least']:.1f}",
            f"{ours['ready_ms']['least']:.1f}", f"{ours['ready_ms']['median']:.1f}", f"{ours['first_ms']['least']:.1f}",
            megabytes(ours["resident"]), megabytes(load["allowed"]),
        ])  # fmt: skip
        if peer:
            rows[-1] += [megabytes(peer["file"]), f"{peer['ready_ms']['least']:.0f}", megabytes(peer["resident"])]
    head = [
        "network", "file, MB", "import, ms", "import and load, least ms", "median", "first prediction, ms",
        "resident, MB", "allowed, MB",
    ]  # fmt: skip
    if any("onnxruntime" in load["engines"] for load in result["loads"]):
        head += ["ONNX Runtime: file, MB", "import and load, ms", "resident, MB"]
    return markdown(head, rows)


def main() -> None:
    """Measures the networks that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(zoo.__all__), help="names in bnnengine.zoo, with commas")
    parser.add_argument("--peers", default="ort", help="ort, or nothing")
    parser.add_argument("--isa", help="instruction set of ours (default: the best)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = run(options)
    report(result, table(result), options.json)


if __name__ == "__main__":
    main()
