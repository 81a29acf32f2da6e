"""Convolution and dense references against PyTorch, which computes them another way, and against sums done by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnengine import BinaryConv2d, BinaryDense, BitTensor, Conv2d, Dense, ModelError, Threshold

torch = pytest.importorskip("torch")


@st.composite
def convolutions(draw):
    """(input kind, images, weights, attributes) that fit together."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    channels, outputs = draw(st.integers(1, 130)) if groups == 1 else draw(st.integers(1, 9)), draw(st.integers(1, 9))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    padding = tuple(draw(st.tuples(st.integers(0, e - 1), st.integers(0, e - 1))) for e in extent)
    size = [max(1, e - sum(p)) + draw(st.integers(0, 4)) for e, p in zip(extent, padding, strict=True)]
    kind = draw(st.sampled_from(["bits", "uint8", "float32"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(1, 2)), *size, channels * groups)
    x = {
        "bits": lambda: rng.choice([-1, 1], shape).astype(np.int8),
        "uint8": lambda: rng.integers(0, 256, shape).astype(np.uint8),
        "float32": lambda: rng.normal(size=shape).astype(np.float32),
    }[kind]()
    weight = rng.choice([-1, 1], (outputs * groups, *kernel, channels))
    attributes = {
        "strides": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "dilation": dilation,
        "padding": padding,
        "pad_value": 0 if kind == "uint8" else draw(st.sampled_from([0, 1, -1])),
        "groups": groups,
    }
    return kind, x, weight, attributes


def torch_conv(x, weight, attributes):
    """The same through torch, in float64: padded by hand, channels first, and back."""
    (top, bottom), (left, right) = attributes["padding"]
    image = torch.from_numpy(x.astype(np.float64)).permute(0, 3, 1, 2)
    image = torch.nn.functional.pad(image, (left, right, top, bottom), value=float(attributes["pad_value"]))
    y = torch.nn.functional.conv2d(
        image, torch.from_numpy(weight.astype(np.float64)).permute(0, 3, 1, 2),
        stride=attributes["strides"], dilation=attributes["dilation"], groups=attributes["groups"],
    )  # fmt: skip
    return y.permute(0, 2, 3, 1).numpy()


@settings(max_examples=150, deadline=None)
@given(convolutions())
def test_binary_conv2d_is_torchs(case):
    kind, x, weight, attributes = case
    layer = BinaryConv2d(weight, **attributes)
    expected = torch_conv(x, weight, attributes)
    assert layer.output_spec((kind, x.shape[1:])) == ("float32", expected.shape[1:])
    got = layer.reference(x)
    assert got.dtype == np.float32
    if kind == "float32":
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    else:
        np.testing.assert_array_equal(got, expected)


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_conv2d_is_torchs(case):
    _, x, weight, attributes = case
    weight = (weight * np.linspace(0.1, 2, weight.size).reshape(weight.shape)).astype(np.float32)
    layer = Conv2d(weight, **attributes, scale=0.5, bias=np.arange(weight.shape[0]))
    expected = torch_conv(x, weight, attributes) * 0.5 + np.arange(weight.shape[0])
    np.testing.assert_allclose(layer.reference(x), expected, rtol=1e-5, atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 40), st.integers(0, 2**32))
def test_dense_is_a_matrix_product(inputs, outputs, seed):
    rng = np.random.default_rng(seed)
    weight, x = rng.choice([-1, 1], (outputs, inputs)), rng.choice([-1, 1], (3, inputs)).astype(np.int8)
    expected = torch.nn.functional.linear(torch.from_numpy(x.astype(float)), torch.from_numpy(weight.astype(float)))
    np.testing.assert_array_equal(BinaryDense(weight).reference(x), expected.numpy())
    np.testing.assert_allclose(Dense(weight * 0.5).reference(x), expected.numpy() * 0.5, rtol=1e-5, atol=1e-5)


def test_a_sum_by_hand():
    layer = BinaryDense([[1, -1, 1], [1, 1, 1]])
    np.testing.assert_array_equal(layer.reference(np.array([[1, -1, -1]], np.int8)), [[1, -1]])
    np.testing.assert_array_equal(layer.reference(np.array([[10, 20, 30]], np.uint8)), [[20, 60]])


def test_padding_of_each_value_by_hand():
    # a 2x2 image of +1 under a 3x3 kernel of +1: each output sees 4 pixels and 5 padded taps
    x, weight = np.ones((1, 2, 2, 1), np.int8), np.ones((1, 3, 3, 1))
    for pad_value, expected in [(0, 4), (1, 9), (-1, -1)]:
        y = BinaryConv2d(weight, padding=1, pad_value=pad_value).reference(x)
        np.testing.assert_array_equal(y, np.full((1, 2, 2, 1), expected, np.float32))


def test_threshold_both_ways_and_at_the_tie():
    acc = np.array([[-1, 0, 1]])
    np.testing.assert_array_equal(Threshold(np.array([0, 0, 0])).apply(acc), [[-1, 1, 1]])
    np.testing.assert_array_equal(Threshold(np.array([0, 0, 0]), True).apply(acc), [[1, 1, -1]])
    nan = np.full((1, 2), np.nan, np.float32)
    both = Threshold(np.array([-np.inf, np.inf], np.float32), np.array([False, True]))
    np.testing.assert_array_equal(both.apply(nan), [[-1, -1]])


@pytest.mark.parametrize(
    ("make", "spec", "text"),
    [
        (lambda: BinaryConv2d(np.zeros((1, 3, 3, 1))), None, "weight: values: got .*0.*, wanted only"),
        (lambda: BinaryConv2d(np.ones((3, 3, 1))), None, "weight: got shape"),
        (lambda: BinaryConv2d(np.ones((4, 3, 3, 1)), groups=3), None, "groups: got 3"),
        (lambda: BinaryConv2d(np.ones((4, 3, 3, 1)), strides=0), None, "strides: got 0"),
        (lambda: BinaryConv2d(np.ones((4, 3, 3, 1)), pad_value=2), None, "pad_value: got 2"),
        (lambda: BinaryConv2d(np.ones((4, 3, 3, 1)), threshold=Threshold(np.zeros(3, int))), None, "threshold: got 3"),
        (lambda: BinaryDense(np.ones((4, 3)), threshold=Threshold(np.zeros(4, int)), scale=2), None, "excludes scale"),
        (lambda: BinaryDense(np.ones((4, 3)), bias=np.zeros(3)), None, "bias: got shape"),
        (lambda: Dense(np.full((4, 3), np.nan)), None, "weight: got values that are not finite"),
        (lambda: BinaryConv2d(np.ones((4, 3, 3, 2))), ("bits", (8, 8, 3)), "input channels: got 3, wanted 2"),
        (lambda: BinaryConv2d(np.ones((4, 3, 3, 2))), ("bits", (2, 8, 2)), "kernel: got"),
        (lambda: BinaryConv2d(np.ones((4, 3, 3, 2)), padding=3), ("bits", (8, 8, 2)), "padding: got"),
        (lambda: BinaryConv2d(np.ones((4, 3, 3, 2)), pad_value=1), ("uint8", (8, 8, 2)), "pad_value: got 1, wanted 0"),
        (lambda: BinaryDense(np.ones((4, 3))), ("bits", (4, 4, 3)), r"put Flatten\(\) before it"),
        (lambda: BinaryDense(np.ones((4, 3)), threshold=Threshold(np.zeros(4))), ("bits", (3,)), "dtype: got float32"),
        (lambda: BinaryDense(BitTensor.pack(np.ones((1, 9000000)))), ("uint8", (9000000,)), "fit in 32 bits"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(make, spec, text):
    with pytest.raises(ModelError, match=text):
        make().output_spec(spec)
