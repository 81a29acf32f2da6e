"""Each rewriting rule alone, and whole networks before and after: the same bits."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bnnengine import (
    Add,
    BatchNorm,
    Binarize,
    BinaryConv2d,
    BinaryDense,
    Clip,
    Conv2d,
    Dense,
    Flatten,
    GlobalAveragePool,
    Graph,
    HardSigmoid,
    Input,
    MaxPool2d,
    Model,
    ModelError,
    Multiply,
    Node,
    PReLU,
    RSign,
    ScaleBias,
    Sequential,
    Sigmoid,
    Sign,
    TensorSpec,
    fuse,
)
from bnnengine.order import late_sums


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


def test_thresholds_at_the_ends_of_float32():
    most = float(np.nextafter(np.finfo(np.float32).max, np.float32(0)))  # the largest itself decides no finite float
    least = float(np.finfo(np.float32).smallest_subnormal)
    means = [most, most, -most, -most, least, least, -least, 0, least / 2, least / 2, 3.4e38, 3.4e38]
    norm = BatchNorm([1, -1] * 6, [0] * 12, means, [1] * 12)
    layer = Sequential([Input((12,)), norm, Sign(), ScaleBias()]).optimize().nodes[0].layer
    above = np.nextafter(np.float32(3.4e38), np.float32(np.inf))
    assert float(np.float32(3.4e38)) < 3.4e38 < float(above)  # it lies between two float32, as least / 2 does
    expected = [most, most, -most, -most, least, least, -least, 0, least, 0, above, np.float32(3.4e38)]
    np.testing.assert_array_equal(layer.threshold, np.array(expected, np.float32))
    np.testing.assert_array_equal(layer.flip, [False, True] * 6)


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


# Each rule by itself: what stands there, what it makes of it. 4 channels of a (6, 6, 2) image.
ALONE = {
    "lower": (["HardSigmoid", "RSign"], ["ScaleBias", "Clip", "Binarize"]),
    "drop_sign_of_bits": (["binary_input", "Sign", "ScaleBias"], ["Sign", "ScaleBias"]),
    "drop_flatten_of_vector": (["Flatten", "Flatten", "ScaleBias"], ["Flatten", "ScaleBias"]),
    "sum_then_sign": (["BinaryConv2d", "BatchNorm", "ScaleBias", "Sign"], ["BinaryConv2d"]),
    "sum_then_pool_then_sign": (["BinaryConv2d", "BatchNorm", "MaxPool2d", "Sign"], ["BinaryConv2d", "MaxPool2d"]),
    "affine_then_sign": (["ScaleBias", "Binarize"], ["Binarize"]),
    "sum_then_affine": (["BinaryConv2d", "BatchNorm", "MaxPool2d", "Sign"], ["BinaryConv2d", "MaxPool2d", "Sign"]),
    "batch_norm_into_float_weights": (["Conv2d", "BatchNorm", "MaxPool2d"], ["Conv2d", "MaxPool2d"]),
    "affine_then_mean": (["BatchNorm", "GlobalAveragePool"], ["GlobalAveragePool", "BatchNorm"]),
    "rising_then_pool": (["PReLU", "MaxPool2d"], ["MaxPool2d", "PReLU"]),
    "sign_alone": (["MaxPool2d", "Sign"], ["MaxPool2d", "Binarize"]),
    "batch_norm_alone": (["MaxPool2d", "BatchNorm"], ["MaxPool2d", "ScaleBias"]),
}


@pytest.mark.parametrize("rule", fuse.RULES, ids=lambda rule: rule.__name__)
def test_each_rule_alone(rule, monkeypatch):
    rng = np.random.default_rng(3)
    names, expected = ALONE[rule.__name__]
    channels, layers = 2, []
    for name in names:
        if name == "BinaryConv2d":
            layers.append(BinaryConv2d(signs(rng, 4, 3, 3, 2), scale=rng.normal(size=4)))
            channels = 4
        elif name == "Conv2d":
            layers.append(Conv2d(rng.normal(size=(4, 3, 3, 2)), scale=rng.normal(size=4), bias=rng.normal(size=4)))
            channels = 4
        elif name == "BatchNorm":
            layers.append(norm(rng, channels))
        else:
            plain = {
                "binary_input": Sign(), "Sign": Sign(), "Flatten": Flatten(), "ScaleBias": ScaleBias(-1.5, 0.25),
                "Binarize": Binarize(0.5, True), "MaxPool2d": MaxPool2d(2),
                "HardSigmoid": HardSigmoid(), "RSign": RSign(-0.5), "GlobalAveragePool": GlobalAveragePool(),
                "PReLU": PReLU([0.25, 2.0], 0.5, -1.0),
            }  # fmt: skip
            layers.append(plain[name])
    model = Sequential([Input((6, 6, 2), "float32" if "Conv" not in names[0] else "uint8"), *layers])
    monkeypatch.setattr(fuse, "RULES", (rule,))
    fused = model.optimize()
    assert kinds(fused) == expected
    assert rule.__doc__
    assert fused.nodes != model.nodes
    x = random_input(rng, model)
    np.testing.assert_allclose(fused.reference(x), model.reference(x), rtol=1e-5, atol=1e-3)
    rounding = (fuse.sum_then_affine, fuse.batch_norm_into_float_weights, fuse.affine_then_mean, fuse.batch_norm_alone)
    if rule not in rounding:
        np.testing.assert_array_equal(fused.reference(x), model.reference(x))


@pytest.mark.parametrize(
    ("layer", "first"),
    [
        (PReLU([0.25, 1e-20]), True),
        (PReLU([0.25, -0.25]), False),  # falls below 0
        (PReLU([0.25, 0.0]), False),  # an infinity times 0 is a NaN
        (Clip(-1.0, [1.0, 2.0]), True),
        (Clip(1.0, [2.0, 0.5]), False),  # limits that cross
    ],
)
def test_the_maximum_comes_first_where_the_layer_before_it_never_falls(layer, first):
    model = Sequential([Input((6, 6, 2)), layer, MaxPool2d(3, 2, 1)])
    fused = model.optimize()
    assert (kinds(fused)[0] == "MaxPool2d") == first
    x = random_input(np.random.default_rng(0), model, 20)
    x[0, 0, 0], x[0, 5, 5], x[1] = np.nan, np.inf, -np.inf
    with np.errstate(invalid="ignore"):  # the infinity times 0
        np.testing.assert_array_equal(fused.reference(x), model.reference(x))
    assert kinds(Sequential([Input((6, 6, 2)), layer, MaxPool2d(3, 1, 1)]).optimize())[0] != "MaxPool2d"


def random_input(rng, model, count=3):
    spec = model.inputs[0]
    if spec.dtype == "uint8":
        return rng.integers(0, 256, (count, *spec.shape)).astype(np.uint8)
    return (rng.normal(size=(count, *spec.shape)) * 3).astype(np.float32)


@pytest.mark.parametrize("pooled", [False, True])
def test_a_flatten_before_the_sign_stays_behind_the_sum(pooled):
    rng = np.random.default_rng(0)
    middle = [MaxPool2d(2)] if pooled else []
    head = [Input((6, 6, 2), "uint8"), BinaryConv2d(signs(rng, 4, 3, 3, 2)), *middle, norm(rng, 4, 300.0), Flatten()]
    dense = BinaryDense(signs(rng, 3, 16 if pooled else 64))
    for sign in (Sign(), Binarize(2.5), Binarize(-1.0, True)):
        model = Sequential([*head, sign, dense])
        fused = model.optimize()
        assert kinds(fused) == ["BinaryConv2d", *[type(m).__name__ for m in middle], "Flatten", "BinaryDense"]
        x = random_input(rng, model, 20)
        np.testing.assert_array_equal(fused.reference(x), model.reference(x))
    by_feature = Binarize(rng.normal(size=64 if not pooled else 16))
    assert "Binarize" in kinds(Sequential([*head, by_feature, dense]).optimize())


@pytest.mark.parametrize(
    "first",
    [
        [Dense([[1, -2, 3, 0.5], [0.5, 1, 1, 1]], scale=2.0)],
        [BinaryDense([[1, -1, 1, 1], [1, 1, 1, -1]], scale=1e30, bias=1.0)],
        [Dense(np.ones((2, 4))), ScaleBias(4.0, 1.0)],
    ],
    ids=["float scale", "large scale", "scale and bias"],
)
def test_zero_gamma_behind_a_scale_that_may_overflow(first):
    """A sum so large that its scale takes it to infinity must not decide, by 0 * infinity, for all the others."""
    batch_norm = BatchNorm([0.0, 1.0], [1.0, 0.0], [0.0, 0.5], [1.0, 1.0])
    model = Sequential([Input((4,)), *first, batch_norm, Sign(), ScaleBias()])
    x = random_input(np.random.default_rng(0), model, 40)
    expected = model.reference(x)
    assert (expected[:, 0] == 1).all()
    assert len(set(expected[:, 1])) == 2
    np.testing.assert_array_equal(model.optimize().reference(x), expected)


def test_a_batch_norm_too_small_for_float32_keeps_its_sign():
    batch_norm = BatchNorm([0.0, 0.0, 1e-30], [-1e-300, 1e-300, 0.0], [0, 0, 1.5], [1e30, 1, 1e38])
    model = Sequential([Input((3,), "uint8"), BinaryDense(np.ones((3, 3))), batch_norm, Sign(), ScaleBias()])
    x = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 1], [9, 9, 9]], np.uint8)
    expected = [[-1, 1, -1], [-1, 1, -1], [-1, 1, 1], [-1, 1, 1]]
    np.testing.assert_array_equal(model.reference(x), expected)
    np.testing.assert_array_equal(model.optimize().reference(x), expected)


def dyadic_norm(rng, channels):
    """A batch norm whose every step is exact in float32 for small multiples of powers of two."""
    return BatchNorm(
        rng.choice([-2, -1, -0.5, 0, 0.5, 1], channels), rng.integers(-9, 9, channels) / 2,
        rng.integers(-9, 9, channels) / 2, rng.choice([0.25, 1, 4], channels), epsilon=0.0,
    )  # fmt: skip


@st.composite
def networks(draw):
    """Chains of layers in orders that a network might have, and in many that none has."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (*rng.integers(4, 8, 2), rng.integers(1, 5)) if draw(st.booleans()) else (rng.integers(1, 70),)
    dtype = draw(st.sampled_from(["uint8", "float32"]))
    layers = [Input(shape, dtype)]
    spec = (dtype, layers[0].shape)
    choices = st.sampled_from(["sum", "sum", "sign", "sign", "norm", "pool", "flatten", "scale", "binarize"])
    for choice in [*draw(st.lists(choices, max_size=8)), "sign", "scale"]:
        channels, outputs = spec[1][-1], int(rng.integers(1, 7))
        scale, bias = float(rng.choice([-2, -0.5, 0, 1])), float(rng.integers(-5, 5))
        if choice == "sum" and len(spec[1]) == 3:
            pad_value = 0 if spec[0] == "uint8" else int(rng.integers(-1, 2))
            weight = signs(rng, outputs, 2, 2, channels)
            layer = BinaryConv2d(weight, padding=1, pad_value=pad_value, scale=scale if bias < 0 else None)
        else:
            layer = {
                "sum": lambda: BinaryDense(signs(rng, outputs, channels), bias=bias),  # noqa: B023
                "sign": lambda: Sign(),
                "norm": lambda: dyadic_norm(rng, channels),  # noqa: B023
                "pool": lambda: MaxPool2d(2, 1),
                "flatten": lambda: Flatten(),
                "scale": lambda: ScaleBias(scale, bias + 0.5),  # noqa: B023
                "binarize": lambda: Binarize(bias, bool(rng.integers(2))),  # noqa: B023
            }[choice]()
        try:
            spec = layer.output_spec(spec)
        except ModelError:
            continue  # it cannot stand here
        layers.append(layer)
    return Sequential(layers)


@settings(max_examples=200, deadline=None)
@given(networks(), st.integers(0, 2**32))
def test_fusing_leaves_every_bit_of_a_network(model, seed):
    rng = np.random.default_rng(seed)
    spec = model.inputs[0]
    x = rng.integers(0, 256, (4, *spec.shape)) if spec.dtype == "uint8" else rng.integers(-40, 40, (4, *spec.shape)) / 4
    x = x.astype(spec.dtype)
    values = model.reference(x, all_values=True)
    # numbers so small that float32 has them exactly, so that rounding in another order is no excuse
    assume(all(np.abs(v).max() < 2**14 and np.array_equal(v * 256.0, np.rint(v * 256.0)) for v in values.values()))
    fused = model.optimize()
    assert fused.optimize() == fused
    assert not {"Sign", "BatchNorm"} & set(kinds(fused))
    assert len(fused.nodes) <= len(model.nodes)
    np.testing.assert_array_equal(fused.reference(x), values[model.outputs[0]])
    assert Model.load(model.to_bytes()).to_bytes() == model.to_bytes()


def test_a_sum_with_two_readers_is_not_folded():
    nodes = (
        Node("sum", BinaryDense([[1, 1], [1, -1]]), ("x",), ("acc",)),
        Node("sign", Sign(), ("acc",), ("bits",)),
        Node("from_bits", ScaleBias(2.0), ("bits",), ("y",)),
        Node("from_sum", ScaleBias(3.0), ("acc",), ("z",)),
    )
    model = Model((TensorSpec("x", "uint8", (2,)),), nodes, ("y", "z"))
    fused = model.optimize()
    assert kinds(fused) == ["BinaryDense", "Binarize", "ScaleBias", "ScaleBias"]
    y, z = fused.reference(np.array([[3, 4]], np.uint8))
    np.testing.assert_array_equal(y, [[2, -2]])
    np.testing.assert_array_equal(z, [[21, -3]])


def test_an_output_keeps_its_layer_and_its_name():
    model = Sequential([Input((3,)), Flatten(name="flat")])
    assert model.optimize() == model
    model = Sequential([Input((3,)), BinaryDense(np.ones((2, 3))), ScaleBias(2.0, name="y")])
    assert kinds(model.optimize()) == ["BinaryDense"]
    assert model.optimize().outputs == ("y",)


def gated(rng):
    """A binary convolution whose outputs are scaled by means of its input behind a batch norm, as in Real-to-Binary."""
    g = Graph()
    x = g.input((5, 5, 4), name="x")
    normal = g(norm(rng, 4), x, name="bn")
    y = g(BinaryConv2d(signs(rng, 4, 3, 3, 4), padding=1), g(Sign(), normal), name="conv")
    z = g(Dense(rng.normal(size=(4, 4))), g(GlobalAveragePool(), normal), name="gate")
    return g, x, normal, g(Add(), g(Multiply(), y, g(Sigmoid(), z)), x)


def test_signs_and_means_of_one_batch_norm_each_take_it_in():
    rng = np.random.default_rng(5)
    g, _, _, y = gated(rng)
    model = g.model(y)
    fused = model.optimize()
    assert kinds(fused) == [
        "Binarize", "GlobalAveragePool", "ScaleBias", "Dense", "Sigmoid", "BinaryConv2d", "Multiply", "Add",
    ]  # fmt: skip
    x = random_input(rng, model, 9)
    np.testing.assert_allclose(fused.reference(x), model.reference(x), rtol=1e-5, atol=1e-5)
    assert fused.optimize() == fused


def test_a_batch_norm_that_others_read_stays_one():
    g, _, normal, y = gated(np.random.default_rng(5))
    fused = g.model(y, normal).optimize()
    assert kinds(fused).count("ScaleBias") == 1
    assert kinds(fused)[0] == "ScaleBias"
    g, _, normal, y = gated(np.random.default_rng(5))
    fused = g.model(g(Add(), y, normal)).optimize()
    assert kinds(fused).count("ScaleBias") == 1


def test_a_sum_stands_before_the_first_layer_that_reads_it():
    rng = np.random.default_rng(6)
    g = Graph()
    x = g.input((6,))
    first = g(Dense(rng.normal(size=(6, 6))), x, name="first")
    unread = g(Dense(rng.normal(size=(3, 6))), first, name="unread")
    second = g(Dense(rng.normal(size=(6, 6))), x, name="second")
    scale = g(Sigmoid(), x, name="scale")
    y = g(Add(), g(Multiply(), second, scale), first, name="y")
    model = g.model(y, unread)
    late = late_sums(model)
    assert [node.name for node in late.nodes][:3] == ["scale", "second", "multiply_1"]
    assert [node.name for node in late.nodes][3:] == ["first", "y", "unread"]
    a = random_input(rng, model)
    for got, wanted in zip(late.reference(a), model.reference(a), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_two_scales_before_a_global_mean():
    """Both go past it, one after the other: the first one's rewrite names a value as the second one's would."""
    g = Graph()
    model = g.model(g(GlobalAveragePool(), 1.0 - g.input((4, 4, 8)) * 3.0))
    a = random_input(np.random.default_rng(7), model)
    np.testing.assert_allclose(model.optimize().reference(a), model.reference(a), rtol=1e-5, atol=1e-5)


def test_every_rule_is_listed_once():
    assert len(set(fuse.RULES)) == len(fuse.RULES)
    assert {rule.__name__ for rule in fuse.RULES} == set(ALONE)
