"""Each rewriting rule alone, and whole networks before and after: the same bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnengine import (
    BatchNorm,
    Binarize,
    BinaryConv2d,
    BinaryDense,
    Conv2d,
    Dense,
    Flatten,
    Input,
    MaxPool2d,
    Model,
    Node,
    ScaleBias,
    Sequential,
    Sign,
    TensorSpec,
    fuse,
)


def signs(rng, *shape):
    return rng.choice([-1, 1], shape)


def norm(rng, channels, spread=5.0):
    """Gammas of both signs, and a zero."""
    gamma = rng.normal(size=channels)
    gamma[0] = 0.0
    return BatchNorm(
        gamma, rng.normal(size=channels), rng.normal(size=channels) * spread, rng.random(channels) * spread + 0.01
    )


def kinds(model):
    return [type(node.layer).__name__ for node in model.nodes]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_threshold_is_the_decision_at_every_integer(dtype, seed):
    rng = np.random.default_rng(seed)
    inputs, channels = int(rng.integers(1, 30)), int(rng.integers(1, 20))
    layers = [Input((inputs,), dtype)] + ([Sign()] if dtype == "float32" else [])
    layers += [BinaryDense(signs(rng, channels, inputs)), norm(rng, channels), Sign()]
    model = Sequential(layers)
    fused = model.optimize()
    assert kinds(fused)[-1] == "BinaryDense"
    layer, batch_norm = fused.nodes[-1].layer, layers[-2]
    most = inputs * (255 if dtype == "uint8" else 1)
    acc = np.arange(-most, most + 1)[:, None] * np.ones(channels, np.int64)
    np.testing.assert_array_equal(layer.threshold.apply(acc) > 0, batch_norm.evaluate(acc) >= 0)


def test_zero_gamma_is_a_constant():
    weight = np.ones((2, 3))
    batch_norm = BatchNorm([0, 0], [0.0, -1e-9], [5, 5], [1, 1])
    layer = Sequential([Input((3,), "uint8"), BinaryDense(weight), batch_norm, Sign()]).optimize().nodes[0].layer
    np.testing.assert_array_equal(layer.threshold.apply(np.array([[-(2**30)] * 2, [0, 0], [2**30] * 2])), [[1, -1]] * 3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.booleans(), st.booleans())
def test_pool_between_sum_and_sign(seed, norm_first, scaled):
    rng = np.random.default_rng(seed)
    channels, outputs = int(rng.integers(1, 6)), int(rng.integers(1, 9))
    conv = BinaryConv2d(
        signs(rng, outputs, 3, 3, channels), padding=1, pad_value=int(rng.integers(-1, 2)),
        scale=rng.normal(size=outputs) if scaled else None,
    )  # fmt: skip
    middle = [norm(rng, outputs), MaxPool2d(2)] if norm_first else [MaxPool2d(3, 2, 1), norm(rng, outputs)]
    model = Sequential([Input((6, 6, channels)), Sign(), conv, *middle, Sign(), ScaleBias(2.0, 1.0)])
    fused = model.optimize()
    assert kinds(fused) == ["Binarize", "BinaryConv2d", "MaxPool2d", "ScaleBias"]
    assert fused.nodes[1].layer.threshold is not None
    x = rng.normal(size=(3, 6, 6, channels)).astype(np.float32)
    np.testing.assert_array_equal(fused.reference(x), model.reference(x))


def test_pool_of_float_sums_stays_in_front_of_the_sign():
    rng = np.random.default_rng(0)
    model = Sequential([Input((6, 6, 2)), Conv2d(rng.normal(size=(4, 3, 3, 2))), MaxPool2d(2), Sign(), ScaleBias()])
    assert kinds(model.optimize()) == ["Conv2d", "MaxPool2d", "Binarize", "ScaleBias"]


def test_affine_goes_into_the_sum():
    rng = np.random.default_rng(0)
    model = Sequential([Input((8,)), Dense(rng.normal(size=(4, 8))), norm(rng, 4), ScaleBias(2.0, -1.0)])
    fused = model.optimize()
    assert kinds(fused) == ["Dense"]
    x = rng.normal(size=(5, 8)).astype(np.float32)
    np.testing.assert_allclose(fused.reference(x), model.reference(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_affine_and_sign_of_an_input_is_one_threshold(dtype, seed):
    rng = np.random.default_rng(seed)
    model = Sequential([Input((5,), dtype), norm(rng, 5, 100.0), Sign(), ScaleBias()])
    fused = model.optimize()
    assert kinds(fused) == ["Binarize", "ScaleBias"]
    x = np.arange(256)[:, None] * np.ones(5)
    if dtype == "float32":
        # the threshold's own neighbourhood, where it has to be right
        t = fused.nodes[0].layer.threshold
        t = np.where(np.isfinite(t), t, 0)
        x = np.stack([t, np.nextafter(t, np.float32(np.inf)), np.nextafter(t, np.float32(-np.inf)), -t, t * 3])
    x = x.astype(dtype)
    expected = np.where(model.nodes[0].layer.evaluate(x) >= 0, 1, -1)
    np.testing.assert_array_equal(fused.reference(x), expected)


def test_signs_and_flattens_that_do_nothing_go():
    rng = np.random.default_rng(0)
    dense = BinaryDense(signs(rng, 4, 8))
    model = Sequential([Input((8,)), Flatten(), Sign(), Sign(), Flatten(), dense])
    assert kinds(model.optimize()) == ["Binarize", "BinaryDense"]


def test_batch_norm_alone_is_scale_and_bias():
    rng = np.random.default_rng(0)
    model = Sequential([Input((8,)), norm(rng, 8)])
    assert kinds(model.optimize()) == ["ScaleBias"]


def test_binarize_after_a_sum_is_its_threshold():
    rng = np.random.default_rng(0)
    model = Sequential(
        [Input((8,), "uint8"), BinaryDense(signs(rng, 4, 8)), Binarize(37.5, [False, True, False, True]), ScaleBias()]
    )
    fused = model.optimize()
    assert kinds(fused) == ["BinaryDense", "ScaleBias"]
    np.testing.assert_array_equal(fused.nodes[0].layer.threshold.value, [38, 37, 38, 37])
    x = rng.integers(0, 256, (50, 8)).astype(np.uint8)
    np.testing.assert_array_equal(fused.reference(x), model.reference(x))


def test_a_value_that_others_read_is_not_folded_away():
    rng = np.random.default_rng(0)
    nodes = (
        Node("sum", BinaryDense(signs(rng, 4, 8)), ("x",), ("acc",)),
        Node("sign", Sign(), ("acc",), ("bits",)),
        Node("last", BinaryDense(signs(rng, 3, 4)), ("bits",), ("y",)),
    )
    inputs = (TensorSpec("x", "uint8", (8,)),)
    alone = Model(inputs, nodes, ("y",)).optimize()
    read = Model(inputs, nodes, ("y", "acc")).optimize()
    assert kinds(alone) == ["BinaryDense", "BinaryDense"]
    assert kinds(read) == ["BinaryDense", "Binarize", "BinaryDense"]
    x = rng.integers(0, 256, (50, 8)).astype(np.uint8)
    np.testing.assert_array_equal(read.reference(x)[0], alone.reference(x))


def test_every_rule_is_listed_and_says_why():
    assert len(set(fuse.RULES)) == len(fuse.RULES)
    assert all(rule.__doc__ for rule in fuse.RULES)
