"""Small networks, as files."""

from __future__ import annotations

import struct

from bnnfile import (
    ARGMAX,
    BINARIZE,
    BINARY_CONV2D,
    BINARY_DENSE,
    BITS,
    CONV2D,
    DENSE,
    FLATTEN,
    FLOAT32,
    GLOBAL_AVERAGE_POOL,
    INT32,
    INT64,
    MAX_POOL2D,
    SCALE_BIAS,
    SOFTMAX,
    UINT8,
    BnnFile,
    Net,
    raw_bits,
)


def floats(*x: float) -> bytes:
    """float32 values."""
    return struct.pack(f"<{len(x)}f", *x)


def ints(*x: int) -> bytes:
    """int32 values."""
    return struct.pack(f"<{len(x)}i", *x)


def bits(*dims: int) -> bytes:
    """A bits tensor of these dims, with a pattern that is not regular."""
    count = 1
    for dim in dims[:-1]:
        count *= dim
    return raw_bits(*([(i * i + row * 7 + i * row) % 3 == 0 for i in range(dims[-1])] for row in range(count)))


def chain() -> BnnFile:
    """uint8 (3, 4, 3) -> bits -> convolution to bits -> flatten -> dense with scale and bias -> softmax, argmax.

    Values: 0 input, 1 bits, 2 conv (2, 2, 5), 3 flat (20), 4 dense (4), 5 softmax, 6 argmax. Tensors: 0 threshold
    float32, 1 flip, 2 weight, 3 threshold int32, 4 flip, 5 weight, 6 scale, 7 bias.
    """
    net = Net()
    x = net.input(UINT8, (3, 4, 3))
    x = net.node(
        BINARIZE, x, BITS, (3, 4, 3), {0: (FLOAT32, (3,), floats(100, 128, 7.5)), 1: (BITS, (3,), raw_bits([0, 1, 0]))}
    )
    tensors = {
        0: (BITS, (5, 2, 2, 3), bits(5, 2, 2, 3)),
        1: (INT32, (5,), ints(0, -3, 2, 9, 1)),
        2: (BITS, (5,), raw_bits([0, 1, 1, 0, 0])),
    }
    x = net.node(BINARY_CONV2D, x, BITS, (2, 2, 5), tensors, (2, 2, 1, 2, 1, 1, 0, 1, 0, 0, 1, 0))
    x = net.node(FLATTEN, x, BITS, (20,))
    tensors = {
        0: (BITS, (4, 20), bits(4, 20)),
        3: (FLOAT32, (4,), floats(1, 0.5, -2, 3)),
        4: (FLOAT32, (4,), floats(0, 1, -1, 0.25)),
    }
    x = net.node(BINARY_DENSE, x, FLOAT32, (4,), tensors)
    y = net.node(SOFTMAX, x, FLOAT32, (4,))
    z = net.node(ARGMAX, x, INT64, ())
    net.metadata = [(b"labels", b'["a", "b", "c", "d"]'), (b"name", "prüfung".encode())]
    return net.file(y, z)


def lone_output() -> BnnFile:
    """`chain` with argmax as its only output, so that padding follows the output ids."""
    net_bytes = chain()
    graph = net_bytes.sections["graph"]
    graph[12:24] = struct.pack("<3I", 1, 6, 0)
    return net_bytes


def real() -> BnnFile:
    """float32 (4, 4, 2) -> max pool -> convolution to bits -> pool of bits -> mean -> scale and bias -> dense.

    Values: 0 input, 1 pooled (3, 3, 2), 2 conv bits (3, 3, 4), 3 pooled bits (2, 2, 4), 4 mean (4), 5 scaled, 6 dense.
    Tensors: 0 weight, 1 threshold, 2 flip, 3 flip of the pool, 4 scale, 5 bias, 6 weight, 7 bias.
    """
    net = Net()
    x = net.input(FLOAT32, (4, 4, 2))
    x = net.node(MAX_POOL2D, x, FLOAT32, (3, 3, 2), {}, (2, 2, 1, 1, 1, 1))
    tensors = {
        0: (FLOAT32, (4, 2, 2, 1), floats(*range(-8, 8))),
        1: (FLOAT32, (4,), floats(0, float("inf"), -1, float("-inf"))),
        2: (BITS, (4,), raw_bits([1, 0, 0, 1])),
    }
    x = net.node(CONV2D, x, BITS, (3, 3, 4), tensors, (2, 2, 1, 1, 1, 1, 1, 1, 0, 0, 2, 2))
    x = net.node(MAX_POOL2D, x, BITS, (2, 2, 4), {0: (BITS, (4,), raw_bits([1, 0, 1, 0]))}, (2, 2, 1, 1, 1, 1))
    x = net.node(GLOBAL_AVERAGE_POOL, x, FLOAT32, (4,))
    x = net.node(
        SCALE_BIAS, x, FLOAT32, (4,), {0: (FLOAT32, (4,), floats(1, 2, 3, 4)), 1: (FLOAT32, (4,), floats(0, 0, 1, 1))}
    )
    tensors = {0: (FLOAT32, (2, 4), floats(*range(8))), 4: (FLOAT32, (2,), floats(0.5, -1))}
    return net.file(net.node(DENSE, x, FLOAT32, (2,), tensors))


def bytes_conv() -> BnnFile:
    """uint8 (3, 3, 2) -> binary convolution, padded -> float32 (3, 3, 2). Tensors: 0 weight."""
    net = Net()
    x = net.input(UINT8, (3, 3, 2))
    tensors = {0: (BITS, (2, 2, 2, 2), bits(2, 2, 2, 2))}
    return net.file(net.node(BINARY_CONV2D, x, FLOAT32, (3, 3, 2), tensors, (2, 2, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0)))


def bytes_dense(inputs: int = 300) -> BnnFile:
    """uint8 (inputs) -> binary dense -> float32 (1). Tensors: 0 weight."""
    net = Net()
    x = net.input(UINT8, (inputs,))
    return net.file(net.node(BINARY_DENSE, x, FLOAT32, (1,), {0: (BITS, (1, inputs), bytes((inputs + 63) // 64 * 8))}))


def settled(*slots: int) -> BnnFile:
    """uint8 (3) -> binary dense with tensors in these of the slots 1 to 4 -> bits (2) -> scale and bias."""
    output = {
        1: (INT32, (2,), ints(4, 9)),
        2: (BITS, (2,), raw_bits([0, 1])),
        3: (FLOAT32, (2,), floats(1, 2)),
        4: (FLOAT32, (2,), floats(1, 2)),
    }
    net = Net()
    x = net.input(UINT8, (3,))
    x = net.node(BINARY_DENSE, x, BITS, (2,), {0: (BITS, (2, 3), bits(2, 3)), **{slot: output[slot] for slot in slots}})
    return net.file(net.node(SCALE_BIAS, x, FLOAT32, (2,), {0: output[3], 1: output[4]}))


def lone(operator: int, *shape: int) -> BnnFile:
    """One node, without tensors or attributes, from float32 of a shape to the same."""
    net = Net()
    return net.file(net.node(operator, net.input(FLOAT32, shape), FLOAT32, shape))
