"""What the pools, and sums of bits that count as 0 and 1, want of their nodes."""

from __future__ import annotations

from functools import partial

import numpy as np
from bnnfile import BnnFile
from rules import Case, node, value
from samples import bytes_conv, bytes_dense

from bnnengine import (
    AveragePool2d,
    BinaryConv2d,
    BinaryDense,
    Conv2d,
    Dense,
    GlobalMaxPool,
    Input,
    ModelError,
    Sequential,
    Sign,
)


def pools() -> BnnFile:
    """float32 (5, 5, 2) -> mean of windows (2, 2, 2) -> bits -> sums of 0 and 1 -> int8 convolution -> maximum ->
    bits -> dense sums of 0 and 1 -> int8 dense.

    Nodes and their values, one on: 0 average_pool2d, 1 binarize, 2 binary_conv2d, 3 conv2d, 4 global_max_pool,
    5 binarize, 6 binary_dense, 7 dense. Tensors: 2 and 7 binary weights, 3 and 8 int8 weights.
    """
    signs, whole = np.ones((3, 1, 1, 2)), np.ones((3, 1, 1, 3), np.int8)
    layers = [
        Input((5, 5, 2)),
        AveragePool2d(3, 2, ((1, 0), (0, 1)), count_include_pad=False),
        Sign(),
        BinaryConv2d(signs, zero_one=True, padding=0, pad_value=1),
        Conv2d(whole),
        GlobalMaxPool(),
        Sign(),
        BinaryDense(np.ones((4, 3)), zero_one=True),
        Dense(np.ones((2, 4), np.int8)),
    ]
    return BnnFile.parse(Sequential(layers).to_bytes())


Pools = partial(Case, error=ModelError, sample=pools)
AVERAGE = "24 | average_pool2d | float32 (H, W, C) | float32 (OH, OW, C) | | window (dilation 1), 10 what is counted"
MAXIMUM = "25 | global_max_pool | float32 (H, W, C) | float32 (C) | | |"
ZERO_ONE = "- *zero_one*: MUST be 0 or 1"
BITS_ONLY = "With 1 the input, which MUST be bits"

CASES = [
    Pools(AVERAGE, node(0, attribute5=2), "dilation: got 1, 2, wanted 1"),
    Pools(AVERAGE, node(0, attribute11=1), "attribute 11: got 1, wanted 0"),
    Pools(AVERAGE, value(1, dim2=3), r"output: the file says float32 \(2, 2, 3\), but"),
    Pools(AVERAGE, node(0, attribute0=1, attribute6=1), "padding top: got 1, but the dilated kernel is 1"),
    Pools("attribute 10 MUST be 0 or 1", node(0, attribute10=2), "count_include_pad: got 2, wanted 0 or 1"),
    Pools(MAXIMUM, node(4, input0=2), r"input: got bits \(2, 2, 2\), a dtype that it does not take"),
    Pools(MAXIMUM, value(5, dim0=4), r"output: the file says float32 \(4,\), but the layer makes float32 \(3,\)"),
    Pools(ZERO_ONE, node(2, attribute12=2), "zero_one: got 2, wanted 0 or 1"),
    Pools(ZERO_ONE, node(6, attribute0=2), "zero_one: got 2, wanted 0 or 1"),
    Pools(BITS_ONLY, node(2, input0=1), "zero_one: only for bits"),
    Pools(BITS_ONLY, node(6, input0=5), "zero_one: only for bits"),
    Case(BITS_ONLY, node(0, attribute12=1), "zero_one: only for bits", ModelError, bytes_conv),
    Case(BITS_ONLY, node(0, attribute0=1), "zero_one: only for bits", ModelError, bytes_dense),
    Pools(
        "pad value MUST\n  NOT be 2", node(2, attribute11=2), "pad value: got 2, wanted 0 or 1 where zero_one is set"
    ),
    Pools(
        "0 weight float32 or int8 [O, KH, KW, C/groups]",
        node(3, attribute0=2),
        r"weight: got int8 \(3, 1, 1, 3\), wanted",
    ),
    Pools("0 weight float32 or int8 [O, K]", node(7, input0=5), r"weight: got int8 \(2, 4\), wanted int8 \(2, 3\)"),
    Pools("0 weight bits [O, K]", node(7, operator=3), r"weight: got int8 \(2, 4\), wanted bits \(2, 4\)"),
    Pools(
        "0 weight float32 or int8 [O, K]",
        node(6, operator=5, attribute0=0),
        r"weight: got bits \(4, 3\), wanted float32",
    ),
]
