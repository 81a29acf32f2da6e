"""What prelu, clip, unary, add, subtract and multiply want of their nodes."""

from __future__ import annotations

from functools import partial

import numpy as np
from bnnfile import INT32, NONE, UINT8, BnnFile
from cases_operators import infinite
from rules import Case, node, tensor, value

from bnnengine import Add, Clip, Graph, ModelError, Multiply, PReLU, ScaleBias, Sigmoid, Sign


def branches() -> BnnFile:
    """float32 (2, 2, 3) -> prelu -> clip -> unary -> multiplied by float32 (3) -> added to the clipped.

    Values: 0, 1 inputs, 2 prelu, 3 clip, 4 unary, 5 multiply, 6 add, 7 bits, 8 floats. Nodes: 0 prelu, 1 clip, 2 unary,
    3 multiply, 4 add, 5 binarize, 6 scale_bias. Tensors: 0 slope, 1 shift in, 2 shift out, 3 low, 4 high.
    """
    g = Graph()
    x, gate = g.input((2, 2, 3), name="x"), g.input((3,), name="gate")
    x = g(PReLU(np.ones(3), np.ones(3), np.ones(3)), x)
    low = g(Clip(-np.ones(3), np.ones(3)), x)
    x = g(Add(), g(Multiply(), g(Sigmoid(), low), gate), low)
    return BnnFile.parse(g.model(g(ScaleBias(), g(Sign(), x)), x).to_bytes())


Branches = partial(Case, error=ModelError, sample=branches)
PRELU = "0 slope, 1 shift in, 2 shift out, float32 [C], finite; 1 and 2 may be absent"
CLIP = "0 low, 1 high, float32 [C], finite; one may be absent"
SECOND = (
    "the second input MUST have the shape of the first, or one number a channel, (C) or (1, ..., 1, C), or one a\n"
    "  pixel, (..., 1)"
)
SAME = "unary | float32 [..., C] | float32, same shape"
FIRST = "multiply | two float32 | float32, the first one's shape"


CASES = [
    Branches(PRELU, infinite(0), "slope: element 0 is infinite"),
    Branches(PRELU, infinite(1), "shift in: element 0 is infinite"),
    Branches(PRELU, tensor(2, dtype=INT32), r"shift out: got int32 \(3,\), wanted float32 \(3,\)"),
    Branches(PRELU, node(0, tensor2=NONE, tensor3=2), "tensor slot 3: holds a tensor, but is not used"),
    Branches(CLIP, infinite(3), "low: element 0 is infinite"),
    Branches(CLIP, tensor(4, dtype=INT32), r"high: got int32 \(3,\), wanted float32"),
    Branches("attribute 0, MUST be at most 6", node(2, attribute0=7), "function: got 7, wanted 0 to 6"),
    Branches(SAME, value(4, dim0=4), r"output: the file says float32 \(4, 2, 3\), but"),
    Branches(
        "prelu | float32 [..., C] | float32, same shape",
        node(5, operator=12),
        r"shift in: got bits \(3,\), wanted float32",
    ),
    Branches(SECOND, value(1, dim0=4), r"second input: got float32 \(4,\), wanted the shape of the first"),
    Branches(SECOND, value(1, dim0=3, rank=2, dim1=3), r"second input: got float32 \(3, 3\), wanted the shape"),
    Branches(SECOND, node(4, input1=1, input0=1), r"output: the file says float32 \(2, 2, 3\), but the layer"),
    Branches(FIRST, value(5, dtype=INT32 + 1), "output: the file says"),
    Branches("multiply | two float32", value(1, dtype=UINT8), r"second input: got uint8 \(3,\), wanted the shape"),
]
