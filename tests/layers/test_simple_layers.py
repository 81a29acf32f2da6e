"""The layers without weights: references against PyTorch or against values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnengine import (
    ArgMax,
    BatchNorm,
    Binarize,
    BitTensor,
    Flatten,
    GlobalAveragePool,
    Input,
    MaxPool2d,
    ModelError,
    ScaleBias,
    Sign,
    Softmax,
)

SPECIAL = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45], np.float32)


def test_sign_of_zeros_nan_and_infinities():
    np.testing.assert_array_equal(Sign().reference(SPECIAL), [1, 1, -1, 1, -1, 1, -1])


def test_binarize_both_ways_on_special_values():
    np.testing.assert_array_equal(Binarize(0.0).reference(SPECIAL), [1, 1, -1, 1, -1, 1, -1])
    np.testing.assert_array_equal(Binarize(0.0, True).reference(SPECIAL), [1, 1, -1, -1, 1, -1, 1])
    np.testing.assert_array_equal(Binarize(np.inf).reference(SPECIAL), [-1, -1, -1, 1, -1, -1, -1])


def test_binarize_by_channel():
    x = np.array([[[10, 10]], [[20, 20]]], np.uint8)
    np.testing.assert_array_equal(Binarize([10, 10], [False, True]).reference(x), [[[1, 1]], [[1, -1]]])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(1, 200), st.integers(0, 2**32))
def test_bits_come_back(rest, last, seed):
    values = np.random.default_rng(seed).choice([-1, 1], (*rest, last))
    packed = BitTensor.pack(values)
    np.testing.assert_array_equal(packed.unpack(), values)
    assert packed.words.shape == (*rest, -(-last // 64))
    assert BitTensor(packed.words, packed.shape) == packed
    for i in range(last):  # the contract, bit by bit
        bit = packed.words.reshape(-1, packed.words.shape[-1])[0, i // 64] >> np.uint64(i % 64) & np.uint64(1)
        assert bit == (values.reshape(-1, last)[0, i] == 1)


def test_bits_refuse_other_values_and_dirty_pads():
    with pytest.raises(ValueError, match="wanted only"):
        BitTensor.pack([1, 0])
    with pytest.raises(ValueError, match="past the last one"):
        BitTensor(np.array([8], np.uint64), (3,))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 9), st.integers(0, 2**32))
def test_max_pool_is_torchs(kernel, stride, channels, seed):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    pad = int(rng.integers(0, kernel // 2 + 1))  # torch allows no more than half
    x = rng.normal(size=(2, 7, 9, channels)).astype(np.float32)
    layer = MaxPool2d(kernel, stride, pad)
    expected = torch.nn.functional.max_pool2d(torch.from_numpy(x).permute(0, 3, 1, 2), kernel, stride, pad)
    np.testing.assert_array_equal(layer.reference(x), expected.permute(0, 2, 3, 1).numpy())
    bits = Sign().reference(x)
    np.testing.assert_array_equal(layer.reference(bits), Sign().reference(layer.reference(x)))
    flip = rng.random(channels) < 0.5
    flipped = MaxPool2d(kernel, stride, pad, flip=flip).reference(bits)
    np.testing.assert_array_equal(flipped, np.where(flip, -1, 1) * layer.reference(bits))


def test_batch_norm_is_torchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    gamma, beta, mean = rng.normal(size=(3, 5))
    variance, x = rng.random(5), rng.normal(size=(4, 3, 2, 5)).astype(np.float32)
    got = BatchNorm(gamma, beta, mean, variance, 1e-3).reference(x)
    tensors = [torch.from_numpy(a) for a in (mean, variance, gamma, beta)]
    expected = torch.nn.functional.batch_norm(
        torch.from_numpy(x.astype(np.float64)).permute(0, 3, 1, 2), *tensors, eps=1e-3
    )
    np.testing.assert_allclose(got, expected.permute(0, 2, 3, 1).numpy(), rtol=1e-6, atol=1e-6)


def test_global_average_pool():
    bits = np.array([1, 1, 1, -1], np.int8).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(GlobalAveragePool().reference(bits), [[0.5]])
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
    np.testing.assert_array_equal(GlobalAveragePool().reference(x), [[5, 6]])


def test_flatten_goes_by_rows_then_columns_then_channels():
    x = np.arange(12).reshape(1, 2, 3, 2).astype(np.uint8)
    np.testing.assert_array_equal(Flatten().reference(x), [range(12)])


def test_scale_bias():
    x = np.array([[-1, 1]], np.int8)
    np.testing.assert_array_equal(ScaleBias([2, 3], 0.5).reference(x), [[-1.5, 3.5]])


def test_softmax():
    y = Softmax().reference(np.array([[0, np.log(3)], [1000, 1000]], np.float32))
    np.testing.assert_allclose(y, [[0.25, 0.75], [0.5, 0.5]], rtol=1e-6)


def test_argmax_ties_and_nan():
    nan, inf = np.nan, np.inf
    x = np.array([[1, 3, 3], [nan, 1, 2], [nan, nan, nan], [nan, -inf, nan], [2, nan, 1]], np.float32)
    np.testing.assert_array_equal(ArgMax().reference(x), [1, 2, 0, 1, 0])


@pytest.mark.parametrize(
    ("make", "spec", "text"),
    [
        (lambda: Input((0, 3)), None, "shape: got"),
        (lambda: Input((3,), "float64"), None, "dtype: got float64"),
        (lambda: MaxPool2d(2, padding=2), ("bits", (4, 4, 1)), "padding"),
        (lambda: MaxPool2d(2, flip=[True]), ("float32", (4, 4, 1)), "flip"),
        (lambda: MaxPool2d(2), ("uint8", (4, 4, 1)), "input dtype"),
        (lambda: BatchNorm([1], [0], [0], [-1]), None, "variance"),
        (lambda: BatchNorm([1], [0, 0], [0], [1]), None, "beta"),
        (lambda: BatchNorm([1], [0], [0], [1]), ("float32", (2,)), "channels: got 2, wanted 1"),
        (lambda: Binarize([1, 2]), ("float32", (3,)), "threshold: got shape"),
        (lambda: Binarize(np.nan), None, "threshold"),
        (lambda: ScaleBias(np.inf), None, "scale"),
        (lambda: Softmax(), ("bits", (3,)), "input dtype: got bits"),
        (lambda: ArgMax(), ("uint8", (3,)), "input dtype"),
        (lambda: GlobalAveragePool(), ("bits", (3,)), "input shape"),
    ],
)
def test_what_cannot_be_is_refused(make, spec, text):
    with pytest.raises(ModelError, match=text):
        make().output_spec(spec)
