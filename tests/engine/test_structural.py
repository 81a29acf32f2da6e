"""Operators that move numbers, against their references, for bits whose channels do not fill words and for floats."""

import math

import numpy as np
import pytest
from everywhere import run_everywhere
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnengine import (
    BinaryConv2d,
    ChannelShuffle,
    Concat,
    Flatten,
    GlobalAveragePool,
    Graph,
    Pad,
    ReLU,
    Reshape,
    ScaleBias,
    Sign,
    Slice,
    TopK,
    Transpose,
    Upsample2d,
)

seeds = st.integers(0, 2**32)
CHANNELS = [1, 3, 31, 33, 63, 64, 65, 127, 128, 130, 192, 257]


def channel_count(rng):
    """1 to 257, often where words end."""
    return int(rng.choice([rng.integers(1, 258), rng.choice(CHANNELS)]))


def floats(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def leave(g, value, rng):
    """Bits out as floats, and as sums over their words, where a 1 past the last channel would count."""
    *pixels, channels = value.shape
    image = g(Reshape((math.prod(pixels), 1, channels)), value)
    return g(ScaleBias(), value), g(BinaryConv2d(rng.choice([-1, 1], (3, 1, 1, channels))), image)


def build(layers, shapes, bits, seed):
    """Inputs, perhaps as bits, through layers, and out as floats."""
    rng = np.random.default_rng(seed)
    g = Graph()
    values = [g.input(shape, name=f"x{i}") for i, shape in enumerate(shapes)]
    if bits:
        values = [g(Sign(), v) for v in values]
    for layer in layers:
        values = [g(layer, *values)]
    model = g.model(*(leave(g, values[0], rng) if bits else values))
    run_everywhere(model, *[floats(rng, 3, *shape) for shape in shapes])


@settings(max_examples=80, deadline=None)
@given(seeds, st.booleans())
def test_concat(seed, bits):
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 5))
    axis = int(rng.integers(0, rank))
    shape = [int(n) for n in rng.integers(1, 5, rank)]
    shape[-1] = channel_count(rng)
    shapes = []
    for _ in range(int(rng.integers(2, 9))):
        shape[axis] = channel_count(rng) if axis == rank - 1 else int(rng.integers(1, 4))
        shapes.append(tuple(shape))
    build([Concat(axis=axis if rng.random() < 0.5 else axis - rank)], shapes, bits, seed)


@pytest.mark.parametrize("bits", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("leaves", [False, True])
def test_concat_begins_a_pass(axis, bits, leaves):
    """What follows works on band after band, which may be all that there is of the concatenated value."""
    rng = np.random.default_rng(axis)
    shapes = [[50, 50, 65] if bits else [20, 20, 33] for _ in range(3)]
    for n, shape in enumerate(shapes):
        shape[axis] += n
    g = Graph()
    values = [g.input(tuple(shape), name=f"x{n}") for n, shape in enumerate(shapes)]
    joined = g(Concat(axis), *(g(Sign(), v) for v in values)) if bits else g(Concat(axis), *values)
    channels = joined.shape[-1]
    scaled = g(ScaleBias(floats(rng, channels), floats(rng, channels)), joined)
    scaled = g(ReLU(), scaled)
    model = g.model(*((scaled, g(GlobalAveragePool(), joined)) if leaves else (scaled,)))
    plan = run_everywhere(model, *[floats(rng, 3, *shape) for shape in shapes], exact=False, each=True)
    steps = plan.step_infos()
    head = next(number for number, info in enumerate(steps) if info["op"] == "concat")
    assert [info["pass_step"] for info in steps[head + 1 : head + 3]] == [head, head]


@settings(max_examples=80, deadline=None)
@given(seeds, st.booleans())
def test_slice(seed, bits):
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 5))
    shape = [int(n) for n in rng.integers(1, 6, rank)]
    shape[-1] = channel_count(rng)
    axis = int(rng.integers(0, rank))
    start = int(rng.integers(0, shape[axis]))
    stop = int(rng.integers(start + 1, shape[axis] + 1))
    build([Slice(start, None if stop == shape[axis] else stop, axis)], [tuple(shape)], bits, seed)


@settings(max_examples=80, deadline=None)
@given(seeds, st.booleans())
def test_transpose_and_reshape(seed, bits):
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 7))
    shape = [int(n) for n in rng.integers(1, 4, rank)]
    shape[int(rng.integers(0, rank))] = channel_count(rng)
    axes = tuple(int(a) for a in rng.permutation(rank))
    shuffled = [shape[a] for a in axes]
    cut = int(rng.integers(1, rank + 1))
    back = [*shuffled[: cut - 1], -1]
    build([Transpose(axes), Reshape(back)], [tuple(shape)], bits, seed)
    build([Reshape([-1, *shape[1:][::-1]]), Flatten()], [tuple(shape)], bits, seed)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 70), st.integers(1, 40), st.booleans())
def test_channel_shuffle(groups, each, bits):
    build([ChannelShuffle(groups)], [(3, 2, groups * each)], bits, groups)


@settings(max_examples=80, deadline=None)
@given(seeds, st.booleans())
def test_pad_and_upsample(seed, bits):
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 5)), int(rng.integers(1, 5)), channel_count(rng))
    sides = rng.integers(0, 4, (2, 2)).tolist()
    value = float(rng.choice([-1, 1] if bits else [0, 2.5, -1e30]))
    build([Pad(sides, value), Upsample2d(rng.integers(1, 4, 2).tolist())], [shape], bits, seed)


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_top_k(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    k = int(rng.integers(1, n + 1))
    g = Graph()
    model = g.model(*g(TopK(k), g.input((2, n), name="x")))
    x = rng.integers(-4, 5, (3, 2, n)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = rng.choice([np.nan, np.inf, -np.inf])
    run_everywhere(model, x)
