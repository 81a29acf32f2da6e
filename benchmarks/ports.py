"""What llvm-mca predicts for the inner loop of every kernel on cores that are not at hand.

    python benchmarks/ports.py [--isa neon,avx2] [--compiler gcc,clang] [--json]

Each kernel is compiled to assembly with the build's flags; of each of its functions the innermost loop with the most
work is taken, and llvm-mca runs it over and over, everything in the first-level cache. `cycles` is an iteration's;
`bound` what the ports and the decoder allow at best (its block reciprocal throughput, and the busiest kind of port with
its work spread evenly); what is between them are latencies, and how the instructions happen to be spread. Work is
counted by the instructions that do it: bits by look-ups and population counts, products by FMAs. llvm-mca knows
no caches, no branch prediction, and not every port: its Ice Lake has one for FMAs where servers have two.

Needs llvm-mca, and gcc or clang; for neon aarch64-linux-gnu-gcc, whose headers clang takes too.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import markdown, report

CORE = Path(__file__).parent.parent / "src" / "bnncore"
FLAGS = ["-O3", "-std=c11", "-fPIC", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno", f"-I{CORE}"]
FLAGS += ["-D_POSIX_C_SOURCE=200809L", "-fno-asynchronous-unwind-tables"]
CORES = {
    "avx2": ("skylake", "icelake-server", "alderlake", "znver3", "znver4"),
    "avx512bw": ("skylake-avx512", "cascadelake", "znver4"),
    "avx512": ("icelake-server", "sapphirerapids", "znver4"),
    "neon": ("cortex-a72", "neoverse-n1", "neoverse-v1", "apple-m1"),
}
TRIPLES = {isa: "aarch64-linux-gnu" if isa == "neon" else "x86_64-linux-gnu" for isa in CORES}
COMPILERS = {
    "gcc": {"x86_64-linux-gnu": "x86_64-linux-gnu-gcc", "aarch64-linux-gnu": "aarch64-linux-gnu-gcc"},
    "clang": {"x86_64-linux-gnu": "clang", "aarch64-linux-gnu": "clang"},
}
# packing of weights is done once; what is like another function's loop needs no line of its own
SECONDARY = re.compile(
    r"weights_pack|cells_fill|_pixel|sum_some|count_any|any_to_floats|subtract|multiply|clip|mean|hard_swish|gelu|silu"
    r"|tanh|abs"
)
AWAY = re.compile(r"\s+(jmp|b|ret)\b(?!\.)")
LEAST_VECTORS = 4  # vector instructions in a loop that is worth a line

VECTOR = {"x86_64-linux-gnu": re.compile(r"%[yz]mm"), "aarch64-linux-gnu": re.compile(r"\bv\d+\.|\bq\d+\b")}
# instructions that do the work, and how many bits of their register stand for one unit of it (0: 64 units in all): bit
# pairs in bgemm, where a look-up counts 4 bits for two pixels and a population count the carries of two words, and in
# bgemv; products of numbers elsewhere, where NEON's igemm loads sums of four bytes of 16 pixels as a pair of registers
WORK = {
    "bgemm": {"vpshufb": 1, "tbl": 1, "vpopcnt": 0.5},
    "bgemv": {"vpshufb": 2, "popcnt": 0, "vpopcnt": 1, "cnt": 1},
    "igemm": {"vpmaddubsw": 8, "ldp": 1},
    "": {"vfmadd": 32, "fmla": 32},
}


@dataclass(frozen=True)
class Loop:
    """An innermost loop: its function, and its lines of assembly."""

    function: str
    lines: tuple[str, ...]


def listed() -> Iterator[tuple[str, str]]:
    """(family, isa) of kernels.def, without the portable ones."""
    text = (CORE / "kernels" / "kernels.def").read_text()
    yield from ((f, i) for f, i in re.findall(r"^BNN_KERNEL\((\w+), (\w+)\)", text, re.M) if i in CORES)


def isa_flags(isa: str) -> list[str]:
    """Those of isa.def."""
    text = (CORE / "kernels" / "isa.def").read_text()
    found = re.search(rf'^BNN_ISA\({isa}, \w+, "([^"]*)"', text, re.M)
    return found[1].split() if found else []


def tool(name: str) -> str | None:
    """A program, the newest: with its version behind its name, or without."""
    return next((p for p in map(shutil.which, (*(f"{name}-{v}" for v in range(24, 15, -1)), name)) if p), None)


def compiler_of(kind: str, triple: str) -> str | None:
    """gcc for another machine has a name of its own, and is `gcc` on this one."""
    native = subprocess.run(["uname", "-m"], capture_output=True, text=True, check=False).stdout.strip()
    return tool(COMPILERS[kind][triple]) or (tool("gcc") if kind == "gcc" and triple.startswith(native) else None)


def assembly(kind: str, family: str, isa: str) -> str | None:
    """Of one kernel; None without the compiler, or where it cannot."""
    triple = TRIPLES[isa]
    compiler = compiler_of(kind, triple)
    if not compiler:
        return None
    extra = [f"--target={triple}", "-isystem", f"/usr/{triple}/include"] if kind == "clang" else []
    if kind == "clang" and triple.startswith("x86"):
        extra = [f"--target={triple}"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "kernel.s")
        command = [compiler, *extra, *FLAGS, *isa_flags(isa), "-S", CORE / "kernels" / f"{family}_{isa}.c", "-o", out]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(map(str, command))}:\n{done.stderr}")
        return out.read_text()


def loops(text: str) -> Iterator[Loop]:
    """The innermost loops: from a label to a jump back to it, with no other such pair between them."""
    function, lines, labels, last = "", [], {}, 0  # last: where the latest loop began
    for raw in text.splitlines():
        line = re.sub(r"\s*//.*$|\s+# .*$", "", raw).rstrip()
        if label := re.match(r"^([.\w$]+):", line):
            name = label[1]
            if not name.startswith((".L", ".")):
                function, lines, labels, last = name, [], {}, -1
            labels[name] = len(lines)
            continue
        if not line.strip() or line.strip().startswith((".", "#")):
            continue
        lines.append(line)
        jump = re.match(r"\s+(?:j\w+|b\.?\w*|cbn?z|tbn?z)\s+(?:.*,\s*)?(\.L\w+)\s*$", line)
        if jump and jump[1] in labels:
            begin = labels[jump[1]]
            body = tuple(lines[begin:])
            # what jumps away for good in its middle is not a loop, but blocks that a compiler has set there
            if begin > last and not any(AWAY.match(line) for line in body[:-1]):
                yield Loop(function, body)
            last = max(last, begin)


def largest(text: str, family: str, triple: str) -> list[Loop]:
    """Of each function the loop with the most work, or else vector instructions; in bgemm and bgemv those with work."""
    best: dict[str, tuple[float, int, Loop]] = {}
    for loop in loops(text):
        count = sum(bool(VECTOR[triple].search(line)) for line in loop.lines)
        done = work(loop, family)
        found = (done, -len(loop.lines) if done else count)
        if count >= LEAST_VECTORS and (loop.function not in best or found > best[loop.function][:2]):
            best[loop.function] = (*found, loop)
    kept = [loop for found, _, loop in best.values() if found or family not in ("bgemm", "bgemv")]
    kept = [loop for loop in kept if not SECONDARY.search(loop.function)]
    return [max(kept, key=lambda loop: work(loop, family))] if family == "fgemm" and kept else kept


def register_bits(line: str) -> int:
    """The width of the widest register that an instruction names."""
    for pattern, bits in ((r"%zmm", 512), (r"%ymm", 256), (r"%xmm", 128), (r"\.(16b|8h|4s|2d)", 128), (r"\.8b", 64)):
        if re.search(pattern, line):
            return bits
    return 64


def work(loop: Loop, family: str) -> float:
    """What the iteration does, by the instructions that do it."""
    total, table = 0.0, WORK.get(family, WORK[""])
    for line in loop.lines:
        name = line.split()[0]
        for start, bits in table.items():
            if name.startswith(start):
                total += register_bits(line) / bits if bits else 64
    return total


def pressure(text: str) -> float:
    """The cycles that the busiest kind of port needs, were the work spread evenly over its ports: kinds by their names,
    without the numbers behind them."""
    names = re.findall(r"^\[[\d.]+\]\s+- (\S+)", text, re.M)
    row = re.search(r"Resource pressure per iteration:\n.*\n(.*)\n", text)
    kinds: dict[str, list[float]] = {}
    for name, cell in zip(names, row[1].split() if row else [], strict=False):
        kinds.setdefault(re.sub(r"[\d.]+$", "", name), []).append(0.0 if cell == "-" else float(cell))
    return max((sum(cells) / len(cells) for cells in kinds.values()), default=0.0)


def predict(mca: str, loop: Loop, isa: str, core: str) -> dict[str, float]:
    """Cycles an iteration, and the bound."""
    rounds = 400
    command = [mca, f"-mtriple={TRIPLES[isa]}", f"-mcpu={core}", f"-iterations={rounds}", "-instruction-info=0", "-"]
    done = subprocess.run(command, input="\n".join(loop.lines), capture_output=True, text=True, check=False)
    cycles, bound = (re.search(rf"{name}:\s+([\d.]+)", done.stdout) for name in ("Total Cycles", "Block RThroughput"))
    if not cycles or not bound:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[:500]}")
    return {"cycles": float(cycles[1]) / rounds, "bound": max(float(bound[1]), pressure(done.stdout))}


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All loops."""
    mca = tool("llvm-mca")
    if not mca:
        raise SystemExit("llvm-mca is missing: it comes with LLVM (Debian: apt-get install llvm)")
    found = []
    for family, isa in listed():
        for kind in options.compiler.split(",") if isa in options.isa.split(",") else ():
            text = assembly(kind, family, isa)
            for loop in largest(text, family, TRIPLES[isa]) if text else ():
                found.append({
                    "kernel": family, "isa": isa, "compiler": kind, "function": loop.function,
                    "instructions": len(loop.lines), "work": work(loop, family),
                    "cores": {core: predict(mca, loop, isa, core) for core in CORES[isa]},
                })  # fmt: skip
    return found


def table(result: Mapping[str, Any]) -> str:
    """A table an instruction set."""
    parts = []
    for isa, cores in CORES.items():
        rows = []
        for loop in (loop for loop in result["loops"] if loop["isa"] == isa):
            row = [f"{loop['kernel']}, {loop['function']}", loop["compiler"], str(loop["instructions"])]
            for core in cores:
                p = loop["cores"][core]
                rate = loop["work"] / p["cycles"]
                ratio = p["cycles"] / p["bound"] if p["bound"] else 1.0
                row.append(f"{p['cycles']:.1f} ({ratio:.2f})" + (f", {rate:.0f}" if rate >= 1 else ""))
            rows.append(row)
        if rows:
            head = [f"{isa}: kernel, function", "compiler", "instructions", *cores]
            parts.append(markdown(head, rows))
    return "\n\n".join(parts)


def main() -> None:
    """Predicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa", default=",".join(CORES), help="with commas (default: %(default)s)")
    parser.add_argument("--compiler", default=",".join(COMPILERS), help="with commas (default: %(default)s)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    tools = {name: subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.strip()
             for name in ("llvm-mca", "gcc", "clang") if (path := tool(name))}  # fmt: skip
    versions = {name: next(line.strip() for line in text.splitlines() if "ersion" in line or "gcc" in line)
                for name, text in tools.items()}  # fmt: skip
    result = {"machine": versions, "loops": measure(options)}
    report(result, table(result), options.json)


if __name__ == "__main__":
    main()
