"""The .bnn format in pure Python, written from docs/format.md alone: builds files, takes them apart, changes fields,
and signs them again. It shares nothing with the package, so the package can be held against it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence

SECTIONS = ("graph", "names", "tensors", "metadata", "data")
NONE = 0xFFFFFFFF
BITS, UINT8, INT32, INT64, FLOAT32 = 1, 2, 3, 4, 5
BINARIZE, BINARY_CONV2D, BINARY_DENSE, CONV2D, DENSE, MAX_POOL2D = 1, 2, 3, 4, 5, 6
GLOBAL_AVERAGE_POOL, FLATTEN, SCALE_BIAS, SOFTMAX, ARGMAX = 7, 8, 9, 10, 11

_TABLE = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ (0x82F63B78 if _byte & 1 else 0)
    _TABLE.append(_byte)


def crc32c(data: bytes | bytearray) -> int:
    """CRC32C, a byte at a time."""
    crc = NONE
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    return crc ^ NONE


def pad(data: bytes | bytearray, to: int) -> bytes:
    """The data and zeros to a multiple of `to`."""
    return bytes(data) + bytes(-len(data) % to)


def _fields(layout: str) -> dict[str, tuple[int, str]]:
    """Places of the fields of a record, from "name:format name:format ..."."""
    places, at = {}, 0
    for entry in layout.split():
        name, kind = entry.split(":")
        places[name] = (at, "<" + kind)
        at += struct.calcsize("<" + kind)
    return places


def _many(name: str, count: int) -> str:
    return " ".join(f"{name}{i}:I" for i in range(count))


HEADER = _fields("magic:8s major:H minor:H sections:I size:Q table_crc:I reserved:32s crc:I")
ENTRY = _fields("kind:I crc:I offset:Q bytes:Q reserved:Q")
GRAPH = _fields("values:I nodes:I inputs:I outputs:I")
VALUE = _fields(f"name_offset:I name_bytes:I dtype:B rank:B reserved:H {_many('dim', 6)} reserved2:I")
NODE = _fields(
    f"operator:H inputs:B outputs:B name_offset:I name_bytes:I {_many('input', 8)} {_many('output', 4)} "
    f"{_many('tensor', 8)} {_many('attribute', 16)} reserved:I"
)
TENSOR = _fields(f"dtype:B rank:B reserved:H {_many('dim', 6)} reserved2:I offset:Q bytes:Q")


class Record:
    """A view of one record in a section: record["field"] reads and writes."""

    def __init__(self, memory: bytearray, at: int, fields: dict[str, tuple[int, str]]) -> None:
        self.memory, self.at, self.fields = memory, at, fields

    def __getitem__(self, field: str) -> int:
        offset, kind = self.fields[field]
        return int(struct.unpack_from(kind, self.memory, self.at + offset)[0])

    def __setitem__(self, field: str, value: int | bytes) -> None:
        offset, kind = self.fields[field]
        struct.pack_into(kind, self.memory, self.at + offset, value)


class BnnFile:
    """A file as its five sections, laid out and signed by `to_bytes`.

    Attributes:
        sections: section name -> its bytes, to be changed at will.
        header: field -> value, which replace what `to_bytes` would write, before the header is signed.
        table: (section, field) -> value, the same for the section table.
        paddings: section -> bytes that stand before it in place of zeros.
        tail: bytes after the last section.
    """

    def __init__(self, sections: Iterable[bytes | bytearray]) -> None:
        self.sections = dict(zip(SECTIONS, (bytearray(s) for s in sections), strict=True))
        self.header: dict[str, int | bytes] = {}
        self.table: dict[tuple[str, str], int] = {}
        self.paddings: dict[str, bytes] = {}
        self.tail = b""

    @classmethod
    def parse(cls, data: bytes) -> BnnFile:
        """Takes a sound file apart."""
        entries = [struct.unpack_from("<IIQQQ", data, 64 + 32 * i) for i in range(5)]
        return cls(data[offset : offset + size] for _, _, offset, size, _ in entries)

    def to_bytes(self) -> bytes:
        """The file: sections one after the other from multiples of 64, and right checksums."""
        table, body, end = bytearray(160), bytearray(), 224
        for i, (name, section) in enumerate(self.sections.items()):
            gap = self.paddings.get(name, bytes(-end % 64))
            body += gap + section
            offset, end = end + len(gap), end + len(gap) + len(section)
            entry = Record(table, 32 * i, ENTRY)
            for field, value in zip(ENTRY, (i + 1, crc32c(section), offset, len(section), 0), strict=True):
                entry[field] = self.table.get((name, field), value)
        body += self.tail
        memory = bytearray(64)
        header = Record(memory, 0, HEADER)
        first = {
            "magic": b"\x89BNN\r\n\x1a\n",
            "major": 1,
            "sections": 5,
            "size": 224 + len(body),
            "table_crc": crc32c(table),
        }
        for field, value in {**first, **self.header}.items():
            header[field] = value
        if "crc" not in self.header:
            header["crc"] = crc32c(memory[:60])
        return bytes(memory + table + body)

    @property
    def graph(self) -> Record:
        """The head of the graph section."""
        return Record(self.sections["graph"], 0, GRAPH)

    def _records_at(self) -> int:
        return (16 + 4 * self.graph["outputs"] + 7) // 8 * 8

    def value(self, i: int) -> Record:
        """Value record i."""
        return Record(self.sections["graph"], self._records_at() + 40 * i, VALUE)

    def node(self, i: int) -> Record:
        """Node record i; the last one is -1."""
        i %= self.graph["nodes"]
        return Record(self.sections["graph"], self._records_at() + 40 * self.graph["values"] + 160 * i, NODE)

    def tensor(self, i: int) -> Record:
        """Tensor record i."""
        return Record(self.sections["tensors"], 48 * i, TENSOR)

    def records(self) -> Iterator[Record]:
        """Every record of the file's tables."""
        yield from (self.value(i) for i in range(self.graph["values"]))
        yield from (self.node(i) for i in range(self.graph["nodes"]))
        yield from (self.tensor(i) for i in range(len(self.sections["tensors"]) // 48))


def raw_bits(*rows: Sequence[int]) -> bytes:
    """Rows of 0 and 1, each packed into whole words."""
    return b"".join(
        sum(bit << i for i, bit in enumerate(row)).to_bytes((len(row) + 63) // 64 * 8, "little") for row in rows
    )


def metadata_section(entries: Iterable[tuple[bytes, bytes]], count: int | None = None) -> bytes:
    """The metadata section of the entries, in the order given."""
    listed = list(entries)
    packed = (pad(struct.pack("<II", len(k), len(v)) + k + v, 8) for k, v in listed)
    return struct.pack("<II", len(listed) if count is None else count, 0) + b"".join(packed)


class Net:
    """Builds a file value by value: net.input(...), net.node(...), net.file(outputs)."""

    def __init__(self) -> None:
        self.values: list[tuple[str, int, tuple[int, ...]]] = []
        self.nodes: list[tuple[str, int, int, int, list[int], tuple[int, ...]]] = []
        self.tensors: list[tuple[int, tuple[int, ...], bytes]] = []
        self.inputs = 0
        self.metadata: list[tuple[bytes, bytes]] = []

    def input(self, dtype: int, shape: Sequence[int]) -> int:
        """A graph input; its value id. Inputs come before nodes."""
        assert not self.nodes
        self.inputs += 1
        self.values.append((f"input{self.inputs}", dtype, tuple(shape)))
        return len(self.values) - 1

    def node(
        self, operator: int, source: int, dtype: int, shape: Sequence[int],
        tensors: dict[int, tuple[int, Sequence[int], bytes]] | None = None, attributes: Sequence[int] = (),
    ) -> int:  # fmt: skip
        """A node and its output value, whose id it returns. tensors: slot -> (dtype, shape, bytes)."""
        slots = [NONE] * 8
        for slot, (kind, dims, raw) in sorted((tensors or {}).items()):
            slots[slot] = len(self.tensors)
            self.tensors.append((kind, tuple(dims), raw))
        self.values.append((f"value{len(self.values)}", dtype, tuple(shape)))
        made = len(self.values) - 1
        self.nodes.append((f"layer{len(self.nodes)}", operator, source, made, slots, tuple(attributes)))
        return made

    def file(self, *outputs: int) -> BnnFile:
        """The file, with these values as outputs; all else as the format wants it."""
        names, graph = bytearray(), bytearray()

        def named(name: str) -> bytes:
            names.extend(name.encode())
            return struct.pack("<II", len(names) - len(name.encode()), len(name.encode()))

        def dims(shape: Sequence[int]) -> bytes:
            return struct.pack("<6I", *shape, *[0] * (6 - len(shape)))

        graph += struct.pack("<4I", len(self.values), len(self.nodes), self.inputs, len(outputs))
        graph += struct.pack(f"<{len(outputs)}I", *outputs)
        graph = bytearray(pad(graph, 8))
        for name, dtype, shape in self.values:
            graph += named(name) + struct.pack("<BBH", dtype, len(shape), 0) + dims(shape) + bytes(4)
        for name, operator, source, made, slots, attributes in self.nodes:
            graph += struct.pack("<HBB", operator, 1, 1) + named(name) + struct.pack("<8I", source, *[NONE] * 7)
            graph += struct.pack("<4I", made, *[NONE] * 3) + struct.pack("<8I", *slots)
            graph += struct.pack("<16I", *attributes, *[0] * (16 - len(attributes))) + bytes(4)
        tensors, data = bytearray(), bytearray()
        for dtype, shape, raw in self.tensors:
            data = bytearray(pad(data, 64))
            tensors += (
                struct.pack("<BBH", dtype, len(shape), 0) + dims(shape) + struct.pack("<IQQ", 0, len(data), len(raw))
            )
            data += raw
        return BnnFile([graph, names, tensors, metadata_section(self.metadata), data])
