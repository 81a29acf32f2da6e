"""What the benchmarks share: interleaved rounds, their statistics, the machine, tables."""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np


def pin(core: int) -> None:
    """Keeps this process, and the threads that it starts, on one core, where the system allows it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def least(call: Callable[[], Any], seconds: float) -> float:
    """The least time of one call, in seconds, over about `seconds`."""
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def interleave(calls: Mapping[str, Callable[[], Any]], rounds: int, seconds: float) -> dict[str, list[float]]:
    """In each round every call once, in random order, each for about `seconds`: the least time of each round."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name in random.sample(list(calls), len(calls)):
            times[name].append(least(calls[name], seconds))
    return times


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """Median, first and third quartile, and least."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return {"median": float(middle), "q1": float(low), "q3": float(high), "least": float(min(values))}


def machine(*packages: str) -> dict[str, str]:
    """The CPU, the system and the versions of numpy, bnnengine and the named packages."""
    cpu = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.lower().startswith("model name"))
        family = [line.split(":")[1].strip() for line in lines if line.startswith(("cpu family", "model\t"))][:2]
        cpu += f" (family {family[0]}, model {family[1]})" if len(family) == 2 else ""
    except (OSError, StopIteration):
        pass
    found = {
        "cpu": cpu,
        "system": platform.platform(),
        "python": platform.python_version(),
        "date": time.strftime("%F"),
    }
    for package in ("bnnengine", "numpy", *packages):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


CHAIN = """
#include <stdio.h>
#include <time.h>
int main(void) {
    double best = 0;
    for (int k = 0; k < 5; k++) {
        struct timespec a, b;
        unsigned long x = 1, n = 100000000;
        clock_gettime(CLOCK_MONOTONIC, &a);
        for (unsigned long i = 0; i < n; i += 8) {
            x += i; __asm__ volatile("" : "+r"(x)); x += i; __asm__ volatile("" : "+r"(x));
            x += i; __asm__ volatile("" : "+r"(x)); x += i; __asm__ volatile("" : "+r"(x));
            x += i; __asm__ volatile("" : "+r"(x)); x += i; __asm__ volatile("" : "+r"(x));
            x += i; __asm__ volatile("" : "+r"(x)); x += i; __asm__ volatile("" : "+r"(x));
        }
        clock_gettime(CLOCK_MONOTONIC, &b);
        double ghz = n / ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec));
        if (ghz > best) best = ghz;
    }
    printf("%f", best);
    return 0;
}
"""


def clock() -> float | None:
    """The core's clock in GHz now, by a chain of additions of which each waits for the one before: a cycle each on
    every CPU here in question. None without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "chain.c"), Path(folder, "chain")
        source.write_text(CHAIN)
        subprocess.run([compiler, "-O1", source, "-o", program], check=True)
        return float(subprocess.run([program], check=True, capture_output=True, text=True).stdout)


# bit-MACs a cycle that the ports allow bgemm's inner loop, from its header comments: (vendor, families)
BOUNDS = {
    ("AuthenticAMD", (25,)): {"avx2": 341},
    ("AuthenticAMD", (26,)): {"avx2": 341, "avx512bw": 683, "avx512": 819},
    ("GenuineIntel", (6,)): {"avx2": 246, "avx512bw": 387, "avx512": 410},
}


def bit_bound(isa: str) -> float | None:
    """The bound of bgemm on this CPU; None where nobody has counted."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        vendor = next(line.split(":")[1].strip() for line in lines if line.startswith("vendor_id"))
        family = int(next(line.split(":")[1] for line in lines if line.startswith("cpu family")))
    except (OSError, StopIteration):
        return None
    return next((b.get(isa) for (who, ids), b in BOUNDS.items() if who == vendor and family in ids), None)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def report(result: Mapping[str, Any], table: str, as_json: bool) -> None:
    """Prints the result as JSON, or the machine and the table."""
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        print("\n".join(f"{key}: {value}" for key, value in result["machine"].items()), "", table, sep="\n")
