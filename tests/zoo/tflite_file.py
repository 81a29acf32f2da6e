"""Reads the operators and constants of a TensorFlow Lite file: just as much FlatBuffers as that takes.

The schema is TensorFlow's schema.fbs; a table's field k is found through slot k of its vtable.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# builtin operator codes and tensor types that occur in Larq's networks
BUILTINS = {0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D",
            9: "FULLY_CONNECTED", 17: "MAX_POOL_2D", 18: "MUL", 25: "SOFTMAX"}  # fmt: skip
DTYPES = {0: np.dtype(np.float32), 2: np.dtype(np.int32)}


@dataclass
class Operator:
    """An operator's name and its constant inputs, in their order."""

    kind: str
    constants: list[np.ndarray]


class _Table:
    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        self.vtable = at - struct.unpack_from("<i", data, at)[0]

    def _place(self, field: int) -> int:
        """Where the field is, or 0."""
        slot = 4 + 2 * field
        size = struct.unpack_from("<H", self.data, self.vtable)[0]
        offset = struct.unpack_from("<H", self.data, self.vtable + slot)[0] if slot < size else 0
        return self.at + offset if offset else 0

    def number(self, field: int, kind: str) -> int:
        place = self._place(field)
        return struct.unpack_from("<" + kind, self.data, place)[0] if place else 0

    def vector(self, field: int) -> tuple[int, int]:
        """Where its elements begin, and how many there are."""
        place = self._place(field)
        if not place:
            return 0, 0
        place += struct.unpack_from("<I", self.data, place)[0]
        return place + 4, struct.unpack_from("<I", self.data, place)[0]

    def numbers(self, field: int) -> list[int]:
        start, count = self.vector(field)
        return list(struct.unpack_from(f"<{count}i", self.data, start))

    def tables(self, field: int) -> list["_Table"]:
        start, count = self.vector(field)
        places = [start + 4 * k for k in range(count)]
        return [_Table(self.data, p + struct.unpack_from("<I", self.data, p)[0]) for p in places]


def read_tflite(path: Path) -> list[Operator]:
    """The operators of the first graph, in the order in which they run."""
    data = path.read_bytes()
    assert data[4:8] == b"TFL3", "not a TensorFlow Lite file"
    model = _Table(data, struct.unpack_from("<I", data)[0])
    buffers = [buffer.vector(0) for buffer in model.tables(4)]
    kinds = [_kind(code) for code in model.tables(1)]
    graph = model.tables(2)[0]
    constants: list[np.ndarray | None] = []
    for tensor in graph.tables(0):
        start, size = buffers[tensor.number(2, "I")]
        dtype = DTYPES.get(tensor.number(1, "b"))
        values = np.frombuffer(data, dtype, size // dtype.itemsize, start) if size and dtype else None
        constants.append(None if values is None else values.reshape(tensor.numbers(0)))
    return [
        Operator(kinds[op.number(0, "I")], [constants[k] for k in op.numbers(1) if k >= 0 and constants[k] is not None])
        for op in graph.tables(3)
    ]


def _kind(code: _Table) -> str:
    start, size = code.vector(1)
    if size:
        return code.data[start : start + size].decode()
    return BUILTINS.get(max(code.number(0, "b"), code.number(3, "i")), "other")
