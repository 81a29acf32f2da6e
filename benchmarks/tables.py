"""Puts the tables of results/*.json into README.md, each behind its marker `<!-- table: name of the file -->`.

python benchmarks/tables.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import choices
import convolutions
import dense
import loading
import networks
import ports
import threads

HERE = Path(__file__).parent
PARTS_BY_NAME = {
    "convolutions": convolutions,
    "dense": dense,
    "networks": networks,
    "loading": loading,
    "choices": choices,
    "ports": ports,
    "threads": threads,
}
# which result is whose
KEYS = {
    "layers": "convolutions",
    "batches": "dense",
    "networks": "networks",
    "loads": "loading",
    "cases": "choices",
    "loops": "ports",
    "threaded": "threads",
}


def main() -> None:
    """Rewrites README.md."""
    path = HERE / "README.md"

    def table(match: re.Match[str]) -> str:
        data = json.loads((HERE / "results" / f"{match[1]}.json").read_text())
        part = next(part for key, part in KEYS.items() if key in data)
        made = PARTS_BY_NAME[part].table(data)
        return f"<!-- table: {match[1]} -->\n\n{made}\n"

    text = re.sub(r"<!-- table: (\w+) -->\n\n(?:\|.*\n|\n(?=\|))*", table, path.read_text())
    path.write_text(text)


if __name__ == "__main__":
    main()
