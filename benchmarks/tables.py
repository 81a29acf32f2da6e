"""Puts the tables of results/*.json into README.md, each behind its marker `<!-- table: name of the file -->`.

python benchmarks/tables.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from common import markdown

HERE = Path(__file__).parent
PEERS = {
    "openvino": "OpenVINO 1-bit",
    "ort": "ONNX Runtime, no signs",
    "ort signs": "with signs",
    "lce": "Larq, default",
    "lce indirect": "Larq, indirect",
}


def networks(data: dict[str, Any]) -> str:
    """Least times; behind a peer's its ratio to ours, and to ours with fast_math."""
    fast = any("fast_math" in network["ms"] for network in data["networks"])
    rows = []
    for network in data["networks"]:
        ms = network["ms"]
        ours = [ms[key]["least"] for key in ("bnnengine", "fast_math") if key in ms]

        def cell(key: str, ms: dict[str, Any] = ms, ours: list[float] = ours) -> str:
            if key not in ms:
                return ""
            least = ms[key]["least"]
            return f"{least:.2f} (**{', '.join(f'{least / own:.1f}' for own in ours)}**)"

        own = [f"{ms['bnnengine']['least']:.2f}", f"{ms['bnnengine']['median']:.2f}"]
        own += [f"{ms['fast_math']['least']:.2f}" if "fast_math" in ms else ""] if fast else []
        rows.append([network["network"], *own, *map(cell, PEERS)])
    head = ["network", "bnnengine, least ms", "median", *(["fast_math, least"] if fast else []), *PEERS.values()]
    return markdown(head, rows)


def convolutions(data: dict[str, Any]) -> str:
    """Least times, medians and quartiles, rates, ratios."""
    head = ["layer", "ours, least us", "median (quartiles)", "GMAC/s", "OpenVINO, least us", "ratio",
            "median ratio (quartiles)"]  # fmt: skip
    rows = []
    for layer in data["layers"]:
        q, r, ours, peer = layer["ours_us"], layer["ratio"], layer["ours_least_us"], layer["openvino_least_us"]
        rows.append([
            layer["layer"], f"{ours:.0f}", f"{q['median']:.0f} ({q['q1']:.0f} to {q['q3']:.0f})",
            f"{layer['ours_gmacs_per_second']:.0f}", f"{peer:.0f}", f"**{peer / ours:.2f}**",
            f"{r['median']:.2f} ({r['q1']:.2f} to {r['q3']:.2f})",
        ])  # fmt: skip
    return markdown(head, rows)


def main() -> None:
    """Rewrites README.md."""
    path = HERE / "README.md"

    def table(match: re.Match[str]) -> str:
        data = json.loads((HERE / "results" / f"{match[1]}.json").read_text())
        made = networks(data) if "networks" in data else convolutions(data)
        return f"<!-- table: {match[1]} -->\n\n{made}\n"

    text = re.sub(r"<!-- table: (\w+) -->\n\n(?:\|.*\n)*", table, path.read_text())
    path.write_text(text)


if __name__ == "__main__":
    main()
