"""FlatBuffers and FlexBuffers as far as TensorFlow Lite uses them: every offset is checked before it is followed.

Numbers lie little-endian. A table begins with the distance back to its vtable, which has an offset for each field, or 0
where the field is left out; what is no number lies behind an unsigned distance forward (flatbuffers.dev, "internals").
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnengine.errors import ConvertError

MOST_TABLES = 1 << 14  # in one vector
MOST_FIELDS = 32  # of a table that are looked at
MOST_TEXT = 1 << 12  # bytes of a string


def number(data: bytes, at: int, kind: str) -> Any:
    """The number of that kind (of `struct`) at an offset.

    Raises:
        ConvertError: it does not lie in the data.
    """
    span(data, at, struct.calcsize(f"<{kind}"))
    return struct.unpack_from(f"<{kind}", data, at)[0]


def span(data: bytes, at: int, size: int) -> int:
    """The offset, where that many bytes lie in the data from there on.

    Raises:
        ConvertError: they do not.
    """
    if at < 0 or size < 0 or at + size > len(data):
        raise ConvertError(f"damaged: {size} bytes at {at}, behind the end of {len(data)}")
    return at


class Table:
    """One table; fields are found by their number in the schema.

    Args:
        data: the whole file.
        at: where the table begins; None is an empty one, whose fields have their defaults.
    """

    def __init__(self, data: bytes, at: int | None) -> None:
        """Finds the vtable."""
        self.data, self.at = data, at or 0
        self._offsets: tuple[int, ...] = ()
        if at is None:
            return
        vtable = at - number(data, at, "i")
        size = number(data, vtable, "H")
        span(data, vtable, size)
        fields = min(max(size // 2 - 2, 0), MOST_FIELDS)
        self._offsets = struct.unpack_from(f"<{fields}H", data, vtable + 4)

    def _place(self, field: int) -> int | None:
        offset = self._offsets[field] if field < len(self._offsets) else 0
        return self.at + offset if offset else None

    def _followed(self, field: int) -> int | None:
        place = self._place(field)
        return None if place is None else place + number(self.data, place, "I")

    def number(self, field: int, kind: str, default: Any = 0) -> Any:
        """A number of that kind (of `struct`)."""
        place = self._place(field)
        return default if place is None else number(self.data, place, kind)

    def numbers(self, field: int, dtype: Any) -> npt.NDArray[Any]:
        """A vector of numbers, as a view of the data; empty where it is left out."""
        start, dtype = self._followed(field), np.dtype(dtype)
        if start is None:
            return np.empty(0, dtype)
        count = number(self.data, start, "I")
        return np.frombuffer(self.data, dtype, count, span(self.data, start + 4, count * dtype.itemsize))

    def text(self, field: int) -> str:
        """A string; what is no UTF-8 in it is replaced."""
        return self.numbers(field, np.uint8)[:MOST_TEXT].tobytes().decode("utf-8", "replace")

    def table(self, field: int) -> Table:
        """A table, an empty one where it is left out."""
        return Table(self.data, self._followed(field))

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        start = self._followed(field)
        if start is None:
            return []
        count = number(self.data, start, "I")
        if count > MOST_TABLES:
            raise ConvertError(f"damaged: {count} tables at {start}, wanted up to {MOST_TABLES}")
        places = range(start + 4, start + 4 + 4 * count, 4)
        return [Table(self.data, place + number(self.data, place, "I")) for place in places]


_WIDTHS = {"int": {1: "b", 2: "h", 4: "i", 8: "q"}, "uint": {1: "B", 2: "H", 4: "I", 8: "Q"}, "float": {4: "f", 8: "d"}}
_SCALARS = {1: "int", 2: "uint", 3: "float", 26: "uint"}  # FlexBuffers' types; 26 is a bool
_MAP = 9


def flex_map(data: bytes) -> dict[str, int | float]:
    """The numbers of a FlexBuffers map, by key; what is no number is left out.

    The last bytes are the root, its type (type << 2 | log2 of the width of what it holds) and the root's own width. A
    map is a vector of values with one byte each for their types behind it; before it stand its length, the width of
    its keys' offsets and the distance back to them.

    Raises:
        ConvertError: it is no map, or damaged.
    """
    root_width, kind = number(data, len(data) - 1, "B"), number(data, len(data) - 2, "B")
    if kind >> 2 != _MAP or root_width not in _WIDTHS["uint"]:
        raise ConvertError("custom options: wanted a FlexBuffers map")
    root, width = len(data) - 2 - root_width, 1 << (kind & 3)
    values = root - number(data, root, _WIDTHS["uint"][root_width])
    unsigned = _WIDTHS["uint"][width]
    count = number(data, values - width, unsigned)
    keys_width = number(data, values - 2 * width, unsigned)
    back = values - 3 * width
    keys = back - number(data, back, unsigned)
    if keys_width not in _WIDTHS["uint"] or count > len(data):
        raise ConvertError("custom options: damaged")
    found: dict[str, int | float] = {}
    for i in range(count):
        slot = keys + i * keys_width
        start = slot - number(data, slot, _WIDTHS["uint"][keys_width])
        end = data.find(b"\0", span(data, start, 1), start + 256)
        packed = number(data, values + count * width + i, "B")
        form = _WIDTHS.get(_SCALARS.get(packed >> 2, ""), {}).get(width)
        if end >= 0 and form:
            found[data[start:end].decode("utf-8", "replace")] = number(data, values + i * width, form)
    return found
