"""Concatenations that nobody needs are left out, and every bit of the network stays."""

import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engine"))
from everywhere import run_everywhere

from bnnengine import (
    AveragePool2d,
    BatchNorm,
    BinaryConv2d,
    Clip,
    Concat,
    Conv2d,
    GlobalAveragePool,
    Graph,
    MaxPool2d,
    PReLU,
    ReLU,
    ScaleBias,
    Sign,
    Slice,
    concats,
    fuse,
)


def float_joins(model):
    """How many concatenations of floats an optimized model has."""
    model = model.optimize()
    return sum(isinstance(n.layer, Concat) and model.values[n.outputs[0]].dtype == "float32" for n in model.nodes)


def whole(rng, *shape):
    return rng.integers(-4, 5, shape).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_dense_blocks_keep_every_bit(seed):
    """Odd channel counts, and more parts than one join takes."""
    rng = np.random.default_rng(seed)
    g = Graph()
    x = g.input((6, 5, int(rng.integers(1, 70))))
    image = x.shape
    for _ in range(int(rng.integers(1, 10))):
        channels, grown = x.shape[2], int(rng.choice([1, 3, 32, 64]))
        norm = BatchNorm(rng.normal(size=channels), rng.normal(size=channels), np.zeros(channels), np.ones(channels))
        y = g(Sign(), g(norm, x))
        y = g(BinaryConv2d(rng.choice([-1, 1], (grown, 3, 3, channels)), padding=1), y)
        x = g(Concat(), x, y)
        if rng.random() < 0.3:  # MeliusNet adds to the new channels alone
            old, new = g(Slice(0, channels), x), g(Slice(channels), x)
            weight = np.zeros((grown, 1, 1, channels), np.float32)  # one of each row, so that sums stay exact
            weight[np.arange(grown), 0, 0, rng.integers(channels, size=grown)] = rng.choice([-1, 1], grown)
            x = g(Concat(), old, new + g(Conv2d(weight), old))
    end = [ScaleBias(whole(rng, x.shape[2]), 1.0), PReLU(whole(rng, x.shape[2])), Clip(whole(rng, x.shape[2]) - 9, 9)]
    for layer in rng.permutation(np.array(end, object))[: int(rng.integers(4))]:
        x = g(layer, x)
    if rng.random() < 0.7:
        x = g([MaxPool2d(2), AveragePool2d(2)][int(rng.integers(2))], x)
    model = g.model(g(Conv2d(whole(rng, 3, 1, 1, x.shape[2])), x))
    with mock.patch.object(fuse, "separate", lambda m: m):
        joined = model.optimize()
    x = whole(rng, 2, *image)
    np.testing.assert_array_equal(model.optimize().reference(x), joined.reference(x))
    run_everywhere(model, x, exact=False)


def dense_block(layers, pooled=True):
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input((8, 8, 16))
    for _ in range(layers):
        y = g(BinaryConv2d(rng.choice([-1, 1], (32, 3, 3, x.shape[2])), padding=1), g(Sign(), x))
        x = g(Concat(), x, y)
    x = g(ReLU(), x)
    return g.model(g(GlobalAveragePool(), g(MaxPool2d(2), x) if pooled else x))


@pytest.mark.parametrize(("layers", "joins"), [(1, 1), (7, 1), (8, 2), (14, 2)])
def test_a_block_joins_its_floats_once_behind_the_pool(layers, joins):
    model = dense_block(layers)
    assert float_joins(model) == joins
    fused = model.optimize()
    last = [n for n in fused.nodes if isinstance(n.layer, Concat)][-1]
    assert fused.values[last.outputs[0]].shape[:2] == (4, 4)


def test_what_leaves_the_network_stays_joined():
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input((4, 4, 8))
    joined = g(Concat(), x, g(ReLU(), x), name="joined")
    sign = g(BinaryConv2d(rng.choice([-1, 1], (3, 1, 1, 16))), g(Sign(), joined))
    assert "joined" in {n.name for n in g.model(sign, joined).optimize().nodes}
    assert float_joins(g.model(sign)) == 0


def test_other_readers_keep_it(monkeypatch):
    """A convolution of floats reads whole pixels; a slice across two parts is no part."""
    rng = np.random.default_rng(0)
    for layer in (Conv2d(whole(rng, 3, 1, 1, 16)), Slice(4, 12)):
        g = Graph()
        x = g.input((4, 4, 8))
        model = g.model(g(layer, g(Concat(), x, g(ReLU(), x))))
        assert float_joins(model) == 1
    monkeypatch.setattr(concats, "MOST_PARTS", 2)
    assert float_joins(dense_block(3)) == 3
