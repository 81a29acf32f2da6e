"""What the operators that move numbers want of their nodes."""

from __future__ import annotations

from functools import partial

from bnnfile import FLOAT32, INT32, NONE, UINT8, BnnFile
from rules import Case, instead, node, value
from samples import lone

from bnnengine import (
    ChannelShuffle,
    Concat,
    Graph,
    ModelError,
    Pad,
    Reshape,
    ScaleBias,
    Sign,
    Slice,
    TopK,
    Transpose,
    Upsample2d,
)


def moved() -> BnnFile:
    """Two float32 (2, 3, 6): concatenated, sliced, shuffled, transposed, reshaped, padded, repeated, sorted.

    Values: 0, 1 inputs, 2 concat (2, 3, 12), 3 slice (2, 3, 4), 4 shuffle, 5 transpose (4, 2, 3), 6 reshape (2, 4, 3),
    7 pad (3, 4, 3), 8 upsample (6, 8, 3), 9 values (6, 8, 2), 10 indices. Nodes: 0 concat ... 7 top_k.
    """
    g = Graph()
    x = g(Concat(), g.input((2, 3, 6), name="a"), g.input((2, 3, 6), name="b"))
    x = g(ChannelShuffle(2), g(Slice(2, 6), x))
    x = g(Reshape((2, 4, 3)), g(Transpose((2, 0, 1)), x))
    x = g(Upsample2d(2), g(Pad(((1, 0), (0, 0)), 0.5), x))
    return BnnFile.parse(g.model(*g(TopK(2), x)).to_bytes())


def padded_bits() -> BnnFile:
    """float32 (1, 2, 3) -> bits -> padded by one row of +1 -> floats."""
    g = Graph()
    x = g(Pad(((1, 0), (0, 0)), 1), g(Sign(), g.input((1, 2, 3), name="x")))
    return BnnFile.parse(g.model(g(ScaleBias(), x)).to_bytes())


def one_number() -> BnnFile:
    """float32 (1) -> (1, 1)."""
    g = Graph()
    return BnnFile.parse(g.model(g(Reshape((1, 1)), g.input((1,), name="x"))).to_bytes())


def largest() -> BnnFile:
    """float32 (3) -> the largest two."""
    g = Graph()
    return BnnFile.parse(g.model(*g(TopK(2), g.input((3,), name="x"))).to_bytes())


Moved = partial(Case, error=ModelError, sample=moved)
Largest = partial(Case, error=ModelError, sample=largest)
Padded = partial(Case, error=ModelError, sample=padded_bits)
AXIS = "concat: attribute 0, the axis, MUST be below the rank"
ALIKE = "the inputs MUST be alike but for that axis"
FEWER = "they together MUST have fewer\n  than 2^31"
CUT = "count MUST be at least 1 and start + count MUST NOT be above the axis"
GROUPS = "groups MUST be at least 1 and divide C"
ONCE = "the first rank attributes MUST name each axis once"
ZERO = "the others MUST\n  be zero"
AS_MANY = "it MUST have as many numbers, and rank 1 or more"
SIDES = "sides MUST be below 2^16"
VALUE = "which MUST be finite, and for bits MUST be +1 or -1"
SCALES = "scales MUST be 1 to 65535, and each side MUST stay below 2^31"
K = "k MUST be 1 to C"
JOINED = "18 | concat | 2 to 8, all bits or all float32"
SHUFFLED = "20 | channel_shuffle | bits or float32 [..., C] | same |"
LARGER = "23 | pad | bits or float32 (H, W, C) | same dtype (H + top + bottom, W + left + right, C)"
REPEATED = "26 | upsample2d | bits or float32 (H, W, C) | same dtype (H * scale_h, W * scale_w, C)"
SORTED = "27 | top_k | float32 [..., C] | float32 [..., k] and int64 [..., k]"
PAD, UPSAMPLE2D = 23, 26
INFINITY, TWO = 0x7F800000, 0x40000000


def wide() -> BnnFile:
    """The sum of the axes is 2^31, while each value is small enough."""
    file = moved()
    for i in (0, 1):
        for dim, size in enumerate((1, 1, 2**30)):
            file.value(i)[f"dim{dim}"] = size
    return file


def tall(file: BnnFile) -> None:
    """Repeated to 40000 * 65535 rows."""
    instead(partial(lone, UPSAMPLE2D, 40000, 1, 1))(file)
    node(0, attribute0=65535, attribute1=1)(file)


CASES = [
    Moved(JOINED, value(0, dtype=UINT8), r"input: got uint8 \(2, 3, 6\), a dtype that it does not take"),
    Moved(JOINED, value(1, dtype=UINT8), r"input 1: got uint8 \(2, 3, 6\), wanted it like the first"),
    Case(JOINED, node(0, inputs=1, input1=NONE), "node 0: concat has 2 to 8 input.* got 1 and 1", sample=moved),
    Case(JOINED, node(0, inputs=9), "node 0: concat has 2 to 8 input.* got 9 and 1", sample=moved),
    Moved(AXIS, node(0, attribute0=3), "axis: got 3, wanted 0 to 2"),
    Moved("slice: axis likewise", node(1, attribute0=3), "axis: got 3, wanted 0 to 2"),
    Moved(ALIKE, node(0, attribute0=1), r"output: the file says float32 \(2, 3, 12\)"),
    Moved(ALIKE, value(1, dim0=3), r"input 1: got float32 \(3, 3, 6\), wanted it like the first"),
    Moved(ALIKE, value(1, rank=2, dim2=0), r"input 1: got float32 \(2, 3\), wanted it like the first"),
    Moved(FEWER, lambda file: file.sections.update(wide().sections), "the inputs together have 2.31 or more"),
    Moved(CUT, node(1, attribute2=0), "start and count: got 2 and 0"),
    Moved(CUT, node(1, attribute1=9), "start and count: got 9 and 4, wanted a part of 0 .. 11"),
    Moved(CUT, node(1, attribute1=2**32 - 2), "start and count: got 4294967294 and 4"),
    Moved("same dtype, the axis cut", node(1, attribute2=5), r"output: the file says float32 \(2, 3, 4\)"),
    Moved(GROUPS, node(2, attribute0=0), "groups: got 0, must divide the 4 channels"),
    Moved(GROUPS, node(2, attribute0=3), "groups: got 3, must divide the 4 channels"),
    Moved(SHUFFLED, value(4, dim1=4), r"output: the file says float32 \(2, 4, 4\), but .* float32 \(2, 3, 4\)"),
    Moved(ONCE, node(3, attribute1=2), "axis 1: got 2, wanted each of 0 to 2 once"),
    Moved(ONCE, node(3, attribute1=3), "axis 1: got 3, wanted each of 0 to 2 once"),
    Moved(ZERO, node(3, attribute3=1), "axis 3: got 1, wanted each"),
    Moved("the axes in order", node(3, attribute0=0, attribute1=1, attribute2=2), "output: the file says"),
    Moved(AS_MANY, value(6, dim0=3), "wanted as many numbers"),
    Moved(AS_MANY, value(6, dtype=INT32 + 1), "wanted as many numbers"),
    Case(AS_MANY, value(1, rank=0, dim0=0, dim1=0), "wanted as many numbers", ModelError, one_number),
    *(
        Moved(SIDES, node(5, **{f"attribute{i}": 2**16}), f"{side}: got 65536, wanted 0 to 65535")
        for i, side in enumerate(("top", "left", "bottom", "right"))
    ),
    Moved(LARGER, node(5, attribute2=2), r"but the layer makes float32 \(5, 4, 3\)"),
    Moved(LARGER, node(5, attribute3=2), r"but the layer makes float32 \(3, 6, 3\)"),
    Moved(LARGER, instead(partial(lone, PAD, 4)), r"input: got float32 \(4,\), wanted rank 3"),
    Padded(LARGER, value(2, dtype=FLOAT32), r"output: the file says float32 \(2, 2, 3\), but the layer makes bits"),
    Moved(VALUE, node(5, attribute4=INFINITY), "value: wanted a finite float32"),
    Padded(VALUE, node(1, attribute4=TWO), r"value: got 2, wanted \+1 or -1 for bits"),
    Moved(SCALES, node(6, attribute0=0), "scale height: got 0, wanted 1 to 65535"),
    Moved(SCALES, node(6, attribute1=2**16), "scale width: got 65536, wanted 1 to 65535"),
    Moved(SCALES, tall, "scale height: got 65535, wanted 1 to 65535, and fewer than 2.31 pixels"),
    Moved(REPEATED, node(6, attribute1=3), r"but the layer makes float32 \(6, 12, 3\)"),
    Moved(REPEATED, instead(partial(lone, UPSAMPLE2D, 4)), r"input: got float32 \(4,\), wanted rank 3"),
    Moved(SORTED, value(9, dim2=3), r"output: the file says float32 \(6, 8, 3\), but"),
    Largest(SORTED, value(0, dtype=UINT8), r"input: got uint8 \(3,\), a dtype that it does not take"),
    Largest(SORTED, value(0, rank=0, dim0=0), r"input: got float32 \(\), wanted rank at least 1"),
    Moved(K, node(7, attribute0=0), "k: got 0, wanted 1 to 3"),
    Moved(K, node(7, attribute0=4), "k: got 4, wanted 1 to 3"),
    Moved(
        "float32 [..., k] and int64 [..., k]", value(10, dim2=3), "second output: wanted int64 of the first one's shape"
    ),
]
