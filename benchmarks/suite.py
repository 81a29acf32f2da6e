"""All benchmarks of this folder in one go: ours and every peer that is installed, on one thread unless told otherwise.

    python benchmarks/suite.py --out FOLDER [--isa avx2] [--openvino DIR] [--onnxruntime DIR] [--lce-python PYTHON ...]

Writes into FOLDER: convolutions, dense, networks and loading as JSON, with the machine, the versions and the date;
report.md with their tables; and plots.py's pictures where matplotlib is there. What is compared, and how, the docstring
of each script says. A peer that is not installed is left out, and the report says so. `--quick` is for a look at
whether it all runs.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import networks
import tables
from common import machine, pin

PACKAGES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime", "numkong": "NumKong", "bnn": "bnn-lab"}


def installed() -> dict[str, bool]:
    """The peers of this environment."""
    found = {package: importlib.util.find_spec(package) is not None for package in PACKAGES}
    return {**found, "onnxruntime": found["onnxruntime"] and importlib.util.find_spec("onnx") is not None}


def lost(results: dict[str, dict[str, Any]]) -> list[str]:
    """Each measurement in which a peer was faster than ours."""
    found = []
    for layer in results.get("convolutions", {}).get("layers", ()):
        if layer.get("openvino_least_us", np.inf) < layer["ours_least_us"]:
            found.append(f"{layer['layer']}: OpenVINO {layer['openvino_least_us']:.0f} us, "
                         f"ours {layer['ours_least_us']:.0f} us")  # fmt: skip
    for batch in results.get("dense", {}).get("batches", ()):
        ours = batch["ours_least_us"]
        for name, peer in batch["others_us"].items():
            if name != "read" and peer["least"] < ours:
                found.append(f"dense, {batch['rows']} rows: {name} {peer['least']:.0f} us, ours {ours:.0f} us")
    for network in results.get("networks", {}).get("networks", ()):
        ours = network["ms"]["bnnengine"]["least"]
        for label, name in networks.PEERS.items():
            if label in network["ms"] and network["ms"][label]["least"] < ours:
                found.append(f"{network['network']}: {name} {network['ms'][label]['least']:.2f} ms, ours {ours:.2f} ms")
    for load in results.get("loading", {}).get("loads", ()):
        ours, peer = load["engines"]["bnnengine"], load["engines"].get("onnxruntime")
        if peer and peer["ready_ms"]["least"] < ours["ready_ms"]["least"]:
            found.append(f"loading {load['network']}: ONNX Runtime {peer['ready_ms']['least']:.0f} ms, "
                         f"ours {ours['ready_ms']['least']:.0f} ms")  # fmt: skip
    return found


def text(results: dict[str, dict[str, Any]], missing: list[str], options: argparse.Namespace) -> str:
    """The report."""
    there = machine("openvino", "onnxruntime", "numkong", "bnn-lab")
    lines = ["# Benchmarks", "", *(f"- {key}: {value}" for key, value in there.items())]
    lines += [f"- threads: {options.threads}", f"- instruction set of ours: {options.isa or 'the best'}"]
    lines += [f"- left out, since not installed: {', '.join(missing)}"] if missing else []
    for part, result in results.items():
        lines += ["", f"## {part.capitalize()}", "", tables.PARTS_BY_NAME[part].table(result)]
    where = [f"- {line}" for line in lost(results)] or ["- nowhere in this run"]
    return "\n".join([*lines, "", "## Where a peer is faster", "", *where, ""])


def main() -> None:
    """Measures, and writes it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--tag", default="", help="of the files' names, such as _zen5_avx2")
    parser.add_argument("--isa", help="instruction set of ours (default: the best)")
    parser.add_argument("--openvino", metavar="DIR", help="folder to import openvino from")
    parser.add_argument("--rounds", type=int, help="of each script (default: its own)")
    parser.add_argument("--core", type=int, default=0, help="core for what runs on one thread")
    parser.add_argument("--parts", default="convolutions,dense,networks,loading")
    parser.add_argument("--quick", action="store_true", help="one round, and three small networks")
    networks.add_arguments(parser)
    options = parser.parse_args()
    for folder in (options.openvino, options.onnxruntime):
        if folder:
            sys.path.insert(0, folder)
    if options.threads == 1:
        pin(options.core)
    if options.quick:
        options.models, options.seconds = "cnv,binarynet,quicknet_small", 0.02
    there = installed()
    options.peers = ",".join(p for p, name in (("ort", "onnxruntime"), ("openvino", "openvino")) if there[name])
    missing = [name for package, name in PACKAGES.items() if not there[package]]
    missing += [] if options.lce_python else ["Larq Compute Engine"]
    options.out.mkdir(parents=True, exist_ok=True)
    rounds = {"convolutions": 9, "dense": 9, "networks": 5, "loading": 7}
    results: dict[str, dict[str, Any]] = {}
    for part in options.parts.split(","):
        script: ModuleType = tables.PARTS_BY_NAME[part]
        options.rounds = 1 if options.quick else options.rounds or rounds[part]
        results[part] = script.run(options)
        path = options.out / f"{part}{options.tag}.json"
        path.write_text(json.dumps(results[part], indent=2) + "\n")
        print(f"{path} is written", flush=True)
    report = options.out / f"report{options.tag}.md"
    report.write_text(text(results, missing, options))
    print(f"{report} is written")
    if importlib.util.find_spec("matplotlib") is None:
        print("no plots: pip install matplotlib")
        return
    import plots

    for path in plots.draw(results, options.out, options.tag):
        print(f"{path} is written")


if __name__ == "__main__":
    main()
