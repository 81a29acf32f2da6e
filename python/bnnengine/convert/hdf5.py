"""Arrays and texts of an HDF5 file, as Keras writes it, in plain Python.

HDF5's own library hangs or crashes on one mutated file in some hundreds, and may read other files when told to; here
every number that a file gives is checked, and nothing outside its bytes is read. Taken is what h5py writes by default:
superblocks 0 and 1, object headers of version 1, groups with symbol tables, whole or compact arrays of numbers, texts.
(HDF5 File Format Specification 3.0; the sections are named below.)
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from bnnengine.convert.ir import Array
from bnnengine.errors import ConvertError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
NOWHERE = 0xFFFFFFFFFFFFFFFF
DEEPEST = 64  # groups in groups
DATASPACE, DATATYPE, OUTSIDE, LAYOUT, ATTRIBUTE, CONTINUATION, GROUP = 0x01, 0x03, 0x07, 0x08, 0x0C, 0x10, 0x11
AGAIN = "load it with Keras and save it again"
_FLOATS = {2: (5, "f2"), 4: (8, "f4"), 8: (11, "f8")}  # bytes: bits of the exponent


class File:
    """An HDF5 file's bytes."""

    def __init__(self, data: bytes) -> None:
        """Reads the superblock (II.A).

        Raises:
            ConvertError: no HDF5 file of the taken form.
        """
        self.data = data
        if data[:8] != SIGNATURE:
            raise ConvertError("not an HDF5 file")
        version = self._number(8, 1)
        if version > 1 or self._number(13, 2) != 0x0808:
            raise ConvertError(f"superblock {version}: wanted 0 or 1, with addresses of 8 bytes: {AGAIN}")
        start = 24 + 4 * version
        if self._number(start, 8):
            raise ConvertError(f"base address: got {self._number(start, 8)}, wanted 0: {AGAIN}")
        self.root = self._number(start + 40, 8)

    def attribute(self, wanted: str) -> Array | bytes | None:
        """The root's attribute of this name; None where there is none."""
        for kind, at, size in self._messages(self.root):
            found = self._attribute(at, size) if kind == ATTRIBUTE else None
            if found is not None and found[0] == wanted:
                return self._attribute_value(*found[1:])
        return None

    def group(self, name: str) -> int | None:
        """The address of a group in the root."""
        return dict(self._links(self.root)).get(name)

    def arrays(self, address: int | None = None) -> dict[str, Array]:
        """The arrays of numbers below an object, by their paths from there; without one, below the root."""
        found: dict[str, Array] = {}
        seen: set[int] = set()
        waiting = [("", self.root if address is None else address, 0)]
        while waiting:
            path, here, depth = waiting.pop()
            if here in seen or depth > DEEPEST:
                continue
            seen.add(here)
            array = self._array(here, path)
            if array is not None:
                found[path] = array
            waiting += [(f"{path}/{name}".lstrip("/"), below, depth + 1) for name, below in self._links(here)]
        return found

    # ---- bytes ----

    def _bytes(self, at: int, size: int) -> bytes:
        if not 0 <= at <= at + size <= len(self.data):
            raise ConvertError(f"{size} bytes at {at}: the file has {len(self.data)}")
        return self.data[at : at + size]

    def _number(self, at: int, size: int) -> int:
        return int.from_bytes(self._bytes(at, size), "little")

    def _signed(self, at: int, signature: bytes) -> None:
        if self._bytes(at, 4) != signature:
            raise ConvertError(f"at {at}: wanted {signature.decode()}")

    # ---- objects and groups ----

    def _messages(self, address: int) -> Iterator[tuple[int, int, int]]:
        """Kind, place and size of the messages of an object's header (IV.A.1.a)."""
        if self._number(address, 1) != 1:
            raise ConvertError(f"object header {self._number(address, 1)}: wanted 1: {AGAIN}")
        blocks, seen = [(address + 16, self._number(address + 8, 4))], {address + 16}
        while blocks:
            at, size = blocks.pop(0)
            end = at + size
            self._bytes(at, size)
            while at + 8 <= end:
                kind, length, flags = self._number(at, 2), self._number(at + 2, 2), self._number(at + 4, 1)
                if at + 8 + length > end:
                    raise ConvertError(f"message at {at}: it is longer than its header")
                if kind == CONTINUATION:
                    block = self._number(at + 8, 8), self._number(at + 16, 8)
                    if block[0] not in seen:
                        seen.add(block[0])
                        blocks.append(block)
                elif not flags & 2:  # what is shared lies elsewhere, which Keras never uses
                    yield kind, at + 8, length
                at += 8 + length

    def _links(self, address: int) -> list[tuple[str, int]]:
        """Names and addresses of a group's objects; links to elsewhere are left out."""
        found = []
        for kind, at, size in self._messages(address):
            if kind == GROUP and size >= 16:
                names = self._number(self._number(at + 8, 8) + 24, 8)
                self._signed(self._number(at + 8, 8), b"HEAP")
                for entry in self._entries(self._number(at, 8)):
                    if self._number(entry + 16, 4) != 2:  # 2 is a soft link
                        found.append((self._text(names + self._number(entry, 8)), self._number(entry + 8, 8)))
        return found

    def _entries(self, tree: int) -> Iterator[int]:
        """Places of the symbol table entries below a tree's node (III.A.1, III.B)."""
        waiting, seen = [tree], {tree}
        while waiting:
            node = waiting.pop()
            if self._bytes(node, 4) == b"SNOD":
                yield from (node + 8 + 40 * i for i in range(self._number(node + 6, 2)))
                continue
            self._signed(node, b"TREE")
            for i in range(self._number(node + 6, 2)):
                child = self._number(node + 32 + 16 * i, 8)
                if child not in seen:
                    seen.add(child)
                    waiting.append(child)

    def _text(self, at: int) -> str:
        end = self.data.find(b"\0", at)
        if not 0 <= at < len(self.data) or end < 0:
            raise ConvertError(f"name at {at}: outside the file")
        return self.data[at:end].decode("utf-8", "replace")

    # ---- arrays and attributes ----

    def _array(self, address: int, path: str) -> Array | None:
        """An object's numbers; None for groups, and for what is no number."""
        parts = {kind: (at, size) for kind, at, size in self._messages(address)}
        if not {DATASPACE, DATATYPE, LAYOUT} <= set(parts):
            return None
        dtype = self._dtype(parts[DATATYPE][0])
        if dtype is None:
            return None
        if OUTSIDE in parts:
            raise ConvertError(f"array {path!r}: its data lie outside the file")
        shape = self._shape(parts[DATASPACE][0])
        at, size = self._place(parts[LAYOUT][0], path)
        needed = math.prod(shape) * dtype.itemsize
        if needed > size:
            raise ConvertError(f"array {path!r}: shape {shape}: it has {size} bytes")
        self._bytes(at, needed)
        return np.frombuffer(self.data, dtype, math.prod(shape), at).reshape(shape)

    def _place(self, layout: int, path: str) -> tuple[int, int]:
        """Where an array's bytes lie, and how many (IV.A.2.i)."""
        version, kind = self._number(layout, 1), self._number(layout + 1, 1)
        if version not in (3, 4) or kind > 1:
            how = "in chunks" if kind == 2 else f"by layout {version}, class {kind}"
            raise ConvertError(f"array {path!r}: it is stored {how}, wanted as a whole: {AGAIN}")
        if kind == 0:
            return layout + 4, self._number(layout + 2, 2)
        at, size = self._number(layout + 2, 8), self._number(layout + 10, 8)
        return (0, 0) if at == NOWHERE else (at, size)

    def _shape(self, at: int) -> tuple[int, ...]:
        """IV.A.2.b."""
        version, rank = self._number(at, 1), self._number(at + 1, 1)
        if version not in (1, 2) or rank > 32:
            raise ConvertError(f"dataspace {version} of {rank} axes: wanted version 1 or 2")
        start = at + (8 if version == 1 else 4)
        return tuple(self._number(start + 8 * i, 8) for i in range(rank))

    def _dtype(self, at: int) -> np.dtype[Any] | None:
        """Of numbers; None for all else (IV.A.2.d)."""
        kind, bits, size = self._number(at, 1) & 15, self._number(at + 1, 3), self._number(at + 4, 4)
        order = ">" if bits & 1 else "<"
        if kind == 0 and size in (1, 2, 4, 8):
            return np.dtype(f"{order}{'i' if bits & 8 else 'u'}{size}")
        if kind == 1 and size in _FLOATS and not bits & 0x40 and self._number(at + 13, 1) == _FLOATS[size][0]:
            return np.dtype(order + _FLOATS[size][1])
        return None

    def _attribute(self, at: int, size: int) -> tuple[str, int, int, int] | None:
        """Name, datatype, dataspace and data of an attribute (IV.A.2.m)."""
        version, *sizes = struct.unpack("<BxHHH", self._bytes(at, 8))
        if version not in (1, 2, 3):
            return None
        places = [at + (9 if version == 3 else 8)]
        for length in sizes:
            places.append(places[-1] + (-(-length // 8) * 8 if version == 1 else length))
        if places[-1] > at + size:
            raise ConvertError(f"attribute at {at}: it is longer than its message")
        return self._text(places[0]), places[1], places[2], places[3]

    def _attribute_value(self, datatype: int, dataspace: int, at: int) -> Array | bytes | None:
        kind, bits, size = (self._number(datatype + i, n) for i, n in ((0, 1), (1, 3), (4, 4)))
        if kind & 15 == 3:
            return self._bytes(at, size).rstrip(b"\0 ")
        if kind & 15 == 9 and bits & 15 == 1:  # a text of any length, in a heap
            return self._heaped(self._number(at + 4, 8), self._number(at + 12, 4), self._number(at, 4))
        dtype = self._dtype(datatype)
        if dtype is None:
            return None
        shape = self._shape(dataspace)
        return np.frombuffer(self._bytes(at, math.prod(shape) * dtype.itemsize), dtype).reshape(shape)

    def _heaped(self, heap: int, wanted: int, length: int) -> bytes:
        """An object of a global heap (III.E)."""
        self._signed(heap, b"GCOL")
        at, end = heap + 16, heap + self._number(heap + 8, 8)
        while at + 16 <= end:
            index, size = self._number(at, 2), self._number(at + 8, 8)
            if index == wanted:
                return self._bytes(at + 16, min(size, length))
            if index == 0:
                break
            at += 16 + -(-size // 8) * 8
        raise ConvertError(f"heap at {heap}: it has no object {wanted}")
