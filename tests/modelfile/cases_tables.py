"""Tensors, their data, and metadata."""

from __future__ import annotations

import struct

from bnnfile import BnnFile, metadata_section
from rules import Breaks, Case, section, tensor

PLACE = "from the start of the data section; MUST be the end of the previous tensor, rounded up to 64"
IMPLIED = "MUST be what dtype and dims imply"
TENSOR_DTYPE = "1 bits, 3 int32 (signed), 5 float32"
TEXT = "Keys and values MUST be valid UTF-8"
ORDER = "keys MUST be in strictly ascending byte order"
ENDS = "The\nsection MUST end with the last entry"


def float_nan(file: BnnFile) -> None:
    """A NaN in the last tensor."""
    struct.pack_into("<f", file.sections["data"], file.tensor(7)["offset"], float("nan"))


def stray_bit(file: BnnFile) -> None:
    """A bit behind the 3 channels of a tap."""
    file.sections["data"][file.tensor(2)["offset"] + 8] |= 8


def metadata(*entries: tuple[bytes, bytes], count: int | None = None) -> Breaks:
    """Other metadata."""
    return section("metadata", lambda _: metadata_section(entries, count))


TENSORS = [
    Case(
        "48 bytes each", section("tensors", lambda s: s + bytes(8)), "tensors section: 392 bytes are not whole records"
    ),
    Case(TENSOR_DTYPE, tensor(0, dtype=2), "tensor 0: dtype: got 2, wanted 1, 3, 5 or 6"),
    Case(TENSOR_DTYPE, tensor(0, dtype=4), "tensor 0: dtype: got 4, wanted 1, 3, 5 or 6"),
    Case("1 | u8 | rank | 1 to 6", tensor(0, rank=0, dim0=0), "tensor 0: rank: got 0, at least 1"),
    Case("1 | u8 | rank | 1 to 6", tensor(0, rank=7), "tensor 0: rank: got 7, at most 6"),
    Case("2 | u16 | reserved | MUST be zero", tensor(0, reserved=1), "tensor 0: reserved field is not zero"),
    Case("dims | as for values", tensor(0, dim0=0), "tensor 0: dimension 0: got 0"),
    Case("dims | as for values", tensor(0, dim5=1), "tensor 0: dimension 5: got 1"),
    Case("dims | as for values", tensor(2, dim0=2**30, dim1=2**30), r"tensor 2: more than 2\^31 - 1 elements"),
    Case("28 | u32 | reserved | MUST be zero", tensor(1, reserved2=2**31), "tensor 1: reserved field is not zero"),
    Case(PLACE, tensor(1, offset=16), "tensor 1: offset: got 16, wanted 64"),
    Case(PLACE, tensor(1, offset=0), "tensor 1: offset: got 0, wanted 64"),
    Case(PLACE, tensor(1, offset=2**64 - 64), "tensor 1: offset: got 18446744073709551552, wanted 64"),
    Case(PLACE, tensor(7, dim0=2**30, bytes=2**32), "tensor 7: does not lie inside the data section"),
    Case(PLACE, section("data", lambda s: s[:-17]), "tensor 7: does not lie inside the data section"),
    Case(IMPLIED, tensor(2, bytes=168), "tensor 2: bytes: got 168, but its dtype and dims make 160"),
    Case(IMPLIED, tensor(3, dim0=6), "tensor 3: bytes: got 20, but its dtype and dims make 24"),
    Case(
        "it MUST be zero", section("data", lambda s: s[:12] + b"\1" + s[13:]), "tensor 1: padding before it is not zero"
    ),
    Case("A float32 MUST NOT be NaN", float_nan, "tensor 7: element 0 is not a number"),
    Case("the bits past the last one MUST be zero", stray_bit, "tensor 2: bits past the last one are not zero"),
    Case(
        "the section MUST end with the last tensor",
        section("data", lambda s: s + bytes(64)),
        "data section: 64 bytes after the last tensor",
    ),
]

METADATA = [
    Case("u32 | entries", section("metadata", lambda s: s[:7]), "metadata section: shorter than its 8-byte head"),
    Case(
        "4 | u32 | reserved | MUST be zero",
        section("metadata", lambda s: s[:4] + b"\1" + s[5:]),
        "metadata section: reserved field is not zero",
    ),
    Case("u32 key bytes (1 to 255)", metadata((b"", b"x")), "metadata entry 0: key bytes: got 0, wanted 1 to 255"),
    Case("u32 key bytes (1 to 255)", metadata((b"k" * 256, b"")), "metadata entry 0: key bytes: got 256, wanted 1 to"),
    Case(
        "it MUST be zero",
        section("metadata", lambda s: s[:-1] + b"\1"),
        "metadata entry 1: padding is not zero",
    ),
    Case(TEXT, metadata((b"k\xff", b"x")), "metadata entry 0: .*not valid UTF-8"),
    Case(TEXT, metadata((b"k", b"x\xe2\x82")), "metadata entry 0: .*not valid UTF-8"),
    Case("keys without control characters", metadata((b"k\n", b"x")), "metadata entry 0: .*control character"),
    Case(ORDER, metadata((b"b", b""), (b"a", b"")), "metadata entry 1: keys are not in ascending order"),
    Case(ORDER, metadata((b"b", b""), (b"b", b"1")), "metadata entry 1: keys are not in ascending order"),
    Case(ORDER, metadata((b"ab", b""), (b"a", b"")), "metadata entry 1: keys are not in ascending order"),
    Case(ENDS, metadata((b"a", b""), count=0), "metadata section: 16 bytes after the last entry"),
    Case(ENDS, metadata((b"a", b"v" * 16), count=2), "metadata entry 1: cut off"),
    Case(ENDS, metadata((b"a", b"v"), count=2**32 - 1), "metadata section: 4294967295 entries in 16 bytes"),
    Case(
        ENDS,
        section("metadata", lambda s: s[:12] + struct.pack("<I", 2**32 - 1) + s[16:]),
        "metadata entry 0: cut off",
    ),
]

CASES = TENSORS + METADATA
