"""Damaged files: cut off anywhere, any bit flipped, any byte changed and signed again; and what the errors are."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from samples import bytes_conv, bytes_dense, chain, lone_output, real

import bnnengine
from bnnengine import BnnError, Engine, FormatError, LimitError, ModelError, VersionError
from bnnengine._core import read_model

sound = pytest.mark.parametrize("sample", [chain, lone_output, real, bytes_conv, bytes_dense], ids=lambda s: s.__name__)


@sound
def test_every_truncation_is_refused(sample):
    data = sample().to_bytes()
    for size in range(len(data)):
        with pytest.raises(FormatError, match=r"not a \.bnn file|cut off"):
            read_model(data[:size])
    read_model(data)


@sound
def test_every_bit_flip_is_refused(sample):
    data = bytearray(sample().to_bytes())
    for at in range(len(data)):
        for bit in range(8):
            data[at] ^= 1 << bit
            with pytest.raises(FormatError) as caught:
                read_model(data)
            known = (at, bit) == (10, 0)  # 1.0 and 1.1 are both read: the checksum tells
            assert isinstance(caught.value, VersionError) == (8 <= at < 12 and not known)
            data[at] ^= 1 << bit
    read_model(data)


def refusals(candidates):
    """How many of them are refused as damaged; any other error goes through."""
    count = 0
    for data in candidates:
        try:
            read_model(data)
        except FormatError:
            count += 1
    return count


def test_the_shipped_network_cut_off_or_with_a_flipped_bit_is_refused():
    data = bytearray((Path(bnnengine.__file__).parent / "data" / "mnist_cnn.bnn").read_bytes())
    view = memoryview(data)
    assert refusals(view[:size] for size in range(len(data))) == len(data)

    def flipped(bits):
        for bit in bits:
            data[bit // 8] ^= 1 << bit % 8
            yield view
            data[bit // 8] ^= 1 << bit % 8

    bits = range(0, len(data) * 8, 7)
    assert refusals(flipped(bits)) == len(bits)
    assert refusals([view]) == 0


@sound
def test_any_changed_byte_signed_again_is_refused_or_runs(sample):
    """Every byte of the five sections gets a few other values; a file that loads must predict too."""
    rng = random.Random(7)
    ran = refused = 0
    file = sample()
    for section in file.sections.values():
        for at in range(len(section)):
            kept = section[at]
            section[at] ^= rng.choice([1, 2, 4, 8, 16, 32, 64, 128, 255])
            try:
                engine = Engine(file.to_bytes(), max_bytes=1 << 20, max_macs=1 << 20)
                engine.predict(np.ones((2, *engine.inputs[0].shape), engine.inputs[0].dtype))
                ran += 1
            except (FormatError, ModelError, LimitError):
                refused += 1
            section[at] = kept
    assert ran > 10
    assert refused > 100


@pytest.mark.parametrize("data", [b"", b"\x89", b"\x89BNN\r\n\x1a", b"PK\x03\x04" + bytes(500), b"\0" * 1000])
def test_other_files_are_refused(data):
    with pytest.raises(FormatError, match=r"not a \.bnn file"):
        read_model(data)


def test_errors_are_what_a_python_user_expects():
    for error in (FormatError, VersionError, ModelError):
        assert issubclass(error, BnnError)
        assert issubclass(error, ValueError)
    assert issubclass(VersionError, FormatError)
    assert issubclass(LimitError, MemoryError)
    with pytest.raises(TypeError):
        read_model(None)
    with pytest.raises(TypeError):
        read_model("model.bnn")


@pytest.mark.parametrize("limits", [{"max_macs": 100}, {"max_bytes": 100}], ids=lambda limits: next(iter(limits)))
def test_limits_are_kept(limits):
    with pytest.raises(LimitError, match="limit"):
        Engine(chain().to_bytes(), **limits)
