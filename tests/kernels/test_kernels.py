"""Every kernel variant of this machine against portable C, through the shipped extension."""

import os
import platform
import re
from pathlib import Path

import pytest

from bnnengine import Engine, IsaError, _core

KERNELS = Path(__file__).resolve().parents[2] / "src" / "bnncore" / "kernels"
LISTED = re.findall(r"^BNN_KERNEL\((\w+), (\w+)\)", (KERNELS / "kernels.def").read_text(), re.MULTILINE)


def cpu_flags() -> set[str]:
    """What the kernel of the operating system says of the CPU: another source than our CPUID."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        pytest.skip("no /proc/cpuinfo to ask")
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return set(found.group(1).split()) if found else set()


@pytest.mark.parametrize(("family", "isa"), LISTED, ids="-".join)
def test_variant_agrees_with_portable_c(family, isa):
    if isa not in _core.isas():
        pytest.skip(f"this machine does not run {isa}; tests/c runs it on an emulated one")
    for seed in (1, 2, 3):
        cases, differ, first = _core.selftest(family, isa, 150, seed)
        assert cases >= 150
        assert differ == 0, first


def test_listed_kernels_are_those_of_the_list():
    assert _core.kernels() == [(family, isa) for family, isa in LISTED if isa in _core.isas()]


def test_every_family_has_a_portable_variant():
    assert {f for f, isa in LISTED if isa == "ref"} == {f for f, _ in LISTED}


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="x86 only")
def test_bound_isa_is_what_the_cpu_has():
    flags = cpu_flags()
    avx2 = {"avx2", "popcnt", "fma", "bmi1", "bmi2"} <= flags
    avx512bw = avx2 and {"avx512f", "avx512bw", "avx512vl"} <= flags
    avx512 = avx512bw and "avx512_vpopcntdq" in flags
    expected = ["ref"] + ["avx2"] * avx2 + ["avx512bw"] * avx512bw + ["avx512"] * avx512
    assert _core.isas() == expected


@pytest.mark.skipif(platform.machine() not in ("aarch64", "arm64"), reason="AArch64 only")
def test_neon_is_bound_on_aarch64():
    assert _core.isas() == ["ref", "neon"]


def test_unknown_isa_and_family_are_errors():
    with pytest.raises(IsaError, match="cannot run here"):
        _core.selftest("bgemm", "sse9", 1, 1)
    with pytest.raises(ValueError, match="none of the kernel families"):
        _core.selftest("quantum", "ref", 1, 1)


def test_environment_forces_an_isa(monkeypatch, tiny):
    monkeypatch.setenv("BNNENGINE_ISA", "ref")
    assert Engine.load(tiny).isa == "ref"
    assert Engine.load(tiny, isa=_core.isas()[-1]).isa == _core.isas()[-1]
    monkeypatch.setenv("BNNENGINE_ISA", "mmx")
    with pytest.raises(IsaError, match="none of ref, avx2, avx512bw, avx512, neon"):
        Engine.load(tiny)
    monkeypatch.setenv("BNNENGINE_ISA", "")
    assert Engine.load(tiny).isa == _core.isas()[-1]


def test_an_isa_of_another_machine_is_refused(tiny):
    foreign = "neon" if platform.machine() in ("x86_64", "AMD64") else "avx2"
    with pytest.raises(IsaError, match="cannot run"):
        Engine.load(tiny, isa=foreign)


def test_ci_has_avx2_on_x86():
    if not os.environ.get("CI") or platform.machine() != "x86_64" or "avx2" not in cpu_flags():
        pytest.skip("only on CI's x86 machines with AVX2")
    assert "avx2" in _core.isas()
