"""Header, section table, and padding between sections."""

from __future__ import annotations

import struct

from bnnfile import BnnFile, metadata_section
from rules import Breaks, Case, entry, header

from bnnengine import VersionError

CRC_OF_SECTION = "CRC of the section's bytes | MUST be right"


def damage(name: str, at: int) -> Breaks:
    """A byte of a section changed behind its checksum's back."""

    def breaks(file: BnnFile) -> None:
        place = 64 + 32 * list(file.sections).index(name) + 4
        file.table[name, "crc"] = struct.unpack_from("<I", file.to_bytes(), place)[0]
        file.sections[name][at] ^= 1

    return breaks


def dirty_padding(name: str) -> Breaks:
    """As much padding as stands before a section, its last byte not zero."""

    def breaks(file: BnnFile) -> None:
        end = 224
        for other, content in file.sections.items():
            if other == name:
                file.paddings[name] = bytes(-end % 64 - 1) + b"\x80"
            end += -end % 64 + len(content)

    return breaks


def tail(file: BnnFile) -> None:
    """A byte behind the data section."""
    file.tail = b"\0"


def only_header(file: BnnFile) -> None:
    """100 bytes, and the header says so."""
    file.header["size"] = 100
    file.to_bytes = lambda: BnnFile.to_bytes(file)[:100]  # type: ignore[method-assign]


def past_the_end(file: BnnFile) -> None:
    """The data section is empty, and its place, a multiple of 64, lies past the end of the file."""
    file.sections["metadata"] = bytearray(metadata_section([(b"name", b"x")]))
    file.sections["tensors"] = file.sections["data"] = bytearray()
    file.paddings["data"] = b""
    end = 224
    for name, content in file.sections.items():
        end += -end % 64
        if name == "data":
            file.table[name, "offset"] = end
        end += len(content)


CASES = [
    Case("MUST be `89 42 4E 4E 0D 0A 1A 0A`", header(magic=b"\x89BNN\n\r\x1a\n"), "not a .bnn file"),
    Case("major | MUST be 1", header(major=2), r"file version: got 2\.0, this library reads up to 1\.1", VersionError),
    Case("major | MUST be 1", header(major=0), r"file version: got 0\.0", VersionError),
    Case("MUST be at most 1", header(minor=2), r"file version: got 1\.2, this library reads up to 1\.1", VersionError),
    Case("section count | MUST be 5", header(sections=6), "section count: got 6, wanted 5"),
    Case("MUST equal the size of the file", header(size=4096), "file bytes: got 4096, but the file has"),
    Case("CRC of the section table | MUST be right", header(table_crc=1), "section table: its checksum is wrong"),
    Case(
        "32 bytes | reserved | MUST be zero",
        header(reserved=bytes(31) + b"\1"),
        "file header: reserved bytes are not zero",
    ),
    Case("CRC of bytes 0 to 59 | MUST be right", header(crc=1), "file header: its checksum is wrong"),
    Case("MUST be 1, 2, 3, 4, 5 in this order", entry("names", kind=3), "section 1: kind: got 3, wanted 2"),
    Case(CRC_OF_SECTION, damage("graph", 30), "graph section: its checksum is wrong"),
    Case(CRC_OF_SECTION, damage("names", 3), "names section: its checksum is wrong"),
    Case(CRC_OF_SECTION, damage("tensors", 3), "tensors section: its checksum is wrong"),
    Case(CRC_OF_SECTION, damage("metadata", 20), "metadata section: its checksum is wrong"),
    Case(CRC_OF_SECTION, damage("data", 3), "data section: its checksum is wrong"),
    Case(
        "offset | MUST be the end of what stands before it",
        entry("graph", offset=320),
        "graph section: offset: got 320, wanted 256",
    ),
    Case(
        "stored offsets MUST equal that place",
        entry("names", offset=2**63),
        "names section: offset: got 9223372036854775808, wanted",
    ),
    Case(
        "the section MUST lie inside the file",
        entry("data", bytes=2**64 - 1),
        "data section: 18446744073709551615 bytes at .* do not lie inside the file",
    ),
    Case(
        "the section MUST lie inside the file",
        entry("graph", bytes=10**6),
        "graph section: 1000000 bytes at 256 do not lie inside the file",
    ),
    Case("MUST equal the size of the file", only_header, "section table: the file is cut off"),
    Case(
        "the section MUST lie inside the file", past_the_end, "data section: 0 bytes at .* do not lie inside the file"
    ),
    Case("the last one MUST end where the file ends", tail, "data section: ends at .*, but the file at"),
    Case("24 | u64 | reserved | MUST be zero", entry("tensors", reserved=1), "tensors section: reserved field is not"),
    Case("it MUST be zero", dirty_padding("graph"), "graph section: padding before it is not zero"),
    Case("it MUST be zero", dirty_padding("data"), "data section: padding before it is not zero"),
]
