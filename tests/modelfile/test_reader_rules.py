"""Every rule of docs/format.md: a file that breaks it, signed again, is refused with its own message."""

from __future__ import annotations

import re
from pathlib import Path

import cases_container
import cases_elementwise
import cases_graph
import cases_operators
import cases_pools
import cases_structure
import cases_tables
import cases_vectors
import pytest
from rules import Case

CASES = [
    *cases_container.CASES,
    *cases_graph.CASES,
    *cases_tables.CASES,
    *cases_operators.CASES,
    *cases_elementwise.CASES,
    *cases_pools.CASES,
    *cases_structure.CASES,
    *cases_vectors.CASES,
]
FORMAT = (Path(__file__).resolve().parents[2] / "docs" / "format.md").read_text(encoding="utf-8")


def label(case: Case) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", case.message).strip("-")


@pytest.mark.parametrize("case", CASES, ids=label)
def test_broken_rule_is_refused(case):
    case.check()


@pytest.mark.parametrize("rule", sorted({case.rule for case in CASES}))
def test_rule_stands_in_the_format(rule):
    assert rule in FORMAT


def test_every_must_has_a_case():
    covered = {
        at
        for rule in {case.rule for case in CASES}
        for start in (m.start() for m in re.finditer(re.escape(rule), FORMAT))
        for at in range(start, start + len(rule))
    }
    about_all = {m.start(1) for m in re.finditer("(MUST) refuse|any (MUST) below", FORMAT)}
    about_all |= {m.start(2) for m in re.finditer("(MUST) refuse|any (MUST) below", FORMAT)}
    left = [m.start() for m in re.finditer("MUST", FORMAT) if m.start() not in covered | about_all]
    assert [FORMAT.count("\n", 0, at) + 1 for at in left] == []
