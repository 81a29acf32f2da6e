"""Larq models with random weights and Keras' own answers, for test_larq.py: make_larq_models.py DIR [NAME ...].

Needs tensorflow 2.15, larq 0.14 and larq-zoo 2.4 (and larq-compute-engine 0.16 for .tflite), in an environment of their
own; see ../../docs/convert.md. Each model becomes NAME.h5 and NAME.npz with x and what Keras answers, y0, y1, ...; the
small ones NAME.keras too, and NAME.tflite where that converts. Inputs on which Keras itself answers otherwise when they
are changed by a millionth are left out: there a sign lies within rounding.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import larq as lq
import larq_zoo as zoo
import numpy as np
import tensorflow as tf

keras = tf.keras
layers = keras.layers
BINARY = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}


def sequential():
    """A chain, where a Flatten of several pixels and channels stands before binary dense layers."""
    norm = {"momentum": 0.9, "scale": False}
    return keras.Sequential(
        [
            lq.layers.QuantConv2D(16, 3, kernel_quantizer="ste_sign", use_bias=False, input_shape=(14, 12, 3)),
            layers.MaxPool2D(2),
            layers.BatchNormalization(**norm),
            lq.layers.QuantConv2D(24, 3, padding="same", use_bias=False, **BINARY),
            layers.BatchNormalization(center=False),
            layers.Dropout(0.5),
            layers.Flatten(),
            lq.layers.QuantDense(32, use_bias=False, **BINARY),
            layers.BatchNormalization(scale=False, center=False),
            lq.layers.QuantDense(10, **BINARY),
            layers.BatchNormalization(),
            layers.Activation("softmax"),
        ]
    )


def quantizers():
    """Every quantizer, each by a name or an object, on an input that holds exact zeros and halves."""
    x = keras.Input((6, 6, 8))
    q = lq.quantizers
    pairs = [
        ("ste_sign", "ste_sign"),
        ("approx_sign", "magnitude_aware_sign"),
        ("swish_sign", "swish_sign"),
        (q.SteSign(1.3), q.ApproxSign()),
        ("ste_heaviside", "ste_sign"),
        (q.DoReFa(k_bit=1), q.SwishSign(beta=3.0)),
        (q.SteSign(), q.DoReFa(k_bit=1, mode="weights")),
        (q.NoOp(precision=1), q.NoOp(precision=1)),
        (None, "ste_heaviside"),
        (None, q.MagnitudeAwareSign()),
    ]
    conv = [lq.layers.QuantConv2D(5, 3, padding="same", input_quantizer=i, kernel_quantizer=k)(x) for i, k in pairs]
    deep = lq.layers.QuantDepthwiseConv2D(
        3, depth_multiplier=2, input_quantizer="ste_sign", depthwise_quantizer="magnitude_aware_sign"
    )(x)
    both = lq.layers.QuantSeparableConv2D(
        6, 3, padding="same", pad_values=1.0, strides=2, input_quantizer="ste_sign", depthwise_quantizer="ste_sign",
        pointwise_quantizer="magnitude_aware_sign", depth_multiplier=2,
    )(x)  # fmt: skip
    dense = lq.layers.QuantDense(7, **BINARY)(
        layers.Flatten()(layers.Activation(q.ApproxSign())(q.NoOp(precision=1)(x)))
    )
    return keras.Model(x, [*conv, deep, both, dense])


def paddings():
    """TensorFlow's same padding, more of it at the end, with values of its own, strides and dilation."""
    x = keras.Input((11, 8, 4))
    made = []
    windows = ((3, 2, 1), (2, 1, 1), ((5, 2), (3, 2), 1), (3, 1, 2))
    for value in (0.0, 1.0, -1.0):
        for kernel, strides, dilation in windows:
            made.append(
                lq.layers.QuantConv2D(
                    6, kernel, strides=strides, dilation_rate=dilation, padding="same", pad_values=value, **BINARY
                )(x)
            )
    made.append(lq.layers.QuantConv2D(6, 3, strides=2, pad_values=1.0, **BINARY)(x))
    deep = {"input_quantizer": "ste_sign", "depthwise_quantizer": "ste_sign"}
    made.append(lq.layers.QuantDepthwiseConv2D(3, strides=2, padding="same", pad_values=-1.0, **deep)(x))
    return keras.Model(x, made)


def real():
    """Real-valued convolutions, functions and norms."""
    x = keras.Input((9, 10, 4))
    made = [
        layers.Conv2D(6, 3, groups=2, strides=2, padding="same", activation="relu")(x),
        layers.Conv2D(6, (2, 3), dilation_rate=(2, 1), activation="relu6")(x),
        layers.DepthwiseConv2D(3, depth_multiplier=3, padding="same")(x),
        layers.SeparableConv2D(6, 3, depth_multiplier=2, activation="tanh")(x),
        layers.Dense(5, activation="sigmoid")(x),
        layers.BatchNormalization(scale=False)(x),
        layers.PReLU(shared_axes=[1, 2])(x),
        layers.LeakyReLU(0.2)(x),
        layers.ReLU(max_value=1.5)(x),
        layers.ReLU(negative_slope=0.3)(x),
        layers.ReLU(threshold=0.5)(x),
        layers.ThresholdedReLU(0.4)(x),
        layers.Activation("hard_sigmoid")(x),
        layers.Activation("swish")(x),
        layers.Activation("gelu")(x),
        layers.Activation("hard_tanh")(x),
    ]
    return keras.Model(x, made)


def shapes():
    """Pools, and layers that move numbers."""
    x = keras.Input((9, 10, 4))
    made = [
        layers.MaxPool2D(3, strides=2, padding="same")(x),
        layers.MaxPool2D(2)(x),
        layers.AvgPool2D(3, strides=2, padding="same")(x),
        layers.AvgPool2D((2, 3))(x),
        layers.GlobalAvgPool2D()(x),
        layers.GlobalAvgPool2D(keepdims=True)(x),
        layers.GlobalMaxPool2D()(x),
        layers.ZeroPadding2D(((1, 2), (0, 3)))(x),
        # Larq Compute Engine's converter makes this border its "same", which it is not for an even width
        layers.Conv2D(3, 3, strides=2)(layers.ZeroPadding2D(1)(x)),
        layers.UpSampling2D((2, 3))(x),
        layers.Rescaling(0.5, offset=-1.0)(x),
        layers.Softmax()(layers.Dense(5)(layers.Flatten()(x))),
        layers.Reshape((10, 9, 4))(x),
    ]
    return keras.Model(x, made)


def merges():
    """Several values."""
    x = keras.Input((9, 10, 4))
    other = layers.Conv2D(4, 1)(x)
    third = layers.Conv2D(4, 1)(x)
    gate = layers.Reshape((1, 1, 4))(layers.GlobalAvgPool2D()(x))
    made = [
        layers.Add()([x, other, third]),
        layers.Subtract()([x, other]),
        layers.Multiply()([x, gate]),
        layers.Average()([x, other]),
        layers.Concatenate()([x, other]),
        layers.Concatenate(axis=1)([x, other]),
        layers.Concatenate(axis=-1)([layers.GlobalAvgPool2D()(x), layers.GlobalMaxPool2D()(other)]),
    ]
    return keras.Model(x, made)


def nested():
    """Models in models; one of them is called twice, and one has two outputs."""
    chain = keras.Sequential(
        [lq.layers.QuantConv2D(8, 3, padding="same", use_bias=False, **BINARY), layers.BatchNormalization()],
        name="chain",
    )
    y = keras.Input((8, 8, 8))
    deep = keras.Sequential([layers.InputLayer((8, 8, 8)), layers.Conv2D(4, 1), layers.BatchNormalization()])
    forked = keras.Model(y, [layers.Concatenate()([deep(y), layers.PReLU(shared_axes=[1, 2])(y)]), deep(y)])
    x = keras.Input((8, 8, 3))
    z = layers.Conv2D(8, 3, padding="same")(x)
    z = layers.Add()([chain(z), z])
    z = layers.Add()([chain(z), z])
    wide, narrow = forked(z)
    shared = lq.layers.QuantConv2D(4, 3, padding="same", **BINARY)
    return keras.Model(x, [layers.Flatten()(wide), layers.Add()([shared(narrow), shared(shared(narrow))])])


def operations():
    """Python's operators and functions of TensorFlow between layers."""
    x = keras.Input((6, 6, 4))
    y = lq.layers.QuantConv2D(4, 3, padding="same", **BINARY)(x)
    z = x + y
    z = (2.0 - z) * 0.5 - tf.reduce_mean(z, axis=[1, 2], keepdims=True)
    parts = tf.split(tf.concat([tf.nn.relu(z), -z, tf.abs(x) / 3.0], axis=-1), 3, axis=-1)
    return keras.Model(x, [z, parts[0] * parts[1], tf.clip_by_value(parts[2], 0.1, 0.4), tf.math.sigmoid(x)])


def sequence():
    """One-dimensional layers."""
    return keras.Sequential(
        [
            layers.Conv1D(8, 5, strides=2, padding="same", input_shape=(40, 3)),
            layers.BatchNormalization(),
            lq.layers.QuantConv1D(12, 3, padding="same", pad_values=1.0, use_bias=False, **BINARY),
            layers.MaxPool1D(2),
            layers.BatchNormalization(),
            lq.layers.QuantConv1D(12, 3, padding="causal", dilation_rate=2, use_bias=False, **BINARY),
            layers.Flatten(),
            layers.Dense(5),
        ]
    )


def vector():
    """From a vector to an image and back."""
    return keras.Sequential(
        [
            layers.Reshape((6, 5, 4), input_shape=(120,)),
            lq.layers.QuantConv2D(8, 3, **BINARY),
            layers.BatchNormalization(),
            layers.Reshape((-1,)),
            lq.layers.QuantDense(9, kernel_quantizer="magnitude_aware_sign", input_quantizer="ste_heaviside"),
        ]
    )


SMALL = (sequential, quantizers, paddings, real, shapes, merges, nested, operations, sequence, vector)
ZOO = {
    "BinaryAlexNet": (zoo.literature.BinaryAlexNet, 64),
    "BinaryDenseNet28": (zoo.literature.BinaryDenseNet28, 64),
    "BinaryResNetE18": (zoo.literature.BinaryResNetE18, 64),
    "BiRealNet": (zoo.literature.BiRealNet, 64),
    "MeliusNet22": (zoo.literature.MeliusNet22, 64),
    "QuickNetSmall": (zoo.sota.QuickNetSmall, 64),
    "RealToBinaryNet": (zoo.literature.RealToBinaryNet, 64),
    "XNORNet": (zoo.literature.XNORNet, 224),  # its first dense layer is a convolution of 6 x 6
}

QUICK = ("BinaryAlexNet", "BiRealNet", "QuickNetSmall")  # to convert to .tflite


def shake(model, rng):
    """Random statistics, slopes and biases, so that nothing is hidden behind a 0 or a 1."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            shake(layer, rng)
            continue
        for variable in layer.weights:
            name, shape = variable.name.rsplit("/", 1)[-1].split(":")[0], variable.shape
            if name in ("gamma", "alpha"):
                variable.assign(rng.uniform(0.3, 1.2, shape) * rng.choice([1, 1, 1, -1], shape))
            elif name in ("beta", "bias"):
                variable.assign(0.3 * rng.standard_normal(shape))
            elif name == "moving_mean":
                variable.assign(0.2 * rng.standard_normal(shape))
            elif name == "moving_variance":
                variable.assign(rng.uniform(0.5, 2, shape))


def outputs(model, x):
    """Keras' answers, as a list."""
    made = model(x, training=False)
    return [np.asarray(y) for y in (made if isinstance(made, (list, tuple)) else [made])]


def solid(model, x):
    """The inputs on which no answer hangs on the last bits."""
    found = outputs(model, x)
    stays = np.ones(len(x), bool)
    for factor in (1 - 1e-6, 1 + 1e-6):
        for y, other in zip(found, outputs(model, (x * np.float32(factor)).astype(np.float32)), strict=True):
            changed = np.abs(y - other).reshape(len(x), -1).max(axis=1)
            stays &= changed < 2e-5 * np.abs(y).max()
    return x[stays], [y[stays] for y in found]


def to_tflite(model, path):
    """Through Larq Compute Engine, where it is installed and takes the model."""
    try:
        import larq_compute_engine as lce

        path.write_bytes(lce.convert_keras_model(model))
    except Exception as error:  # many kinds
        print(f"{path.name}: {str(error)[:100]}", flush=True)


def make(folder, name, model, x, rng, *, small):
    """The files of a model."""
    shake(model, rng)
    if not small:  # logits of 10 classes that a softmax does not saturate
        last = [layer for layer in model.layers if layer.weights][-1]
        spread = np.std(keras.Model(model.input, last.output)(x[:2]).numpy())
        if isinstance(last, layers.BatchNormalization):
            last.moving_variance.assign(last.moving_variance * (spread / 1.5) ** 2)
        else:
            last.set_weights([w * np.float32(1.5 / spread) for w in last.get_weights()])
    x, y = (x, outputs(model, x)) if name == "quantizers" else solid(model, x)
    np.savez(folder / f"{name}.npz", x=x, **{f"y{k}": value for k, value in enumerate(y)})
    model.save(folder / f"{name}.h5", include_optimizer=False)
    if small or name == "MeliusNet22":  # whose Lambda layers are written in another way there
        model.save(folder / f"{name}.keras")
    if small or name in QUICK:
        to_tflite(model, folder / f"{name}.tflite")
    print(
        f"{name}: {len(x)} inputs, {len(y)} outputs of up to {max(np.abs(v).max(initial=0) for v in y):.3g}", flush=True
    )


def main(folder, names):
    """All models, or some."""
    folder.mkdir(parents=True, exist_ok=True)
    for build in SMALL:
        name = build.__name__
        if names and name not in names:
            continue
        keras.utils.set_random_seed(1)
        model, rng = build(), np.random.default_rng(1)
        x = rng.standard_normal((8, *model.input_shape[1:])).astype(np.float32)
        x = np.round(x * 4) / 4 if name == "quantizers" else x
        make(folder, name, model, x, rng, small=True)
    for name, (build, size) in ZOO.items():
        if names and name not in names:
            continue
        keras.utils.set_random_seed(2)
        rng = np.random.default_rng(2)
        model = build(weights=None, input_shape=(size, size, 3), num_classes=10)
        x = rng.standard_normal((4 if size > 64 else 8, size, size, 3)).astype(np.float32)
        make(folder, name, model, x, rng, small=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
