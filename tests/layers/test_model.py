"""Models and chains: what they refuse, where they say so, and what cannot be changed afterwards."""

import numpy as np
import pytest

from bnnengine import (
    BatchNorm,
    Binarize,
    BinaryConv2d,
    BinaryDense,
    BitTensor,
    Conv2d,
    Dense,
    Flatten,
    Input,
    InputError,
    InputTypeError,
    MaxPool2d,
    Model,
    ModelError,
    Node,
    ScaleBias,
    Sequential,
    Sign,
    Softmax,
    TensorSpec,
    Threshold,
)

X = (TensorSpec("x", "float32", (3,)),)


def node(name="a", layer=None, inputs=("x",), outputs=("y",)):
    return Node(name, Softmax() if layer is None else layer, inputs, outputs)


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([], "first layer must be Input"),
        ([Sign()], "first layer must be Input"),
        ([Input((3,))], "no layers"),
        ([Input((3,)), Input((3,))], "layer 1: got Input"),
        ([Input((3,)), Sign], "layer 1: got .*, wanted a layer"),
        ([Input((3,)), Sign(), BinaryDense(np.ones((2, 4)))], r"layer 'binary_dense_1': .* got 3, wanted 4"),
        ([Input((3,)), Sign(), BinaryDense(np.ones((2, 4)), name="fc")], r"layer 'fc': BinaryDense: inputs"),
        ([Input((4, 4, 1)), BinaryConv2d(np.ones((2, 5, 5, 1)))], r"layer 'binary_conv2d_1': .*kernel: got \(5, 5\)"),
        ([Input((3,)), Softmax(name="s"), Softmax(name="s")], "layer 's': .*stands twice"),
        ([Input((3,), name="s"), Softmax(name="s")], "layer 's': .*stands twice"),
        ([Input((50000, 50000)), Softmax()], r"input 'input': shape: .*2\^31"),
    ],
)
def test_a_chain_says_where_it_does_not_fit(layers, text):
    with pytest.raises(ModelError, match=text):
        Sequential(layers)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Model((), (node(),), ("y",)), "inputs: got"),
        (lambda: Model(X + X, (node(),), ("y",)), "inputs: got"),
        (lambda: Model((TensorSpec("x", "bits", (3,)),), (node(),), ("y",)), "dtype: got bits"),
        (lambda: Model(X, (), ("x",)), "no layers"),
        (lambda: Model(X, (node(inputs=("z",)),), ("y",)), "layer 'a': reads .*'z'"),
        (lambda: Model(X, (node(inputs=("y",)),), ("y",)), "layer 'a': reads .*'y'"),
        (lambda: Model(X, (node(inputs=()),), ("y",)), "layer 'a': .*inputs: got"),
        (lambda: Model(X, (node(inputs=("x", "x")),), ("y",)), "layer 'a': .*inputs: got"),
        (lambda: Model(X, (node(outputs=("y", "z")),), ("y",)), "layer 'a': outputs: got 2 names, wanted 1"),
        (lambda: Model(X, (node(), node(outputs=("z",))), ("y",)), "layer 'a': .*stands twice"),
        (lambda: Model(X, (node(), node("b")), ("y",)), "layer 'b': .*stands twice"),
        (lambda: Model(X, (node(),), ()), "outputs: got"),
        (lambda: Model(X, (node(),), ("y", "y")), "outputs: got"),
        (lambda: Model(X, (node(),), ("z",)), "outputs: no layer makes 'z'"),
        (lambda: Model(X, (node(),), ("x",)), "outputs: no layer makes 'x'"),
        (lambda: Model(X, (node(),), ("y",), {"labels": ["0"]}), "metadata"),  # type: ignore[dict-item]
        (lambda: Conv2d(np.ones((1, 3, 3, 1)), padding=((1, 1), 1)), "padding: got"),
        (lambda: Conv2d(np.ones((1, 3, 3, 1)), padding="same"), "padding: got same"),
        (lambda: Conv2d(np.ones((1, 3, 3, 1)), padding=-1), "padding: got -1"),
        (lambda: Conv2d(np.ones((1, 3, 3, 1)), strides=None), "strides: got None"),
        (lambda: Conv2d(np.ones((1, 3, 3, 1)), strides=(1, 2, 3)), "strides: got"),
        (lambda: Conv2d(np.ones((1, 3, 3, 1)), dilation=1.5), "dilation: got"),
        (lambda: Conv2d(np.ones((1, 3, 3, 1)), pad_value=[1]), "pad_value: got"),
        (lambda: Conv2d(np.ones((1, 0, 3, 1))), "no empty dimension|kernel: got"),
        (lambda: Dense(np.ones((0, 3))), "no empty dimension"),
        (lambda: Dense([["a"]]), "weight: got a list"),
        (lambda: Dense([[1e39]]), "weight: .*not finite"),
        (lambda: BinaryDense(np.ones((2, 3)), threshold=[1, 2]), "threshold: got a list"),
        (lambda: BatchNorm([1e39], [0], [0], [1]), "gamma: .*not finite in float32"),
        (lambda: BatchNorm([1], [0], [np.nan], [1]), "mean: .*not finite"),
        (lambda: BatchNorm([1], [0], [0], [1], np.nan), "variance: got 1.0 with epsilon nan"),
        (lambda: BatchNorm([1], [0], [0], [1], np.inf), "variance: got 1.0 with epsilon inf"),
        (lambda: BatchNorm([1], [0], [0], [1], -0.5), "variance: got 1.0 with epsilon -0.5"),
        (lambda: BatchNorm([1, 1], [0, 0], [0, 0], [1, 0], 0), "variance: got 0.0 with epsilon 0"),
        (lambda: BatchNorm(1, 0, 0, 1), r"gamma: got shape \(\)"),
        (lambda: BatchNorm("a", 0, 0, 1), "gamma: got a str"),
        (lambda: MaxPool2d(2, flip=[[True]]), "flip: got shape"),
        (lambda: Threshold([[1, 2]]), "value: got shape"),
        (lambda: Threshold([True]), "value: got dtype bool"),
        (lambda: Threshold([2**31]), "beyond int32"),
        (lambda: Threshold([1, 2], [True]), "flip: got shape"),
    ],
)
def test_what_cannot_be_is_refused(make, text):
    with pytest.raises(ModelError, match=text):
        make()


def test_the_hint_fits_what_was_given():
    with pytest.raises(ModelError, match=r"got uint8, .*; put Sign\(\) or Binarize\(\) before it"):
        MaxPool2d(2).output_spec(("uint8", (4, 4, 1)))
    with pytest.raises(ModelError, match=r"got bits, wanted float32; put ScaleBias\(\) before it"):
        Softmax().output_spec(("bits", (3,)))
    with pytest.raises(ModelError, match=r"wanted float32$"):
        Softmax().output_spec(("int64", (3,)))


def test_reference_refuses_other_inputs():
    model = Sequential([Input((2, 3), "uint8"), ScaleBias()])
    with pytest.raises(InputTypeError, match="'input': dtype: got float32, wanted uint8"):
        model.reference(np.zeros((1, 2, 3), np.float32))
    with pytest.raises(InputError, match=r"'input': shape: got \(2, 3\), wanted \(N, 2, 3\)"):
        model.reference(np.zeros((2, 3), np.uint8))
    two = Model((*X, TensorSpec("z", "float32", (3,))), (node(),), ("y",))
    with pytest.raises(InputError, match="got 1 arrays, wanted 2"):
        two.reference([np.zeros((1, 3), np.float32)])


def test_reference_of_an_empty_batch():
    layers = [Sign(), BinaryConv2d(np.ones((2, 3, 3, 1))), MaxPool2d(2), Flatten(), ScaleBias(), Softmax()]
    y = Sequential([Input((6, 6, 1)), *layers]).reference(np.zeros((0, 6, 6, 1), np.float32))
    assert (y.shape, y.dtype) == ((0, 8), np.float32)


def test_every_value_and_several_outputs():
    nodes = (
        node("s", Sign(), ("x",), ("bits",)),
        node("f", ScaleBias(2.0), ("bits",), ("y",)),
        node("p", outputs=("p",)),
    )
    model = Model(X, nodes, ("p", "y"))
    x = np.array([[1, -1, 0]], np.float32)
    p, y = model.reference(x)
    np.testing.assert_array_equal(y, [[2, -2, 2]])
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-6)
    values = model.reference(x, all_values=True)
    assert list(values) == ["x", "bits", "y", "p"]
    assert values["bits"].dtype == np.int8
    assert {name: str(spec) for name, spec in model.values.items()} == {
        "x": "float32 (3,)", "bits": "bits (3,)", "y": "float32 (3,)", "p": "float32 (3,)",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "layout"), [((), "N"), ((3,), "NC"), ((4, 5, 3), "NHWC"), ((4, 5), "NDD"), ((1, 2, 3, 4), "NDDDD")]
)
def test_layout(shape, layout):
    assert TensorSpec("x", "float32", shape).layout == layout


def test_names_that_layers_get():
    layers = [ScaleBias(), ScaleBias(name="mine"), ScaleBias(), BatchNorm([1], [0], [0], [1])]
    model = Sequential([Input((1,), name="in"), *layers], name="n")
    assert [n.name for n in model.nodes] == ["scale_bias_1", "mine", "scale_bias_3", "batchnorm_1"]
    assert model.nodes[0].inputs == ("in",)
    assert model.outputs == ("batchnorm_1",)
    assert model.metadata == {"name": "n"}
    assert [line.split()[0] for line in model.summary().splitlines()] == [
        "n", "input", "scale_bias_1", "mine", "scale_bias_3", "batchnorm_1", "output",
    ]  # fmt: skip


def test_layers_keep_their_own_numbers():
    """What a user changes in an array afterwards does not reach the layer, and the layer's arrays refuse to change."""
    weight, vector, flip = np.ones((2, 3), np.float32), np.ones(2, np.float32), np.zeros(2, bool)
    norm_vectors = [np.ones(2) for _ in range(4)]
    words = np.array([[3], [1]], np.uint64)
    dense = Dense(weight, scale=vector, bias=vector)
    threshold, binarize, pool = Threshold(vector, flip), Binarize(vector, flip), MaxPool2d(2, flip=flip)
    norm, bits = BatchNorm(*norm_vectors), BitTensor(words, (2, 3))
    held = [
        dense.weight, dense.scale, dense.bias, threshold.value, threshold.flip, binarize.threshold, binarize.flip,
        pool.flip, norm.gamma, norm.beta, norm.mean, norm.variance, bits.words,
    ]  # fmt: skip
    before = [array.copy() for array in held]
    for array in (weight, vector, *norm_vectors):
        array[:] = 7
    flip[:], words[:] = True, 0
    for array, was in zip(held, before, strict=True):
        np.testing.assert_array_equal(array, was)
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_metadata_is_the_models_own():
    said = {"a": "1"}
    model = Sequential([Input((3,)), Softmax()], metadata=said)
    said["b"] = "2"
    assert model.metadata == {"a": "1"}
    assert model.with_metadata(b="3").metadata == {"a": "1", "b": "3"}


def test_equality_is_by_content():
    def build(bias=0.5, weight=1, name="net"):
        dense = BinaryDense(np.full((2, 3), weight), bias=[bias, 1])
        return Sequential([Input((3,), "uint8"), dense, BatchNorm([1, 2], [0, 0], [0, 0], [1, 1])], name=name)

    assert build() == build()
    assert hash(build()) == hash(build())
    assert build() != build(bias=0.25)
    assert build() != build(weight=-1)
    assert build() != build(name="other")
    assert Dense([[1.0]]) != BinaryDense([[1.0]])
    assert Dense([[1.0]], name="a") == Dense([[1.0]], name="b")
    assert Dense([[1.0]], bias=0) != Dense([[1.0]])
    assert Threshold([0]) != Threshold([0.0])
