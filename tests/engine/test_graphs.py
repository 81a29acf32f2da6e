"""Networks that are no chains: random graphs against their references, one arena, and passes.

The numbers are small multiples of powers of two, so that every float is exact and every bit must be equal.
"""

import numpy as np
import pytest
from everywhere import run_everywhere, whole
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnengine import (
    GELU,
    Abs,
    Add,
    AveragePool2d,
    BinaryConv2d,
    Clip,
    Concat,
    Conv2d,
    Engine,
    GlobalAveragePool,
    Graph,
    HardSigmoid,
    HardSwish,
    LeakyReLU,
    MaxPool2d,
    ModelError,
    Multiply,
    PReLU,
    ReLU,
    ReLU6,
    RPReLU,
    RSign,
    ScaleBias,
    Sigmoid,
    Sign,
    SiLU,
    Subtract,
    Tanh,
)


def random_layer(g, rng, values, channels):
    """One more value from those that there are, all float32 images of one size."""

    def pick():
        return values[int(rng.integers(max(0, len(values) - 4), len(values)))]

    def powers(*choices):
        return rng.choice(choices, channels).astype(np.float32)

    kind = int(rng.integers(0, 10))
    if kind == 0:
        bits = g(rng.choice([Sign(), RSign(whole(rng, channels))]), pick())
        weight, scale = rng.choice([-1, 1], (channels, 3, 3, channels)), powers(-0.5, 0.5, 1, 2)
        pad = int(rng.integers(-1, 2))
        return g(BinaryConv2d(weight, padding=1, pad_value=pad, scale=scale, bias=whole(rng, channels)), bits)
    if kind == 1:
        return g(Conv2d(rng.choice([-1, 0, 1], (channels, 1, 1, channels)), bias=whole(rng, channels)), pick())
    if kind == 2:
        return g(PReLU(powers(0, 0.5, 2)), pick())
    if kind == 3:
        return g(RPReLU(whole(rng, channels), powers(0, 0.5, 2), whole(rng, channels)), pick())
    if kind == 4:
        return g(Clip(-16.0, powers(4, 32)), pick())
    if kind == 5:
        return g(Multiply(), g(Clip(-4, 4), pick()), g(ReLU6(), pick()))
    if kind == 6:
        return g(MaxPool2d(3, strides=1, padding=1), pick())
    return g(Add() if kind < 9 else Subtract(), pick(), pick())


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 14))
def test_random_graphs(seed, size):
    rng = np.random.default_rng(seed)
    channels = int(rng.choice([1, 3, 64, 65, 130]))
    shape = (int(rng.integers(1, 12)), int(rng.integers(1, 9)), channels)
    g = Graph()
    values = [g.input(shape, name="x"), g.input(shape, name="y")]
    for _ in range(size):
        # held to a range where every number stays exact
        values.append(g(Clip(-64, 64), random_layer(g, rng, values, channels)))
        if rng.random() < 0.1:
            values.append(g(ScaleBias(0.5), g(Sign(), values[-1])))
    count = int(rng.integers(1, min(3, len(values) - 1)))
    picked = rng.choice(np.arange(2, len(values)), count, replace=False)
    model = g.model(*[values[i] for i in picked])
    batch = int(rng.integers(1, 4))
    run_everywhere(model, whole(rng, batch, *shape), whole(rng, batch, *shape))


@pytest.mark.parametrize("merge", [Add, Subtract, Multiply])
@pytest.mark.parametrize("second", [(5, 4, 70), (70,), (1, 1, 70), (5, 4, 1)], ids=str)
def test_merges_broadcast_the_second_input(merge, second):
    rng = np.random.default_rng(0)
    g = Graph()
    a, b = g.input((5, 4, 70), name="a"), g.input(second, name="b")
    run_everywhere(g.model(g(merge(), a, b)), whole(rng, 3, 5, 4, 70), whole(rng, 3, *second))


@pytest.mark.parametrize(
    "layer",
    [
        ReLU(),
        ReLU6(),
        LeakyReLU(0.1),
        HardSigmoid(),
        Sigmoid(),
        Tanh(),
        GELU(),
        GELU("tanh"),
        SiLU(),
        HardSwish(),
        Abs(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_functions(layer):
    g = Graph()
    x = np.concatenate([np.linspace(-12, 12, 4001), [0, -0.0, 1e-7, -1e-7, 80, -80, 1e30, -1e30]]).astype(np.float32)
    model = g.model(g(layer, g.input((1,), name="x")))
    if type(layer).__name__ in ("SiLU", "HardSwish", "GELU"):
        x = np.clip(x, -1e9, 1e9)  # x ** 3 stays a float32
    run_everywhere(model, x[:, None], exact=False, each=True)


@pytest.mark.parametrize("layer", [PReLU(0.5), Clip(-1, 1), RPReLU(1, 2, 3), Sigmoid(), Tanh(), GELU(), Abs()])
def test_a_nan_stays_and_infinities_pass(layer):
    g = Graph()
    model = g.model(g(layer, g.input((3,), name="x")))
    x = np.array([[np.nan, np.inf, -np.inf]], np.float32)
    out = Engine(model.to_bytes()).predict(x)
    with np.errstate(invalid="ignore"):
        expected = model.reference(x)
    assert np.isnan(out[0, 0])
    np.testing.assert_allclose(out[0, 1:], expected[0, 1:], atol=1e-6)


def residual_block(g, rng, x):
    y = g(RSign(whole(rng, 64)), x)
    y = g(BinaryConv2d(rng.choice([-1, 1], (64, 3, 3, 64)), padding=1, scale=0.5), y)
    return g(RPReLU(whole(rng, 64), 0.5, whole(rng, 64)), y + x)


def test_a_residual_block_is_one_pass_in_place():
    """scale, add, PReLU and the next sign run behind the convolution, over one float image and one of bits."""
    rng = np.random.default_rng(0)
    g = Graph()
    x = g(ReLU(), g.input((6, 5, 64), name="x"))
    for _ in range(3):
        x = residual_block(g, rng, x)
    model = g.model(g(GlobalAveragePool(), x))
    plan = run_everywhere(model, whole(rng, 2, 6, 5, 64))
    steps = plan.step_infos()
    assert [steps[s["pass_step"]]["op"] for s in steps] == [
        *["clip"] * 2, *["binary_conv2d"] * 4, *["binary_conv2d"] * 4, *["binary_conv2d"] * 3, "global_average_pool",
    ]  # fmt: skip
    image = 6 * 5 * 64 * 4
    # the residual, the convolution's sums, and the bits before and behind
    assert plan.info()["arena_bytes"] <= 2 * image + 2 * 6 * 5 * 8 + 256


def test_nothing_is_written_over_what_a_convolution_still_reads():
    """The sum could lie in x's memory, were it not that the convolution in the same pass reads x around each pixel."""
    rng = np.random.default_rng(0)
    g = Graph()
    x = g(ReLU(), g.input((40, 40, 8), name="x"))
    y = g(Conv2d(rng.choice([-1, 0, 1], (8, 3, 3, 8)), padding=1), x)
    run_everywhere(g.model(g(GlobalAveragePool(), g(Add(), x, y))), whole(rng, 1, 40, 40, 8))


def fed_pool(rng, size, channels, pool, *, residual=False, taps=()):
    """A stem: convolution, ReLU, pool, PReLU; what else reads its values: `taps`, of conv and relu."""
    g = Graph()
    x = g.input((size, size, 3), name="x")
    side = g(Conv2d(rng.integers(-2, 3, (channels, 1, 1, 3))), x, name="side") if residual else None
    y = g(Conv2d(rng.integers(-2, 3, (channels, 3, 3, 3)), padding=1), x, name="conv")
    values = {"conv": y}
    y = g(ReLU(), y if side is None else y + side, name="relu")
    values["relu"] = y
    y = g(PReLU(0.5), g(pool, y, name="pool"), name="last")
    return g.model(y, *(values[tap] for tap in taps))


def passes(model):
    steps = Engine(model.to_bytes(), num_threads=1)._plan.step_infos()
    return {step["name"]: steps[step["pass_step"]]["name"] for step in steps}


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4), st.integers(0, 3), st.booleans())
@settings(max_examples=12, deadline=None)
def test_a_pool_is_fed_by_the_convolution_before_it(seed, kernel, stride, padding, residual):
    """Some rows at a time, so that the convolution's image is nowhere whole."""
    rng = np.random.default_rng(seed)
    size, channels = int(rng.integers(60, 76)), int(rng.integers(40, 70))
    kind = rng.choice([MaxPool2d, AveragePool2d])
    pool = kind(kernel, stride, padding=min(padding, kernel - 1))
    model = fed_pool(rng, size, channels, pool, residual=residual)
    exact = kind is MaxPool2d
    plan = run_everywhere(model, whole(rng, 2, size, size, 3), exact=exact)
    assert passes(model)["pool"] == "conv"
    image = size * size * channels * 4
    assert plan.info()["arena_bytes"] < image * (1.3 if residual else 0.3) + image / stride**2 * 1.3


@pytest.mark.parametrize("tap", ["conv", "relu"])
def test_a_pool_is_not_fed_what_others_read(tap):
    rng = np.random.default_rng(0)
    model = fed_pool(rng, 64, 64, MaxPool2d(3, 2, padding=1), taps=[tap])
    run_everywhere(model, whole(rng, 1, 64, 64, 3))
    assert passes(model)["pool"] == "pool"


def test_the_profile_says_in_whose_pass_a_layer_runs():
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input((6, 5, 64), name="x")
    engine = Engine(g.model(g(GlobalAveragePool(), residual_block(g, rng, x))).to_bytes())
    profile = engine.profile(whole(rng, 2, 6, 5, 64))
    assert [s.within for s in profile.steps] == [None, None, "binary_conv2d_1", "binary_conv2d_1", None]
    assert [s.ms == 0 for s in profile.steps] == [False, False, True, True, False]
    assert "in binary_conv2d_1" in str(profile)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda g, x: g(Add(), x), r"layer 'add_1': Add: inputs: got 1 values, wanted 2"),
        (lambda g, x: g(Sign(), x, x), r"layer 'sign_1': Sign: inputs: got 2 values, wanted 1"),
        (lambda g, x: g(Add(), x, Graph().input((4, 4, 6))), "wanted a value of this graph"),
        (lambda g, x: g(Add(), x, g(GlobalAveragePool(), g(MaxPool2d(2), g(Conv2d(np.ones((5, 1, 1, 6))), x)))),
         r"Add: second input shape: got \(5,\), wanted \(4, 4, 6\), \(6,\) or \(4, 4, 1\)"),
        (lambda g, x: g(Concat(), x, g(Sign(), x)), "Concat: input dtypes: .*all bits or all float32"),
        (lambda g, x: g(Concat(axis=3), x, x), "Concat: axis: got 3, wanted -3 to 2"),
        (lambda g, x: g.split(x, 4), "sections: got 4, wanted a divisor of 6"),
        (lambda g, x: (g(Sign(), x, name="a"), g(Sign(), x, name="a")), "the name 'a' is taken"),
        (lambda g, x: g(Sign, x), "wanted a layer"),
        (lambda g, x: g.model(), "outputs: got"),
        (lambda g, x: g(Clip(), x), "Clip: low and high: got None"),
        (lambda g, x: x + np.ones(5), "ScaleBias: bias: got shape .5,., wanted a number or shape .6,."),
    ],
)  # fmt: skip
def test_errors_stand_where_the_user_wrote_them(build, message):
    g = Graph()
    x = g.input((4, 4, 6))
    with pytest.raises(ModelError, match=message):
        build(g, x)


def test_the_builder_reads_like_arithmetic():
    g = Graph("sum", metadata={"licence": "none"})
    x, y = g.input((3,), name="x"), g.input((3,), name="y")
    bias = np.array([1, 2, 3], np.float32)
    z = (x + y) * 2 - (bias - x * y) + bias
    g(Sign(), z)  # nobody reads it, so it is left out
    model = g.model(z, x - y)
    a, b = whole(np.random.default_rng(0), 2, 5, 3)
    got = Engine(model.to_bytes()).predict([a, b])
    np.testing.assert_array_equal(got[0], (a + b) * 2 - (bias - a * b) + bias)
    np.testing.assert_array_equal(got[1], a - b)
    assert model.metadata == {"licence": "none", "name": "sum"}
    assert "sign" not in {node.layer.op or "sign" for node in model.nodes}
