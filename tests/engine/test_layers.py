"""The engine against the layers' NumPy references, on every instruction set, with helper threads and without.

Integers and bits must be equal; floats may differ by 1e-5 relative.
"""

import numpy as np
import pytest
from everywhere import run_everywhere
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnengine import (
    ArgMax,
    Binarize,
    BinaryConv2d,
    BinaryDense,
    Conv2d,
    Dense,
    Engine,
    Flatten,
    GlobalAveragePool,
    Graph,
    Input,
    MaxPool2d,
    PReLU,
    ScaleBias,
    Sequential,
    Sign,
    Softmax,
    Threshold,
    _core,
)

# A few hundred shapes in all: hypothesis draws the seed and shrinks it no further than that.
seeds = st.integers(0, 2**32)


def random_input(rng, kind, shape):
    """Samples, and the layers that bring them to `kind`."""
    if kind == "uint8":
        return rng.integers(0, 256, shape).astype(np.uint8), [Input(shape[1:], "uint8")]
    x = rng.standard_normal(shape).astype(np.float32)
    return x, [Input(shape[1:]), *([Sign()] if kind == "bits" else [])]


def random_threshold(rng, outputs, spread):
    value = rng.integers(-spread, spread + 1, outputs)
    value[rng.random(outputs) < 0.05] = 2**31 - 1
    value[rng.random(outputs) < 0.05] = -(2**31)
    return Threshold(value, rng.random(outputs) < 0.5)


def random_window(rng):
    kernel, dilation = rng.integers(1, 6, 2), rng.integers(1, 3, 2)
    extent = dilation * (kernel - 1) + 1
    padding = [tuple(int(n) for n in rng.integers(0, e, 2)) for e in extent]
    size = [max(1, int(e) - sum(p)) + int(rng.integers(0, 9)) for e, p in zip(extent, padding, strict=True)]
    attributes = {"strides": tuple(rng.integers(1, 4, 2)), "dilation": tuple(dilation), "padding": tuple(padding)}
    return tuple(kernel), size, attributes


@settings(max_examples=250, deadline=None)
@given(seeds, st.sampled_from(["bits", "bits", "uint8"]), st.booleans())
def test_binary_conv2d(seed, kind, to_bits):
    rng = np.random.default_rng(seed)
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    channels = int(rng.choice([rng.integers(1, 131), rng.integers(1, 10), 64, 128, 200, 257]))
    outputs = groups * int(rng.integers(1, 90))
    kernel, size, attributes = random_window(rng)
    x, layers = random_input(rng, kind, (int(rng.integers(1, 4)), *size, channels * groups))
    weight = rng.choice([-1, 1], (outputs, *kernel, channels))
    depth = channels * kernel[0] * kernel[1]
    if to_bits:
        output = {"threshold": random_threshold(rng, outputs, int(depth**0.5 * (150 if kind == "uint8" else 2)) + 1)}
    else:
        output = {"scale": rng.standard_normal(outputs), "bias": rng.standard_normal(outputs)}
    pad_value = 0 if kind == "uint8" else int(rng.integers(-1, 2))
    layers.append(BinaryConv2d(weight, **attributes, pad_value=pad_value, groups=groups, **output))
    run_everywhere(Sequential([*layers, *([ScaleBias()] if to_bits else [])]), x)


def random_groups(rng, kind):
    """Groups, input channels and outputs of each: each channel by itself, thin groups, or any."""
    if kind == "depthwise":
        return int(rng.choice([rng.integers(2, 300), rng.integers(2, 70), 63, 64, 65, 192, 512])), 1, 1
    if kind == "thin":
        return int(rng.integers(2, 40)), int(rng.integers(1, 10)), int(rng.integers(1, 10))
    groups, channels = int(rng.integers(2, 6)), int(rng.choice([rng.integers(1, 140), 32, 64, 128]))
    return groups, channels, int(rng.choice([rng.integers(1, 140), channels, 64, 128]))


@settings(max_examples=400, deadline=None)
@given(seeds, st.sampled_from(["depthwise", "depthwise", "thin", "any"]), st.booleans())
def test_grouped_binary_conv2d(seed, kind, to_bits):
    rng = np.random.default_rng(seed)
    groups, channels, outputs = random_groups(rng, kind)
    outputs *= groups
    kernel, size, attributes = random_window(rng)
    if rng.random() < 0.4:  # the usual window, at a width of several vectors
        kernel, size, attributes = (3, 3), rng.integers(1, 20, 2), {"padding": 1, "strides": int(rng.integers(1, 3))}
    x, layers = random_input(rng, "bits", (int(rng.integers(1, 4)), *size, channels * groups))
    pad_value = int(rng.integers(-1, 2))
    fields = {"pad_value": pad_value, "zero_one": pad_value >= 0 and rng.random() < 0.3, "groups": groups}
    if to_bits:
        spread = int((channels * kernel[0] * kernel[1]) ** 0.5 * 2) + 1
        fields["threshold"] = random_threshold(rng, outputs, spread)
    else:
        fields |= {"scale": rng.standard_normal(outputs), "bias": rng.standard_normal(outputs)}
    layers.append(BinaryConv2d(rng.choice([-1, 1], (outputs, *kernel, channels)), **attributes, **fields))
    run_everywhere(Sequential([*layers, *([ScaleBias()] if to_bits else [])]), x)


@pytest.mark.parametrize("kernel", [(1, 1), (1, 2), (15, 17), (16, 16), (1, 255)])
@pytest.mark.parametrize("to_bits", [False, True])
def test_depthwise_sums_of_any_length(kernel, to_bits):
    """Planes of counts, from one to eight, and sums that are too long for them; all taps alike, all unlike, and odd."""
    rng = np.random.default_rng(kernel[1])
    x = np.ones((2, *(k + 2 for k in kernel), 67), np.float32)
    x[1] = rng.standard_normal(x.shape[1:])
    weight = rng.choice([-1, 1], (67, *kernel, 1))
    weight[:30], weight[30:40] = 1, -1
    output = {"threshold": random_threshold(rng, 67, kernel[0] * kernel[1] + 1)} if to_bits else {"scale": 0.3}
    conv = BinaryConv2d(weight, groups=67, padding=tuple(k // 2 for k in kernel), **output)
    run_everywhere(Sequential([Input(x.shape[1:]), Sign(), conv, *([ScaleBias()] if to_bits else [])]), x)


@pytest.mark.parametrize("groups", [1, 3, 6, 192])
def test_what_follows_a_grouped_convolution_runs_in_its_pass(groups):
    """Additions and signs behind it, of outputs that are nowhere whole."""
    rng = np.random.default_rng(groups)
    g = Graph()
    x = g.input((9, 11, 192))
    for _ in range(2):
        conv = BinaryConv2d(rng.choice([-1, 1], (192, 3, 3, 192 // groups)), padding=1, groups=groups, scale=0.1)
        x = g(PReLU(rng.standard_normal(192)), g(conv, g(Sign(), x)) + x)
    model = g.model(g(GlobalAveragePool(), x))
    run_everywhere(model, rng.standard_normal((2, 9, 11, 192)).astype(np.float32), exact=False)


@settings(max_examples=100, deadline=None)
@given(seeds, st.sampled_from(["bits", "uint8"]), st.booleans())
def test_binary_dense(seed, kind, to_bits):
    rng = np.random.default_rng(seed)
    inputs, outputs = int(rng.choice([rng.integers(1, 300), 784, 1024, 4097])), int(rng.integers(1, 300))
    x, layers = random_input(rng, kind, (int(rng.choice([1, 2, 3, 33])), inputs))
    output = {"threshold": random_threshold(rng, outputs, int(inputs**0.5) + 1)} if to_bits else {"bias": 0.5}
    layers.append(BinaryDense(rng.choice([-1, 1], (outputs, inputs)), **output))
    run_everywhere(Sequential([*layers, *([ScaleBias()] if to_bits else [])]), x)


@pytest.mark.parametrize("kind", ["bits", "uint8"])
@pytest.mark.parametrize("inputs", [16383, 16384, 40000])
def test_binary_dense_of_sums_too_long_for_one_run(kind, inputs):
    rng = np.random.default_rng(inputs)
    x, layers = random_input(rng, kind, (3, inputs))
    for to_bits in (False, True):
        output = {"threshold": random_threshold(rng, 70, int(inputs**0.5) + 1)} if to_bits else {}
        dense = BinaryDense(rng.choice([-1, 1], (70, inputs)), **output)
        model = Sequential([*layers, dense, *([ScaleBias()] if to_bits else [])])
        for batch in (1, 3):
            run_everywhere(model, x[:batch])


def test_sums_at_their_extremes():
    for value in (-1.0, 1.0):
        x = np.full((2, 5, 5, 200), value, np.float32)
        for sign in (-1, 1):
            conv = BinaryConv2d(np.full((65, 3, 3, 200), sign), padding=1)
            run_everywhere(Sequential([Input((5, 5, 200)), Sign(), conv]), x)
    x = np.full((2, 9, 9, 20), 255, np.uint8)
    for sign in (-1, 1):
        run_everywhere(
            Sequential([Input((9, 9, 20), "uint8"), BinaryConv2d(np.full((33, 5, 5, 20), sign), padding=2)]), x
        )


@settings(max_examples=120, deadline=None)
@given(seeds, st.sampled_from(["bits", "uint8", "float32"]), st.booleans())
def test_float_sums(seed, kind, real):
    rng = np.random.default_rng(seed)
    real = real or kind != "float32"
    groups = int(rng.choice([1, 1, 2, 3]))
    channels, outputs = int(rng.integers(1, 40)), groups * int(rng.integers(1, 50))
    kernel, size, attributes = random_window(rng)
    x, layers = random_input(rng, kind, (int(rng.integers(1, 4)), *size, channels * groups))
    shape = (outputs, *kernel, channels)
    weight = rng.standard_normal(shape) if real else rng.choice([-1, 1], shape)
    pad_value = 0 if kind == "uint8" else int(rng.integers(-1, 2))
    kind_of = Conv2d if real else BinaryConv2d
    layers.append(
        kind_of(weight, **attributes, pad_value=pad_value, groups=groups, scale=rng.standard_normal(outputs), bias=0.1)
    )
    run_everywhere(Sequential(layers), x, exact=False)


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_float_sums_to_bits(seed):
    """Whole numbers sum exactly in floats, so even their thresholds must agree, ties and falling ones too."""
    rng = np.random.default_rng(seed)
    inputs, outputs = int(rng.integers(1, 200)), int(rng.integers(1, 150))
    x = rng.integers(-3, 4, (3, inputs)).astype(np.float32)
    threshold = Threshold(rng.integers(-20, 21, outputs).astype(np.float32), rng.random(outputs) < 0.5)
    weight = rng.integers(-2, 3, (outputs, inputs)).astype(np.float32)
    run_everywhere(Sequential([Input((inputs,)), Dense(weight, threshold=threshold), ScaleBias()]), x)


SPECIAL = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45, 1.0, -1.0], np.float32)


@settings(max_examples=80, deadline=None)
@given(seeds, st.sampled_from(["uint8", "float32"]))
def test_binarize(seed, kind):
    rng = np.random.default_rng(seed)
    shape = (
        int(rng.integers(1, 4)),
        *rng.integers(1, 6, rng.integers(0, 3)),
        int(rng.choice([1, 3, 64, rng.integers(1, 200)])),
    )
    flip = rng.random(shape[-1]) < 0.5
    if kind == "uint8":
        x, threshold = rng.integers(0, 256, shape).astype(np.uint8), rng.uniform(-20, 280, shape[-1])
        threshold[rng.random(shape[-1]) < 0.2] = np.inf
    else:
        x, threshold = rng.choice(SPECIAL, shape), rng.choice(SPECIAL[~np.isnan(SPECIAL)], shape[-1])
    run_everywhere(Sequential([Input(shape[1:], kind), Binarize(threshold, flip), ScaleBias()]), x)


@settings(max_examples=80, deadline=None)
@given(seeds, st.sampled_from(["bits", "uint8", "float32"]))
def test_scale_bias(seed, kind):
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 4)), *rng.integers(1, 9, rng.integers(0, 3)), int(rng.integers(1, 200)))
    x = rng.integers(0, 256, shape).astype(np.uint8) if kind == "uint8" else rng.standard_normal(shape).astype("f4")
    scale, bias = rng.standard_normal((2, shape[-1])).astype(np.float32)
    layers = [*([Sign()] if kind == "bits" else []), ScaleBias(scale, bias)]
    run_everywhere(Sequential([Input(shape[1:], x.dtype.name), *layers]), x)


def test_the_sign_contract_is_kept():
    """+0.0 and -0.0 are +1, NaN is -1: on every instruction set."""
    x = np.tile(SPECIAL, 15)[None]
    run_everywhere(Sequential([Input((x.shape[1],)), Sign(), ScaleBias()]), x)


@settings(max_examples=80, deadline=None)
@given(seeds, st.booleans())
def test_max_pool2d(seed, bits):
    rng = np.random.default_rng(seed)
    kernel = rng.integers(1, 5, 2)
    padding = [tuple(int(n) for n in rng.integers(0, k, 2)) for k in kernel]
    shape = (2, *(int(k) + rng.integers(0, 8, 2)[0] for k in kernel), int(rng.integers(1, 200)))
    flip = rng.random(shape[-1]) < 0.5 if bits and rng.random() < 0.5 else None
    pool = MaxPool2d(tuple(kernel), tuple(rng.integers(1, 4, 2)), tuple(padding), flip)
    x = rng.standard_normal(shape).astype(np.float32)
    if not bits:
        x.flat[:: max(1, x.size // 5)] = np.nan
    layers = [Sign(), pool, ScaleBias()] if bits else [pool]
    run_everywhere(Sequential([Input(shape[1:]), *layers]), x)


@settings(max_examples=40, deadline=None)
@given(seeds, st.booleans())
def test_pool_and_flatten(seed, pooled):
    rng = np.random.default_rng(seed)
    shape = (2, int(rng.integers(1, 20)), int(rng.integers(1, 20)), int(rng.integers(1, 200)))
    x = rng.standard_normal(shape).astype(np.float32)
    layers = [GlobalAveragePool()] if pooled else [Flatten(), ScaleBias()]
    run_everywhere(Sequential([Input(shape[1:]), Sign(), *layers]), x)
    run_everywhere(Sequential([Input(shape[1:]), *layers]), x, exact=False)


def test_more_pixels_than_a_byte_can_count():
    x = np.random.default_rng(0).standard_normal((1, 40, 40, 3)).astype(np.float32)
    run_everywhere(Sequential([Input((40, 40, 3)), Sign(), GlobalAveragePool()]), x)


@pytest.mark.parametrize("n", [1, 7, 15, 16, 17, 197, 1000])
def test_softmax(n):
    """Masked numbers, -infinity, give 0; a NaN gives a row of them."""
    rng = np.random.default_rng(n)
    x = (rng.standard_normal((50, n)) * 20).astype(np.float32)
    x[10:20, 1:][rng.random((10, n - 1)) < 0.5] = -np.inf
    model = Sequential([Input((n,)), Softmax()])
    run_everywhere(model, x, exact=False)
    x[3, n // 2] = np.nan
    for isa in _core.isas():
        y = Engine(model.to_bytes(), isa=isa).predict(x)
        assert np.isnan(y[3]).all()
        assert not np.isnan(y[4:]).any()
        assert (y[np.isneginf(x)] == 0).all()


def test_argmax():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (50, 7)).astype(np.float32)  # ties
    x[rng.random(x.shape) < 0.3] = np.nan
    x[0] = np.nan
    run_everywhere(Sequential([Input((7,)), ArgMax()]), x)


def test_a_deep_network_of_odd_sizes():
    rng = np.random.default_rng(0)

    def conv(inputs, outputs, **attributes):
        weight = rng.choice([-1, 1], (outputs, 3, 3, inputs))
        return BinaryConv2d(
            weight, threshold=Threshold(rng.integers(-9, 10, outputs), rng.random(outputs) < 0.5), **attributes
        )

    layers = [
        Input((33, 31, 3), "uint8"),
        BinaryConv2d(rng.choice([-1, 1], (37, 3, 3, 3)), threshold=random_threshold(rng, 37, 500), padding=1),
        conv(37, 70, padding=1, pad_value=1),
        MaxPool2d(2),
        conv(70, 130, padding=1, pad_value=-1, strides=2),
        conv(130, 65, padding=1),
        Flatten(),
        BinaryDense(rng.choice([-1, 1], (10, 8 * 8 * 65)), scale=0.01, bias=rng.standard_normal(10)),
        Softmax(),
    ]
    x = rng.integers(0, 256, (5, 33, 31, 3)).astype(np.uint8)
    run_everywhere(Sequential(layers), x, exact=False)


def test_batches_are_cut_into_chunks_without_a_trace(isa):
    rng = np.random.default_rng(0)
    conv = BinaryConv2d(rng.choice([-1, 1], (64, 3, 3, 3)), threshold=random_threshold(rng, 64, 300))
    layers = [Input((20, 20, 3), "uint8"), conv, Flatten(), BinaryDense(rng.choice([-1, 1], (10, 18 * 18 * 64)))]
    engine = Engine.load(Sequential(layers).to_bytes(), isa=isa)
    chunk = engine._plan.info()["chunk"]
    x = rng.integers(0, 256, (2 * chunk + 3, 20, 20, 3)).astype(np.uint8)
    together = engine.predict(x)
    alone = np.concatenate([engine.predict(x[i : i + 1]) for i in range(len(x))])
    np.testing.assert_array_equal(together, alone)
