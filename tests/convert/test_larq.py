"""Larq's Keras files: converted, and compared with Keras' own answers or with those worked out here.

With BNNENGINE_LARQ_MODELS naming a folder that make_larq_models.py filled, the models in it are compared too.
"""

import copy
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

h5py = pytest.importorskip("h5py", reason="needs the h5py package, which CI has")

from bnnengine import Engine  # noqa: E402
from bnnengine.convert import ConvertError, convert  # noqa: E402
from bnnengine.convert.larq import read  # noqa: E402

# ---- what Keras says ----


@pytest.mark.shared
def test_binarydensenet28_gives_the_logits_of_keras(shared_data, tmp_path):
    folder = shared_data / "larq_binarydensenet28"
    done = convert(folder / "BinaryDenseNet28.model.h5", tmp_path / "net.bnn", check=False)
    assert "23 layers binary, 5 real-valued" in str(done.report)
    solid = [0, 1, 3, 4, 5]  # in input 2 a float32 sum lies within rounding of a threshold
    with np.load(folder / "BinaryDenseNet28.golden.npz") as golden:
        y = Engine.load(tmp_path / "net.bnn").predict(golden["x"][solid])
        logits = golden["logits_keras"][solid].astype(np.float64)
    shares = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))  # the network ends in a softmax
    assert np.abs(np.log(y) - shares).max() < 1e-4 * np.abs(logits).max()


MODELS = {  # binary layers
    "BiRealNet.h5": 16, "BinaryAlexNet.h5": 7, "BinaryDenseNet28.h5": 23, "BinaryResNetE18.h5": 16,
    "MeliusNet22.h5": 34, "MeliusNet22.keras": 34, "QuickNetSmall.h5": 16, "RealToBinaryNet.h5": 16, "XNORNet.h5": 6,
    **{f"{name}.{suffix}": count for suffix in ("h5", "keras") for name, count in (
        ("sequential", 3), ("quantizers", 10), ("paddings", 14), ("real", 0), ("shapes", 0), ("merges", 0),
        ("nested", 5), ("operations", 1), ("sequence", 2), ("vector", 2))},
}  # fmt: skip


@pytest.mark.skipif("BNNENGINE_LARQ_MODELS" not in os.environ, reason="needs models that Larq made")
@pytest.mark.parametrize("name", MODELS)
def test_models_of_larq_answer_as_in_keras(name, tmp_path):
    path = Path(os.environ["BNNENGINE_LARQ_MODELS"]) / name
    done = convert(path, tmp_path / "net.bnn", check=False)
    assert sum(layer.binary for layer in done.report.layers) == MODELS[name]
    with np.load(path.with_suffix(".npz")) as told:
        x, wanted = told["x"], [told[f"y{k}"] for k in range(len(told) - 1)]
    assert len(x) >= 4
    x = x[:, None] if x.ndim == 3 else x  # a sequence is an image one pixel high
    made = Engine.load(tmp_path / "net.bnn").predict(x)
    for y, w in zip(made if isinstance(made, tuple) else (made,), wanted, strict=True):
        assert np.abs(y.reshape(w.shape) - w).max() <= 1e-4 * np.abs(w).max()


# ---- files made by hand ----

LAST = {"data_format": "channels_last"}
SIGN = {"module": "larq.quantizers", "class_name": "SteSign", "config": {"name": "s", "clip_value": 1.25}}
IMAGE = {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [None, 5, 4, 3]}}


def layer(kind, name, **config):
    """A layer's description."""
    return {"class_name": kind, "config": {"name": name, **config}, "name": name}


def conv(name="conv", **config):
    """A binary convolution's."""
    given = {"filters": 6, "kernel_size": [3, 3], "strides": [1, 1], "padding": "same", "dilation_rate": [1, 1],
             "groups": 1, "use_bias": False, "activation": "linear", "pad_values": 0.0,
             "kernel_quantizer": SIGN, "input_quantizer": "ste_sign", **LAST}  # fmt: skip
    return layer("QuantConv2D", name, **{**given, **config})


def chain(*layers):
    """A sequential model's description."""
    return {"class_name": "Sequential", "config": {"name": "net", "layers": [IMAGE, *layers]}}


def graph(*layers, outputs):
    """A functional model's description."""
    inside = {"name": "net", "layers": [{**IMAGE, "name": "x", "inbound_nodes": []}, *layers],
              "input_layers": [["x", 0, 0]], "output_layers": outputs}  # fmt: skip
    return {"class_name": "Functional", "config": inside}


def calls(description, *nodes):
    """A layer of a functional model."""
    return {**description, "inbound_nodes": list(nodes)}


def h5(path, config, weights):
    """As Keras writes it: weights are {"layer/array": numbers}, or {"model/layer/array": numbers}."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(config), "2.15.0"
        file.create_group("model_weights")
        for name, array in weights.items():
            outer, *rest = name.split("/")
            inner = "/".join(rest if len(rest) > 1 else [outer, *rest])
            file[f"model_weights/{outer}/{inner}:0"] = np.asarray(array, np.float32)
    return path


def keras(path, config, weights):
    """As Keras writes it: weights are {"group": [numbers, ...]}."""
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        for group, arrays in weights.items():
            for k, array in enumerate(arrays):
                file[f"{group}/vars/{k}"] = np.asarray(array, np.float32)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", json.dumps(config))
        file.writestr("metadata.json", json.dumps({"keras_version": "2.15.0"}))
        file.writestr("model.weights.h5", data.getvalue())
    return path


def answers(path, *inputs):
    """Of the packed network."""
    return Engine(convert(path, check=False).model.to_bytes()).predict(*inputs)


def signs(x):
    return np.where(x >= 0, 1.0, -1.0)


def convolved(x, w, stride=1, pads=((1, 1), (1, 1)), value=0.0):
    """(N, H, W, C) with (KH, KW, C, O), one window after the other."""
    x = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=value)
    rows, cols = ((x.shape[1 + i] - w.shape[i]) // stride + 1 for i in range(2))
    y = np.zeros((len(x), rows, cols, w.shape[3]))
    for i, j in np.ndindex(rows, cols):
        seen = x[:, i * stride : i * stride + w.shape[0], j * stride : j * stride + w.shape[1]]
        y[:, i, j] = np.tensordot(seen, w, 3)
    return y


@pytest.fixture
def numbers():
    """x with zeros in it, a convolution's and a dense layer's latent weights with zeros in them."""
    rng = np.random.default_rng(3)
    x, w = rng.integers(-2, 3, (7, 5, 4, 3)).astype(np.float32), rng.standard_normal((3, 3, 3, 6)).astype(np.float32)
    w[0, 0, 0] = 0.0
    return x, w, rng.standard_normal((36, 5)).astype(np.float32)


def test_same_padding_is_longer_at_the_end_and_flatten_is_channels_last(tmp_path, numbers):
    x, w, dense = numbers
    config = chain(
        conv(strides=[2, 2], pad_values=1.0),
        layer("Flatten", "flatten", **LAST),
        layer("QuantDense", "dense", units=5, use_bias=True, kernel_quantizer=SIGN, input_quantizer="approx_sign"),
    )
    weights = {"conv/kernel": w, "dense/kernel": dense, "dense/bias": np.arange(5)}
    done = convert(h5(tmp_path / "net.h5", config, weights), check=False)
    assert [layer.binary for layer in done.report.layers] == [True, True]
    assert "Transpose" not in {type(node.layer).__name__ for node in done.model.nodes}
    image = convolved(signs(x), signs(w), 2, ((1, 1), (0, 1)), 1.0)  # 5 rows: as many on both sides; 4 columns: 0 and 1
    wanted = signs(image.reshape(7, -1)) @ signs(dense) + np.arange(5)
    np.testing.assert_array_equal(Engine(done.model.to_bytes()).predict(x), wanted)


def test_magnitudes_are_an_outputs_own(tmp_path, numbers):
    x, w, _ = numbers
    config = chain(conv(kernel_quantizer="magnitude_aware_sign"))
    y = answers(h5(tmp_path / "net.h5", config, {"conv/kernel": w}), x)
    np.testing.assert_allclose(y, convolved(signs(x), signs(w) * np.abs(w).mean((0, 1, 2))), rtol=1e-5, atol=1e-5)


def test_activations_of_0_and_1(tmp_path, numbers):
    x, w, _ = numbers
    for quantizer, level in (("ste_heaviside", 0.0), ({"class_name": "DoReFa", "config": {"k_bit": 1}}, 0.5)):
        done = convert(h5(tmp_path / "net.h5", chain(conv(input_quantizer=quantizer)), {"conv/kernel": w}), check=False)
        assert done.report.layers[0].binary
        halves = x / 2  # 0 and 0.5 among them
        y = Engine(done.model.to_bytes()).predict(halves)
        np.testing.assert_array_equal(y, convolved((halves > level).astype(float), signs(w)))


def test_depthwise_multipliers(tmp_path, numbers):
    x, w, _ = numbers
    given = {"padding": "valid", "use_bias": True, "depthwise_quantizer": SIGN, "input_quantizer": SIGN, **LAST}
    config = chain(layer("QuantDepthwiseConv2D", "deep", depth_multiplier=2, **given))
    kernel, bias = w[..., :2], np.arange(6.0)
    y = answers(h5(tmp_path / "net.h5", config, {"deep/depthwise_kernel": kernel, "deep/bias": bias}), x)
    none = ((0, 0), (0, 0))
    wanted = [convolved(signs(x[..., c : c + 1]), signs(kernel[:, :, c : c + 1]), 1, none) for c in range(3)]
    np.testing.assert_array_equal(y, np.concatenate(wanted, -1) + bias)


def keras_2(*names):
    return [[[name, 0, 0, {}] for name in names]]


def keras_3(*names):
    tensors = [
        {"class_name": "__keras_tensor__", "config": {"shape": [None, 1], "keras_history": [name, 0, 0]}}
        for name in names
    ]
    return [{"args": tensors if len(names) == 1 else [tensors], "kwargs": {}}]


@pytest.mark.parametrize("nodes", [keras_2, keras_3])
def test_graphs_of_both_kerases(tmp_path, numbers, nodes):
    x, w, _ = numbers
    config = graph(
        {**layer("Concatenate", "join", axis=-1), "inbound_nodes": nodes("a", "b")},  # before what it reads
        {**conv("a"), "inbound_nodes": nodes("x")},
        {**conv("b", pad_values=-1.0), "inbound_nodes": nodes("x")},
        outputs=["join", 0, 0] if nodes is keras_3 else [["join", 0, 0]],
    )
    y = answers(h5(tmp_path / "net.h5", config, {"a/kernel": w, "b/kernel": -w}), x)
    wanted = [convolved(signs(x), signs(w)), convolved(signs(x), signs(-w), value=-1.0)]
    np.testing.assert_array_equal(y, np.concatenate(wanted, axis=-1))


def test_a_model_within_a_model_is_called_twice(tmp_path, numbers):
    x, w, _ = numbers
    w = w[..., :3]
    inner = {"class_name": "Sequential", "name": "inner", "config": {"name": "inner", "layers": [IMAGE, conv("c")]}}
    config = graph(
        calls(inner, [[["x", 0, 0, {}]]], [[["inner", 1, 0, {}]]]),  # Keras leaves out the call on its own
        outputs=[["inner", 2, 0], ["inner", 1, 0]],
    )
    wanted = convolved(signs(x), signs(w))
    for path in (
        h5(tmp_path / "net.h5", config, {"inner/c/kernel": w}),
        keras(tmp_path / "net.keras", config, {"layers/sequential/layers/quant_conv2d": [w]}),
    ):
        twice, once = answers(path, x)
        np.testing.assert_array_equal(once, wanted)
        np.testing.assert_array_equal(twice, convolved(signs(wanted), signs(w)))


def test_layers_of_a_zip_are_counted_by_their_classes(tmp_path, numbers):
    x, w, _ = numbers
    stats = {"moving_mean": np.zeros(6), "moving_variance": np.ones(6), "beta": np.arange(6) / 2}
    config = chain(
        layer("BatchNormalization", "first", axis=[3], epsilon=0.0, scale=False),
        conv("second"),
        layer("BatchNormalization", "third", axis=-1, epsilon=0.0, scale=False),
    )
    weights = {
        "layers/batch_normalization": [np.full(3, 0.5), np.zeros(3), np.ones(3)],
        "layers/quant_conv2d": [w],
        "layers/batch_normalization_1": [stats["beta"], stats["moving_mean"], stats["moving_variance"]],
    }
    y = answers(keras(tmp_path / "net.keras", config, weights), x)
    np.testing.assert_array_equal(y, convolved(signs(x + 0.5), signs(w)) + stats["beta"])


def operation(function, *node):
    return calls(layer("TFOpLambda", f"tf.{function}", function=function), *node)


def test_functions_of_tensorflow(tmp_path, numbers):
    x = numbers[0]
    config = graph(
        operation("math.subtract", ["_CONSTANT_VALUE", -1, 2.0, {"y": ["x", 0, 0], "name": None}]),
        operation("math.multiply", ["tf.math.subtract", 0, 0, {"y": ["x", 0, 0]}]),
        operation("concat", [["tf.math.multiply", 0, 0, {"axis": -1}], ["x", 0, 0, {"axis": -1}]]),
        operation("split", ["tf.concat", 0, 0, {"num_or_size_splits": [2, 4], "axis": -1}]),
        operation("math.reduce_mean", ["tf.split", 0, 1, {"axis": [1, 2], "keepdims": False}]),
        outputs=[["tf.split", 0, 0], ["tf.math.reduce_mean", 0, 0]],
    )
    both = np.concatenate([(2 - x) * x, x], axis=-1)
    first, mean = answers(h5(tmp_path / "net.h5", config, {}), x)
    np.testing.assert_allclose(first, both[..., :2], rtol=1e-6)
    np.testing.assert_allclose(mean, both[..., 2:].mean((1, 2)), rtol=1e-5, atol=1e-6)


def lambda_of(module, name, closure=None):
    return layer("Lambda", name, function=["not even bytecode", None, closure], module=module)


def test_lambdas_of_larq_zoo_are_known_and_never_run(tmp_path, numbers):
    x = numbers[0]
    config = graph(
        calls(lambda_of("larq_zoo.core.utils", "cut", [[3], {"axis": -1}, "split"]), [[["x", 0, 0, {}]]]),
        calls(lambda_of("larq_zoo.literature.real_to_bin_nets", "block_out"), [[["cut", 0, 2, {}]]]),
        calls(
            lambda_of("larq_zoo.literature.meliusnet", "m_merge", [3]),
            [[["x", 0, 0, {}], ["block_out", 0, 0, {}]]],
        ),
        outputs=[["m_merge", 0, 0]],
    )
    wanted = np.concatenate([x[..., :2], 2 * x[..., 2:]], axis=-1)
    np.testing.assert_array_equal(answers(h5(tmp_path / "net.h5", config, {}), x), wanted)


def test_hard_sigmoid_is_the_kerases_own(tmp_path, numbers):
    x = numbers[0]
    path = h5(tmp_path / "net.h5", chain(layer("Activation", "a", activation="hard_sigmoid")), {})
    np.testing.assert_allclose(answers(path, x), np.clip(0.2 * x + 0.5, 0, 1), rtol=1e-6)
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = "3.4.1"
    np.testing.assert_allclose(answers(path, x), np.clip(x / 6 + 0.5, 0, 1), rtol=1e-6)


# ---- what is refused ----

REFUSED = [
    (conv(kernel_quantizer="ste_tern"), "ste_tern has three values"),
    (conv(input_quantizer={"class_name": "SteTern", "config": {}}), "ste_tern has three values"),
    (conv(input_quantizer="dorefa_quantizer"), "k_bit: got 2, wanted 1"),
    (conv(kernel_quantizer={"class_name": "DoReFa", "config": {"k_bit": 4, "mode": "weights"}}), "k_bit: got 4"),
    (conv(input_quantizer="magnitude_aware_sign"), "mean of a whole batch"),
    (conv(kernel_quantizer="my_own"), "quantizer 'my_own' is not known"),
    (conv(data_format="channels_first"), "data_format: got 'channels_first', wanted 'channels_last'"),
    (conv(pad_values=0.5), "pad_values: got 0.5, wanted 0, 1 or -1"),
    (conv(padding="causal"), "padding: got 'causal', wanted 'valid' or 'same'"),
    (conv(strides=[0, 1]), "strides"),
    (conv(kernel_size=[3, 3], use_bias=True), "weights: bias: got 0 arrays"),
    (layer("Activation", "a", activation="mish"), "activation 'mish' is not known"),
    (layer("Activation", "a", activation={"class_name": "__lambda__", "config": {}}), "'__lambda__' is not known"),
    (lambda_of("my.module", "l"), "bytecode, which is not run: put Keras layers in its place"),
    (lambda_of("larq_zoo.core.utils", "l", [[], {}, "eval"]), "bytecode, which is not run"),
    (layer("Permute", "p", dims=[2, 1, 3]), "there is no layer for this class"),
    (layer("MyLayer", "mine"), "layer 'mine' .MyLayer.: there is no layer for this class"),
    (layer("BatchNormalization", "b", axis=[1]), "axis: got 1, wanted the channels"),
    (layer("Concatenate", "c", axis=0), "axis: got 0"),
    (layer("UpSampling2D", "u", size=[2, 2], interpolation="bilinear"), "interpolation: got 'bilinear'"),
    (layer("Reshape", "r", target_shape=[7, 7]), "target_shape"),
    (layer("MaxPooling2D", "m", pool_size=[9, 9]), "larger than the input"),
    (layer("TFOpLambda", "t", function="math.sign"), "function tf.math.sign is not taken"),
]


@pytest.mark.parametrize(("refused", "said"), REFUSED, ids=[said[:30] for _, said in REFUSED])
def test_what_cannot_be_taken_is_named(tmp_path, numbers, refused, said):
    with pytest.raises(ConvertError, match=said) as caught:
        read(h5(tmp_path / "net.h5", chain(refused), {"conv/kernel": numbers[1]}))
    assert f"layer '{refused['name']}'" in str(caught.value)


def test_all_layers_that_cannot_be_taken_are_named_at_once(tmp_path):
    config = graph(
        calls(layer("Permute", "p"), [[["x", 0, 0, {}]]]),
        calls(layer("MyLayer", "q"), [[["x", 0, 0, {}]]]),
        calls(layer("Add", "behind"), [[["p", 0, 0, {}], ["q", 0, 1, {}]]]),
        outputs=[["behind", 0, 0]],
    )
    with pytest.raises(ConvertError, match=r"'p'.*'q'") as caught:
        read(h5(tmp_path / "net.h5", config, {}))
    assert "behind" not in str(caught.value)


def test_files_that_are_no_whole_model(tmp_path, numbers):
    path = tmp_path / "net.h5"
    with h5py.File(path, "w") as file:
        file["conv/kernel:0"] = numbers[1]
    with pytest.raises(ConvertError, match="save the whole model, not its weights alone"):
        read(path)
    free = copy.deepcopy(chain(conv()))
    free["config"]["layers"][0]["config"]["batch_input_shape"] = [None, None, None, 3]
    with pytest.raises(ConvertError, match="build the network for one size of image"):
        read(h5(path, free, {"conv/kernel": numbers[1]}))
    with pytest.raises(ConvertError, match="weights: kernel: got 0 arrays"):
        read(h5(path, chain(conv()), {}))
    with pytest.raises(ConvertError, match="kernel: shape"):
        read(h5(path, chain(conv()), {"conv/kernel": np.ones((3, 3, 2, 6))}))
    path.write_bytes(b"")
    with pytest.raises(ConvertError, match="not an HDF5 file"):
        read(path)


def test_circles_and_missing_layers_are_refused(tmp_path):
    for reads in (["b", 0, 0, {}], ["nowhere", 0, 0, {}], ["x", 3, 0, {}]):
        config = graph(
            calls(layer("Add", "a"), [[["x", 0, 0, {}], reads]]),
            calls(layer("ReLU", "b"), [[["a", 0, 0, {}]]]),
            outputs=[["b", 0, 0]],
        )
        with pytest.raises(ConvertError, match="they read what nothing makes"):
            read(h5(tmp_path / "net.h5", config, {}))


def test_a_bomb_in_a_zip_is_refused(tmp_path):
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", b" " * (1 << 26))
        file.writestr("metadata.json", b"{}")
    with pytest.raises(ConvertError, match="it unpacks to 67108864 bytes"):
        read(path)


# ---- mutated files ----


def emitted(path):
    """Whether a file becomes a network; whatever it holds, a ConvertError is all that may come."""
    try:
        convert(path, check=False)
    except ConvertError:
        return False
    return True


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # weights that are no numbers
def test_mutated_bytes_are_read_or_refused(tmp_path, numbers):
    _, w, dense = numbers
    config = chain(conv(strides=[2, 2]), layer("Flatten", "f"), layer("Dense", "d", use_bias=False))
    whole = h5(tmp_path / "net.h5", config, {"conv/kernel": w, "d/kernel": dense}).read_bytes()
    structure = [i for i, byte in enumerate(whole) if byte]
    rng, taken = np.random.default_rng(0), 0
    for _ in range(600):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            data[rng.choice(structure)] = rng.choice([0, 1, 127, 255, rng.integers(256)])
        (tmp_path / "net.h5").write_bytes(bytes(data))
        taken += emitted(tmp_path / "net.h5")
    assert 20 < taken < 580


ODD = [None, True, -1, 0, 3, 1 << 40, 1.5, float("nan"), "", "relu", "x", [], [1], [[0]], ["x", 0, 0], {}, {"a": 1}]


def changed(value, rng, chance):
    """A description with some of its values replaced."""
    if rng.random() < chance:
        return copy.deepcopy(ODD[rng.integers(len(ODD))])
    if isinstance(value, dict):
        return {key: changed(item, rng, chance) for key, item in value.items() if rng.random() > chance / 4}
    return [changed(item, rng, chance) for item in value] if isinstance(value, list) else value


def test_mutated_descriptions_are_read_or_refused(tmp_path, numbers):
    _, w, dense = numbers
    kinds = ["ReLU", "PReLU", "LeakyReLU", "Softmax", "Flatten", "Reshape", "MaxPooling2D", "AveragePooling2D",
             "Lambda", "GlobalAveragePooling2D", "ZeroPadding2D", "UpSampling2D", "Concatenate", "Average", "Dense",
             "TFOpLambda", "BatchNormalization", "Activation", "QuantSeparableConv2D", "QuantConv1D", "Rescaling",
             "SteSign"]  # fmt: skip
    extra = {"axis": -1, "target_shape": [-1], "pool_size": [2, 2], "padding": [[1, 1], [0, 1]], "size": [2, 2],
             "function": "math.add", "activation": "relu", "alpha": 0.1, "max_value": 3.0}  # fmt: skip
    rng, taken = np.random.default_rng(1), 0
    for _ in range(1500):
        kind = kinds[rng.integers(len(kinds))]
        config = graph(
            calls(conv(), [[["x", 0, 0, {}]]]),
            calls(layer(kind, "k", **extra), [[["conv", 0, 0, {}]]]),
            calls(layer("Add", "a"), [[["k", 0, 0, {}], ["conv", 0, 0, {}]]]),
            outputs=[["a" if rng.random() < 0.5 else "k", 0, 0]],
        )
        config = changed(config, rng, 0.02)
        path = keras(
            tmp_path / "net.keras", config, {"layers/quant_conv2d": [w], "layers/dense": [dense[:6], dense[0]]}
        )
        taken += emitted(path)
    assert 50 < taken < 1450


def test_a_deep_description_is_refused(tmp_path):
    deep = '{"class_name": "Sequential", "config": ' + "[" * 200_000 + "]" * 200_000 + "}"
    with h5py.File(tmp_path / "net.h5", "w") as file:
        file.attrs["model_config"] = deep
        file.create_group("model_weights")
    with pytest.raises(ConvertError):
        read(tmp_path / "net.h5")
