"""What each operator wants of its node: slots, attributes, dtypes, shapes."""

from __future__ import annotations

import struct
from functools import partial

from bnnfile import (
    ARGMAX,
    BINARIZE,
    CONV2D,
    DENSE,
    FLOAT32,
    GLOBAL_AVERAGE_POOL,
    INT32,
    MAX_POOL2D,
    NONE,
    SOFTMAX,
    BnnFile,
)
from rules import Breaks, Case, instead, node, tensor, value
from samples import bytes_conv, bytes_dense, lone, real, settled

from bnnengine import ModelError

AT_LEAST_1 = "(all at least 1)"
BELOW_2_16 = "Attributes are below 2^16"
BELOW_KERNEL = "each below the dilated kernel"
OUTPUT_SIZE = "rounded down, and MUST be at least 1"
SLOTS = "Tensors are named with the slot they use"
DIVIDE = "at least 1; MUST divide C and O"
CONV_WEIGHT = "0 weight bits [O, KH, KW, C/groups]"
THRESHOLD = "`threshold` (slot 1, [O])"
THRESHOLD_DTYPE = "is int32 where acc is an integer and float32 (not NaN) where acc is float32"
FLIP = "present\nexactly when threshold is"
EXCLUDE = "Slots 1, 2 exclude 3, 4"
LONGEST = (2**31 - 2) // 255  # inputs of uint8 whose sum fits in 31 bits
FINITE = "(slot 4, float32 [O]) finite"

Chain = partial(Case, error=ModelError)
Real = partial(Case, error=ModelError, sample=real)
Settled = partial(Case, error=ModelError, sample=partial(settled, 1, 2))


def infinite(i: int) -> Breaks:
    """An infinity in tensor i."""

    def breaks(file: BnnFile) -> None:
        struct.pack_into("<f", file.sections["data"], file.tensor(i)["offset"], float("-inf"))

    return breaks


NODE = [
    Chain("as the operator has it; unused ones MUST be zero", node(0, attribute0=1), "attribute 0: got 1, wanted 0"),
    Chain("as the operator has it; unused ones MUST be zero", node(1, attribute13=1), "attribute 13: got 1, wanted 0"),
    Chain(SLOTS, node(0, tensor1=NONE, tensor2=1), "tensor slot 2: holds a tensor, but is not used"),
    Chain(SLOTS, node(0, tensor0=NONE, tensor1=0, tensor2=1), "tensor slot 2: holds a tensor, but is not used"),
]

WINDOW = [
    Chain(AT_LEAST_1, node(1, attribute0=0), "kernel height: got 0, wanted 1 to 65535"),
    Chain(AT_LEAST_1, node(1, attribute1=0), "kernel width: got 0, wanted 1 to 65535"),
    Chain(AT_LEAST_1, node(1, attribute2=0), "stride height: got 0, wanted 1 to 65535"),
    Chain(AT_LEAST_1, node(1, attribute3=0), "stride width: got 0, wanted 1 to 65535"),
    Chain(AT_LEAST_1, node(1, attribute4=0), "dilation height: got 0, wanted 1 to 65535"),
    Chain(AT_LEAST_1, node(1, attribute5=0), "dilation width: got 0, wanted 1 to 65535"),
    *(Chain(BELOW_2_16, node(1, **{f"attribute{i}": 2**16}), "got 65536, wanted [01] to 65535") for i in range(10)),
    Chain(BELOW_KERNEL, node(1, attribute6=2), "padding top: got 2, but the dilated kernel is 2"),
    Chain(BELOW_KERNEL, node(1, attribute7=2), "padding left: got 2, but the dilated kernel is 2"),
    Chain(BELOW_KERNEL, node(1, attribute8=2), "padding bottom: got 2, but the dilated kernel is 2"),
    Chain(BELOW_KERNEL, node(1, attribute5=2, attribute9=3), "padding right: got 3, but the dilated kernel is 3"),
    Chain(OUTPUT_SIZE, node(1, attribute0=4), "kernel height: the dilated kernel is 4, but the padded input only 3"),
    Chain(OUTPUT_SIZE, node(1, attribute5=5), "kernel width: the dilated kernel is 6, but the padded input only 5"),
    Chain("OW likewise", node(1, attribute3=1), r"output: the file says bits \(2, 2, 5\), but .* bits \(2, 4, 5\)"),
    Real("window (dilation 1)", node(0, attribute4=2), "dilation: got 2, 1, wanted 1"),
    Real("window (dilation 1)", node(2, attribute5=2), "dilation: got 1, 2, wanted 1"),
]

SUMS = [
    Chain(DIVIDE, node(1, attribute10=0), "groups: got 0, must divide the 3 input channels and the 5 output channels"),
    Chain(DIVIDE, node(1, attribute10=3), "groups: got 3, must divide the 3 input channels and the 5 output channels"),
    Chain(DIVIDE, node(1, attribute10=5), "groups: got 5, must divide the 3 input channels and the 5 output channels"),
    Chain("0 zero, 1 plus one, 2 minus one", node(1, attribute11=3), "pad value: got 3, wanted 0, 1 or 2"),
    Case("input MUST have 0", node(0, attribute11=1), "pad value: uint8 input is padded", ModelError, bytes_conv),
    Case("input MUST have 0", node(0, attribute11=2), "pad value: uint8 input is padded", ModelError, bytes_conv),
    Case(
        "(K * 255 MUST be below 2^31",
        instead(partial(bytes_dense, LONGEST + 1)),
        "sums of 8421505 products do not fit",
        ModelError,
        partial(bytes_dense, LONGEST),
    ),
    Chain(CONV_WEIGHT, node(1, attribute0=1), r"weight: got bits \(5, 2, 2, 3\), wanted bits \(5, 1, 2, 3\)"),
    Chain(CONV_WEIGHT, tensor(2, dim3=4), r"weight: got bits \(5, 2, 2, 4\), wanted bits \(5, 2, 2, 3\)"),
    Chain(CONV_WEIGHT, node(1, operator=CONV2D), r"weight: got bits \(5, 2, 2, 3\), wanted float32 \(5, 2, 2, 3\)"),
    Chain("(H, W, C) | bits or float32 (OH, OW, O)", value(1, rank=2, dim2=0), "output: the file says bits .3, 4."),
    Chain("0 weight bits [O, K]", tensor(5, dim1=21), r"weight: got bits \(4, 21\), wanted bits \(4, 20\)"),
    Real(
        "0 weight float32 or int8 [O, K], finite",
        tensor(6, dim0=4, dim1=2),
        r"weight: got float32 \(4, 2\), wanted float32 ",
    ),
    Real("0 weight float32 or int8 [O, KH, KW, C/groups], finite", infinite(0), "weight: element 0 is infinite"),
    Real("0 weight float32 or int8 [O, K], finite", infinite(6), "weight: element 0 is infinite"),
    Chain("0 weight bits [O, K]", node(3, tensor0=NONE, tensor1=5), "weight: tensor is missing"),
    Chain(THRESHOLD, tensor(3, rank=2, dim0=1, dim1=5), r"threshold: got int32 \(1, 5\), wanted int32 \(5,\)"),
    Settled(THRESHOLD_DTYPE, tensor(1, dtype=FLOAT32), r"threshold: got float32 \(2,\), wanted int32 \(2,\)"),
    Real(THRESHOLD_DTYPE, tensor(1, dtype=INT32), r"threshold: got int32 \(4,\), wanted float32 \(4,\)"),
    Chain("`flip` (slot 2, bits [O]", tensor(4, dim0=6), r"flip: got bits \(6,\), wanted bits \(5,\)"),
    Settled(FLIP, instead(partial(settled, 1)), "threshold and flip: one is there without the other"),
    Settled(FLIP, instead(partial(settled, 2)), "threshold and flip: one is there without the other"),
    Settled(EXCLUDE, instead(partial(settled, 1, 2, 3)), "threshold: excludes scale and bias"),
    Settled(EXCLUDE, instead(partial(settled, 1, 2, 4)), "threshold: excludes scale and bias"),
    Settled("Otherwise the output is float32", instead(settled), r"output: the file says bits \(2,\), but .* float32"),
    Chain(FINITE, infinite(6), "scale: element 0 is infinite"),
    Chain(FINITE, infinite(7), "bias: element 0 is infinite"),
    Chain(FINITE, tensor(6, dtype=INT32), r"scale: got int32 \(4,\), wanted float32 \(4,\)"),
]

Softmax = partial(Case, error=ModelError, sample=partial(lone, SOFTMAX, 4))
RANKS = [
    Chain("bits, uint8 or float32 (K)", node(3, input0=2), r"input: got bits \(2, 2, 5\), wanted rank 1"),
    Softmax("bits, uint8 or float32 (K)", instead(partial(lone, DENSE, 2, 2)), r"got float32 \(2, 2\), wanted rank 1"),
    Softmax(
        "bits, uint8 or float32 (H, W, C)", instead(partial(lone, CONV2D, 4)), r"got float32 \(4,\), wanted rank 3"
    ),
    Softmax("bits or float32 (H, W, C) | same", instead(partial(lone, MAX_POOL2D, 4)), r"\(4,\), wanted rank 3"),
    Softmax("bits or float32 (H, W, C) | float32", instead(partial(lone, GLOBAL_AVERAGE_POOL, 2, 2)), "wanted rank 3"),
    Softmax("softmax | float32 [..., C]", instead(partial(lone, SOFTMAX)), r"got float32 \(\), wanted rank at least 1"),
    Softmax("argmax | float32 [..., C]", instead(partial(lone, ARGMAX)), r"got float32 \(\), wanted rank at least 1"),
]

OTHERS = [
    Chain("uint8 or float32 [..., C] | bits, same shape", value(1, dim0=4), r"output: the file says bits \(4, 4, 3\)"),
    Chain("uint8 or float32 [..., C] | bits, same shape", node(2, operator=BINARIZE), r"input: got bits \(2, 2, 5\)"),
    Chain("0 threshold float32 [C], 1 flip bits [C]", tensor(0, dtype=INT32), r"threshold: got int32 \(3,\), wanted"),
    Chain("0 threshold float32 [C], 1 flip bits [C]", tensor(1, dim0=4), r"flip: got bits \(4,\), wanted bits \(3,\)"),
    Real("0 flip bits [C], bits only, may be absent", tensor(3, dim0=3), r"flip: got bits \(3,\), wanted bits \(4,\)"),
    Real("0 flip bits [C], bits only, may be absent", node(2, input0=1), "flip: only for bits"),
    Real("same dtype (OH, OW, C)", value(1, dim2=3), r"output: the file says float32 \(3, 3, 3\), but the layer makes"),
    Real("bits or float32 (H, W, C) | float32 (C)", value(4, dim0=5), r"output: the file says float32 \(5,\), but"),
    Real("bits or float32 (H, W, C) | float32 (C)", node(4, operator=GLOBAL_AVERAGE_POOL), "tensor slot 0: holds"),
    Chain(
        "same dtype (product of dims)", value(3, dim0=21), r"output: the file says bits \(21,\), but .* bits \(20,\)"
    ),
    Chain("same dtype (product of dims)", value(3, dtype=FLOAT32), r"output: the file says float32 \(20,\), but"),
    Real("0 scale float32 [C], 1 bias float32 [C], finite", infinite(4), "scale: element 0 is infinite"),
    Real("0 scale float32 [C], 1 bias float32 [C], finite", infinite(5), "bias: element 0 is infinite"),
    Real(
        "0 scale float32 [C], 1 bias float32 [C], finite", tensor(5, rank=2, dim0=2, dim1=2), "bias: got float32 .2, 2"
    ),
    Chain("softmax | float32 [..., C]", node(4, input0=0), "input: got uint8 .*, a dtype that it does not take"),
    Chain("float32 [..., C] | float32, same shape", value(5, dim0=3), r"output: the file says float32 \(3,\), but"),
    Chain("argmax | float32 [..., C]", node(5, input0=3), r"input: got bits \(20,\), a dtype that it does not take"),
    Chain(
        "int64, shape without the last",
        value(6, rank=1, dim0=4),
        r"output: the file says int64 \(4,\), but .* int64 \(\)",
    ),
]

CASES = NODE + WINDOW + SUMS + RANKS + OTHERS
