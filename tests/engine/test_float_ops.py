"""Float operators on windows and vectors, and sums of bits that count as 0 and 1, against the layers' NumPy references.

On every instruction set, on one thread and with every step shared by three, alone and with steps in their pass.
"""

import numpy as np
import pytest
from everywhere import run_everywhere
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnengine import (
    AveragePool2d,
    BinaryConv2d,
    BinaryDense,
    BinaryMatMul,
    BlurPool2d,
    Conv2d,
    Dense,
    Engine,
    GlobalAveragePool,
    GlobalMaxPool,
    Graph,
    LayerNorm,
    MaxPool2d,
    PReLU,
    ScaleBias,
    Sign,
    Threshold,
    _core,
)

seeds = st.integers(0, 2**32)


def network(layer, *shapes, bits=False, follow=None):
    """The layer on inputs of these shapes, through Sign where bits are wanted; `follow` is a layer behind it."""
    g = Graph()
    values = [g.input(shape, name=f"input{i}") for i, shape in enumerate(shapes)]
    y = g(layer, *(g(Sign(), v) if bits else v for v in values))
    y = g(ScaleBias(), y) if y.dtype == "bits" else y
    return g.model(g(follow, y) if follow else y)


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def random_window(rng, dilated=True):
    """Kernel, image size, and the other attributes of a window."""
    kernel = rng.integers(1, 6, 2)
    dilation = rng.integers(1, 3, 2) if dilated else np.ones(2, int)
    extent = dilation * (kernel - 1) + 1
    padding = [tuple(int(n) for n in rng.integers(0, e, 2)) for e in extent]
    size = [max(1, int(e) - sum(p)) + int(rng.integers(0, 12)) for e, p in zip(extent, padding, strict=True)]
    attributes = {"strides": tuple(int(n) for n in rng.integers(1, 4, 2)), "padding": tuple(padding)}
    if dilated:
        attributes["dilation"] = tuple(int(n) for n in dilation)
    return tuple(int(n) for n in kernel), size, attributes


def random_follow(rng, channels):
    return PReLU(normal(rng, channels)) if rng.random() < 0.5 else None


@settings(max_examples=100, deadline=None)
@given(seeds, st.sampled_from(["float32", "int8", "signs"]))
def test_depthwise_conv2d(seed, kind):
    rng = np.random.default_rng(seed)
    kernel, size, attributes = random_window(rng)
    channels = int(rng.choice([rng.integers(2, 150), 2, 16, 32, 64]))
    shape = (channels, *kernel, 1)
    output = {name: normal(rng, channels) for name in ("scale", "bias") if rng.random() < 0.5}
    attributes |= {"groups": channels, "pad_value": int(rng.integers(-1, 2))}
    if kind == "signs":
        conv = BinaryConv2d(rng.choice([-1, 1], shape), **attributes, **output)
    else:
        weight = rng.integers(-128, 128, shape).astype(np.int8) if kind == "int8" else normal(rng, *shape)
        conv = Conv2d(weight, **attributes, **output)
    x = normal(rng, int(rng.integers(1, 4)), *size, channels)
    model = network(conv, x.shape[1:], follow=random_follow(rng, channels))
    run_everywhere(model, x, exact=False)
    assert _core.Plan(model.to_bytes(), "ref", 1, 0, 0).step_infos()[0]["kernel"] == "fdepth ref"


@settings(max_examples=60, deadline=None)
@given(seeds, st.sampled_from(["float32", "int8", "signs"]))
def test_conv2d_by_minimal_filtering(seed, kind):
    """fast_math: half the products, within float32's rounding; without it, the direct sums."""
    rng = np.random.default_rng(seed)
    kernel_w, stride = [(3, 1), (4, 1), (5, 2), (7, 2), (8, 2), (11, 4)][int(rng.integers(6))]
    channels, kernel_h = int(rng.integers(1, 12)), int(rng.integers(1, 6))
    channels = max(channels, -(-24 // (kernel_h * stride)))  # shorter sums are made directly
    outputs, padding = (
        int(rng.choice([rng.integers(1, 70), 16, 64])),
        tuple(int(n) for n in rng.integers(0, kernel_w, 2)),
    )
    size = kernel_h + int(rng.integers(0, 6)), stride * int(rng.integers(16, 70)) + kernel_w
    output = {name: normal(rng, outputs) for name in ("scale", "bias") if rng.random() < 0.5}
    attributes = {"strides": (int(rng.integers(1, 3)), stride), "padding": ((0, kernel_h - 1), padding)}
    attributes |= {"pad_value": int(rng.integers(-1, 2))}
    shape = (outputs, kernel_h, kernel_w, channels)
    if kind == "signs":
        conv = BinaryConv2d(rng.choice([-1, 1], shape), **attributes, **output)
    else:
        weight = rng.integers(-128, 128, shape).astype(np.int8) if kind == "int8" else normal(rng, *shape)
        conv = Conv2d(weight, **attributes, **output)
    x = normal(rng, int(rng.integers(1, 3)), *size, channels)
    model = network(conv, x.shape[1:], follow=random_follow(rng, outputs))
    plan = run_everywhere(model, x, exact=False, fast_math=True)
    assert plan.step_infos()[0]["kernel"].startswith("winograd")
    assert _core.Plan(model.to_bytes(), None, 1, 0, 0).step_infos()[0]["kernel"].startswith("fgemm")


def test_minimal_filtering_to_bits_compares_the_same_sums(isa):
    rng = np.random.default_rng(0)
    weight, level, flip = normal(rng, 70, 7, 7, 3), normal(rng, 70), rng.random(70) < 0.5
    x = normal(rng, 2, 21, 60, 3)
    sums = network(Conv2d(weight, strides=2, padding=3), x.shape[1:])
    bits = network(Conv2d(weight, strides=2, padding=3, threshold=Threshold(level, flip)), x.shape[1:])
    y, z = (Engine(model.to_bytes(), isa=isa, fast_math=True).predict(x) for model in (sums, bits))
    np.testing.assert_array_equal(z, np.where(np.where(flip, y <= level, y >= level), 1.0, -1.0))


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_depthwise_conv2d_to_bits(seed):
    """Whole numbers sum exactly in floats, so that ties must be decided alike."""
    rng = np.random.default_rng(seed)
    kernel, size, attributes = random_window(rng)
    channels = int(rng.integers(2, 150))
    weight = rng.integers(-2, 3, (channels, *kernel, 1)).astype(np.float32)
    threshold = Threshold(rng.integers(-9, 10, channels).astype(np.float32), rng.random(channels) < 0.5)
    x = rng.integers(-3, 4, (2, *size, channels)).astype(np.float32)
    run_everywhere(network(Conv2d(weight, **attributes, groups=channels, threshold=threshold), x.shape[1:]), x)


@pytest.mark.parametrize("taps", [(1, 1), (1, 2, 1), (1, 4, 6, 4, 1)])
def test_blur_pool2d(taps):
    x = normal(np.random.default_rng(0), 2, 13, 12, 20)
    run_everywhere(network(BlurPool2d(taps, 2, len(taps) // 2), x.shape[1:]), x, exact=False)


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_int8_weights(seed):
    rng = np.random.default_rng(seed)
    kernel, size, attributes = random_window(rng)
    groups = int(rng.choice([1, 2]))
    channels, outputs = groups * int(rng.integers(1, 20)), groups * int(rng.integers(1, 40))
    weight = rng.integers(-128, 128, (outputs, *kernel, channels // groups)).astype(np.int8)
    x, bits = normal(rng, 2, *size, channels), bool(rng.integers(0, 2))
    scale = normal(rng, outputs)
    run_everywhere(
        network(Conv2d(weight, **attributes, groups=groups, scale=scale), x.shape[1:], bits=bits), x, exact=False
    )
    x = normal(rng, 2, channels)
    weight = rng.integers(-128, 128, (outputs, channels)).astype(np.int8)
    run_everywhere(network(Dense(weight, scale=scale), x.shape[1:], bits=bits), x, exact=False)


@settings(max_examples=100, deadline=None)
@given(seeds, st.booleans())
def test_sums_of_zero_and_one(seed, to_bits):
    rng = np.random.default_rng(seed)
    kernel, size, attributes = random_window(rng)
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    channels, outputs = int(rng.choice([rng.integers(1, 131), 64, 200])), groups * int(rng.integers(1, 90))
    depth = channels * kernel[0] * kernel[1]
    output = {"scale": normal(rng, outputs), "bias": normal(rng, outputs)}
    if to_bits:
        value = rng.integers(-int(depth**0.5) - 1, int(depth**0.5) + 2, outputs)
        value[rng.random(outputs) < 0.1] = rng.choice([-(2**31), 2**31 - 1])
        output = {"threshold": Threshold(value, rng.random(outputs) < 0.5)}
    attributes |= {"groups": groups, "pad_value": int(rng.integers(0, 2)), "zero_one": True}
    conv = BinaryConv2d(rng.choice([-1, 1], (outputs, *kernel, channels)), **attributes, **output)
    x = normal(rng, int(rng.integers(1, 4)), *size, channels * groups)
    run_everywhere(network(conv, x.shape[1:], bits=True), x)
    dense = BinaryDense(rng.choice([-1, 1], (outputs, channels)), zero_one=True, **output)
    for batch in (1, 5):
        x = normal(rng, batch, channels)
        run_everywhere(network(dense, x.shape[1:], bits=True), x)


@pytest.mark.parametrize("inputs", [16383, 16384, 40000])
def test_long_sums_of_zero_and_one(inputs):
    rng = np.random.default_rng(inputs)
    for weight in (np.ones((70, inputs)), rng.choice([-1, 1], (70, inputs))):
        dense = BinaryDense(weight, zero_one=True, scale=normal(rng, 70))
        run_everywhere(network(dense, (inputs,), bits=True), np.ones((3, inputs), np.float32))


@settings(max_examples=100, deadline=None)
@given(seeds, st.sampled_from(["maximum", "mean", "mean of what is there"]))
def test_pools(seed, kind):
    rng = np.random.default_rng(seed)
    kernel, size, attributes = random_window(rng, dilated=False)
    x = normal(rng, int(rng.integers(1, 4)), *size, int(rng.choice([rng.integers(1, 150), 64])))
    if kind == "maximum":
        pool = MaxPool2d(kernel, **attributes)
        x.flat[:: max(1, x.size // 9)] = rng.choice([np.nan, np.inf, -np.inf, -0.0])
    else:
        pool = AveragePool2d(kernel, **attributes, count_include_pad=kind == "mean")
    model = network(pool, x.shape[1:], follow=random_follow(rng, x.shape[-1]))
    run_everywhere(model, x, exact=kind == "maximum")


@settings(max_examples=60, deadline=None)
@given(seeds, st.sampled_from(["maximum", "mean", "mean of bits"]))
def test_global_pools(seed, kind):
    rng = np.random.default_rng(seed)
    x = normal(rng, int(rng.integers(1, 4)), *rng.integers(1, 20, 2), int(rng.choice([rng.integers(1, 150), 64, 256])))
    if kind == "maximum":
        x.flat[:: max(1, x.size // 5)] = np.nan
    pool = GlobalMaxPool() if kind == "maximum" else GlobalAveragePool()
    model = network(pool, x.shape[1:], bits=kind == "mean of bits", follow=random_follow(rng, x.shape[-1]))
    run_everywhere(model, x, exact=kind == "maximum")


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_layer_norm(seed):
    rng = np.random.default_rng(seed)
    channels = int(rng.choice([rng.integers(1, 400), 16, 768]))
    x = 3 * normal(rng, 2, *rng.integers(1, 9, rng.integers(0, 4)), channels) + rng.integers(-5, 6)
    if channels > 1 and rng.random() < 0.2:
        x[0] = 2.0  # no variance
    norm = LayerNorm(normal(rng, channels), normal(rng, channels), float(rng.choice([1e-5, 0.1])))
    model = network(norm, x.shape[1:], follow=random_follow(rng, channels))
    run_everywhere(model, x.astype(np.float32), exact=False)


@settings(max_examples=80, deadline=None)
@given(seeds, st.booleans())
def test_binary_matmul(seed, zero_one):
    rng = np.random.default_rng(seed)
    batch, lead = int(rng.integers(1, 4)), [int(n) for n in rng.integers(1, 5, rng.integers(0, 3))]
    m, n, k = int(rng.integers(1, 20)), int(rng.integers(1, 150)), int(rng.choice([rng.integers(1, 300), 64, 1000]))
    a, b = normal(rng, batch, *lead, m, k), normal(rng, batch, *lead, n, k)
    scale = 1.0 if rng.random() < 0.5 else float(rng.standard_normal())
    model = network(BinaryMatMul(scale, zero_one), a.shape[1:], b.shape[1:], bits=True, follow=random_follow(rng, n))
    run_everywhere(model, a, b)
