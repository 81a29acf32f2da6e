"""Sound files of every operator with fields changed at random and signed again: refused, or run to the end.

Nothing else may happen: no other exception, no crash (CI runs this under AddressSanitizer too). tests/c/mutate_model.c
does the same in C, faster; here every operator takes part, in graphs whose values are shared, in place and in bands.
"""

import numpy as np
import pytest
from bnnfile import BnnFile

from bnnengine import (
    GELU,
    Add,
    ArgMax,
    AveragePool2d,
    BinaryConv2d,
    BinaryDense,
    BinaryMatMul,
    BnnError,
    ChannelShuffle,
    Clip,
    Concat,
    Conv2d,
    Dense,
    Flatten,
    GlobalAveragePool,
    GlobalMaxPool,
    Graph,
    LayerNorm,
    MaxPool2d,
    Multiply,
    Pad,
    PReLU,
    Reshape,
    ScaleBias,
    Sign,
    Slice,
    Softmax,
    Subtract,
    TopK,
    Transpose,
    Upsample2d,
    _core,
)
from bnnengine.layers import OPERATORS

MOST_BYTES, MOST_MACS = 1 << 22, 1 << 22  # what a mutated file may cost


def everything() -> list[bytes]:
    """Networks that have all operators between them."""
    rng = np.random.default_rng(0)

    def signs(*shape):
        return rng.choice([-1, 1], shape)

    g = Graph()
    x, gate = g.input((5, 4, 6), name="x"), g.input((6,), name="gate")
    bits = g(Sign(), x)
    y = g(BinaryConv2d(signs(6, 3, 3, 6), padding=1, scale=0.5), bits)
    y = g(PReLU(rng.normal(size=6), 0.5, -0.5), g(Add(), y, x))
    z = g(Multiply(), g(GELU(), y), gate)
    z = g(Subtract(), z, g(Conv2d(rng.normal(size=(1, 1, 1, 6))), y))
    wide = g(Concat(), g(Sign(), z), bits, g(Slice(1, 4), bits))
    wide = g(ChannelShuffle(3), wide)
    small = g(MaxPool2d(2), g(BinaryConv2d(signs(4, 2, 2, 15), groups=1, zero_one=True), wide))
    first = g.model(g(GlobalAveragePool(), small), g(GlobalMaxPool(), z), *g(TopK(2), y))

    g = Graph()
    x = g.input((6, 6, 4), "uint8")
    y = g(BinaryConv2d(signs(8, 3, 3, 4), strides=2, padding=1), x)
    y = g(Conv2d(rng.normal(size=(8, 3, 3, 1)), padding=1, groups=8), g(AveragePool2d(3, 1, 1), y))
    y = g(Upsample2d(2), g(Pad(((1, 0), (0, 1)), 0.5), g(Clip(-1, 1), y)))
    t = g(Transpose((1, 0)), g(Reshape((-1, 8)), y))
    t = g(Sign(), g(LayerNorm(np.ones(64), np.zeros(64)), t))
    t = g(ScaleBias(0.5, 1), g(BinaryMatMul(0.25, True), t, t))
    v = g(Dense(rng.integers(-9, 9, (7, 64)).astype(np.int8), scale=0.1), g(Flatten(), t))
    v = g(BinaryDense(signs(5, 7)), g(Sign(), v))
    second = g.model(g(Softmax(), v), g(ArgMax(), v))
    return [first.to_bytes(), second.to_bytes()]


FILES = everything()


def test_all_operators_take_part():
    ops = {node["op"] for data in FILES for node in _core.read_model(data)["nodes"]}
    assert ops == {kind.op for kind in OPERATORS.values()}


def mutate(rng, data):
    """One to three fields of the records, or a byte of the tensors, changed."""
    file = BnnFile.parse(data)
    records = list(file.records())
    for _ in range(int(rng.integers(1, 4))):
        if rng.random() < 0.1:
            file.sections["data"][int(rng.integers(len(file.sections["data"])))] ^= 1 << int(rng.integers(8))
            continue
        record = records[int(rng.integers(len(records)))]
        field = list(record.fields)[int(rng.integers(len(record.fields)))]
        bits = 8 * {"B": 1, "H": 2, "I": 4, "Q": 8}[record.fields[field][1][-1]]
        old = record[field]
        odd = [0, 1, 2, old + 1, old - 1, old * 2, old // 2, 2**bits - 1, 2**31, int(rng.integers(2**16))]
        record[field] = int(rng.choice(np.array(odd, object))) % 2**bits
    return file.to_bytes()


def run(data):
    """Loads, plans and runs on every instruction set, three threads; the number of outputs, or the kind of refusal."""
    for isa in _core.isas():
        plan = _core.Plan(data, isa, 3, MOST_BYTES, MOST_MACS, 1, fast_math=True)
        kinds = {"uint8": np.uint8, "float32": np.float32, "int64": np.int64}
        ins = [np.ones((2, *shape), kinds[dtype]) for _, dtype, shape in plan.inputs]
        outs = [np.zeros((2, *shape), kinds[dtype]) for _, dtype, shape in plan.outputs]
        plan.run(ins, outs, 2)


@pytest.mark.parametrize("seed", range(8))
def test_a_mutated_file_is_refused_or_runs(seed):
    rng = np.random.default_rng(seed)
    refused = 0
    for _ in range(500):
        try:
            run(mutate(rng, FILES[int(rng.integers(len(FILES)))]))
        except BnnError:
            refused += 1
    assert 250 < refused < 500
