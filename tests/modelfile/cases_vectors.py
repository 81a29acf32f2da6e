"""What layer_norm and binary_matmul want of their nodes."""

from __future__ import annotations

import struct
from functools import partial

import numpy as np
from bnnfile import INT32, NONE, BnnFile
from cases_operators import infinite
from rules import Breaks, Case, node, tensor, value

from bnnengine import BinaryMatMul, Graph, LayerNorm, ModelError, Sign


def attention() -> BnnFile:
    """float32 (2, 3, 5) -> layer_norm -> bits (2, 3, 5), times bits (2, 4, 5) -> float32 (2, 3, 4).

    Values: 0, 1 inputs, 2 normalised, 3, 4 bits, 5 products. Nodes: 0 layer_norm, 1, 2 binarize, 3 binary_matmul.
    Tensors: 0 gamma, 1 beta.
    """
    g = Graph()
    a, b = g.input((2, 3, 5), name="a"), g.input((2, 4, 5), name="b")
    a = g(LayerNorm(np.ones(5), np.zeros(5)), a)
    return BnnFile.parse(g.model(g(BinaryMatMul(0.5, True), g(Sign(), a), g(Sign(), b))).to_bytes())


def as_int(x: float) -> int:
    """The bits of a float32."""
    return int(struct.unpack("<I", struct.pack("<f", x))[0])


def shaped(values: tuple[int, ...], *dims: int) -> Breaks:
    """Another shape for these values."""

    def breaks(file: BnnFile) -> None:
        for i in values:
            value(i, rank=len(dims), **{f"dim{k}": ([*dims] + [0] * 6)[k] for k in range(6)})(file)

    return breaks


Attention = partial(Case, error=ModelError, sample=attention)
NORM = "28 | layer_norm | float32 [..., C] | float32, same shape | 0 gamma, 1 beta, float32 [C], finite | 0 epsilon"
EPSILON = "which MUST be finite and at least 0"
MATMUL = "29 | binary_matmul | bits [..., M, K] and bits [..., N, K] | float32 [..., M, N] | | 0 zero_one, 1 scale"
DIMS = "The inputs MUST have the same number of\n  dimensions, at least 2, and the same dims but for M and N"

CASES = [
    Attention(NORM, infinite(0), "gamma: element 0 is infinite"),
    Attention(NORM, infinite(1), "beta: element 0 is infinite"),
    Attention(NORM, tensor(0, dtype=INT32), r"gamma: got int32 \(5,\), wanted float32 \(5,\)"),
    Attention(NORM, node(0, tensor0=NONE, tensor1=0, tensor2=1), "tensor slot 2: holds a tensor, but is not used"),
    Attention(NORM, value(2, dim1=4), r"output: the file says float32 \(2, 4, 5\), but the layer makes"),
    Attention(NORM, node(0, attribute1=1), "attribute 1: got 1, wanted 0"),
    Attention(EPSILON, node(0, attribute0=as_int(-1.0)), "epsilon: got -1, wanted a finite number from 0"),
    Attention(EPSILON, node(0, attribute0=as_int(float("inf"))), "epsilon: got inf, wanted a finite number from 0"),
    Attention(EPSILON, node(0, attribute0=as_int(float("nan"))), "epsilon: got -?nan, wanted a finite number from 0"),
    Attention(MATMUL, value(5, dim2=3), r"output: the file says float32 \(2, 3, 3\), but .* float32 \(2, 3, 4\)"),
    Attention(MATMUL, node(3, input0=2), r"input: got float32 \(2, 3, 5\), a dtype that it does not take"),
    Attention(MATMUL, node(3, input1=1), r"second input: got float32 \(2, 4, 5\), wanted bits \(2, 4, 5\)"),
    Attention(MATMUL, node(3, attribute2=1), "attribute 2: got 1, wanted 0"),
    Attention(DIMS, shaped((0, 2, 3), 5), r"input: got bits \(5,\), wanted rank at least 2"),
    Attention(DIMS, shaped((1, 4), 4, 5), r"second input: got bits \(4, 5\), wanted bits \(2, 1, 5\), or another"),
    Attention(DIMS, shaped((1, 4), 3, 4, 5), r"second input: got bits \(3, 4, 5\), wanted bits \(2, 4, 5\), or"),
    Attention("Attribute 0 MUST be 0 or 1", node(3, attribute0=2), "zero_one: got 2, wanted 0 or 1"),
    Attention("bits of a float32, which MUST be finite", node(3, attribute1=as_int(float("inf"))), "scale: is not"),
    Attention("bits of a float32, which MUST be finite", node(3, attribute1=as_int(float("nan"))), "scale: is not"),
]
