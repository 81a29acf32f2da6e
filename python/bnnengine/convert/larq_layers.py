"""Keras' and Larq's layers as operators of the plain graph, by the names of their classes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bnnengine.convert.ir import Array
from bnnengine.convert.keras_build import Builder, Fields, Layer, Tensor
from bnnengine.convert.larq_quantizers import activate, quantize, quantized_weights
from bnnengine.errors import ConvertError

Made = Tensor | list[Tensor]
Handler = Callable[[Builder, Layer, list[Tensor]], Made]

DROPPED = (
    "ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D",
    "SpatialDropout2D",
)  # fmt: skip


def _one(xs: Sequence[Tensor]) -> Tensor:
    if len(xs) != 1:
        raise ConvertError(f"inputs: got {len(xs)}, wanted 1")
    return xs[0]


def _weights(layer: Layer, *names: str, bias: bool = True) -> tuple[list[Array], Array | None]:
    """The layer's arrays of these names, and its bias."""
    has_bias = bias and layer.fields.flag("use_bias", True)
    found = layer.weights([*names, *(["bias"] if has_bias else [])])
    return found[: len(names)], found[len(names)] if has_bias else None


def _ranked(array: Array, rank: int, name: str) -> Array:
    if array.ndim != rank or not array.size:
        raise ConvertError(f"weights: {name}: shape: got {array.shape}, wanted {rank} axes")
    return array


# ---- sums ----


def _quantized(b: Builder, layer: Layer, x: Tensor) -> Tensor:
    """The input behind its quantizer, or another function that stands there."""
    given = layer.fields.get("input_quantizer")
    if given is None:
        return x
    made = quantize(b, x, given)
    return activate(b, x, given) if made is None else made


def _image_kernel(kernel: Array, x: Tensor) -> Array:
    """A sequence's kernel as one of an image one pixel high."""
    return _ranked(kernel if len(x.shape) == 3 else kernel[None], 4, "kernel")


def _window(layer: Layer, rank: int) -> dict[str, Any]:
    """Strides, dilation and padding."""
    layer.fields.channels_last()
    paddings = ("valid", "same", "causal") if rank == 1 else ("valid", "same")
    found: dict[str, Any] = {
        "strides": layer.fields.pair("strides", 1, rank),
        "dilation": layer.fields.pair("dilation_rate", 1, rank),
        "padding": layer.fields.choice("padding", *paddings),
    }
    outside = layer.fields.number("pad_values", 0.0)
    if outside not in (0, 1, -1):
        raise ConvertError(f"pad_values: got {outside:g}, wanted 0, 1 or -1")
    found["pad_value"] = outside if found["padding"] == "same" else 0.0
    return found


def _conv(b: Builder, layer: Layer, xs: list[Tensor], rank: int) -> Tensor:
    x = _quantized(b, layer, _one(xs))
    (kernel,), bias = _weights(layer, "kernel")
    kernel = _image_kernel(quantized_weights(kernel, layer.fields.get("kernel_quantizer")), x)
    groups = int(layer.fields.number("groups", 1))
    y = b.conv(x, kernel.transpose(3, 2, 0, 1), bias, groups=max(groups, 1), **_window(layer, rank))
    return activate(b, y, layer.fields.get("activation"))


def _depthwise_kernel(kernel: Array) -> Array:
    """(height, width, channels, multiplier) as (outputs, 1, height, width)."""
    kernel = _ranked(kernel, 4, "depthwise_kernel").transpose(2, 3, 0, 1)
    return kernel.reshape(-1, 1, *kernel.shape[2:])


def _depthwise(b: Builder, layer: Layer, xs: list[Tensor]) -> Tensor:
    x = _quantized(b, layer, _one(xs))
    (kernel,), bias = _weights(layer, "depthwise_kernel")
    kernel = _depthwise_kernel(quantized_weights(kernel, layer.fields.get("depthwise_quantizer")))
    y = b.conv(x, kernel, bias, groups=x.shape[-1], **_window(layer, 2))
    return activate(b, y, layer.fields.get("activation"))


def _separable(b: Builder, layer: Layer, xs: list[Tensor], rank: int) -> Tensor:
    """A depthwise convolution, and one of a pixel."""
    x = _quantized(b, layer, _one(xs))
    (deep, point), bias = _weights(layer, "depthwise_kernel", "pointwise_kernel")
    deep = _image_kernel(quantized_weights(deep, layer.fields.get("depthwise_quantizer")), x)
    point = _image_kernel(quantized_weights(point, layer.fields.get("pointwise_quantizer")), x)
    middle = b.conv(x, _depthwise_kernel(deep), None, groups=x.shape[-1], **_window(layer, rank))
    y = b.conv(middle, point.transpose(3, 2, 0, 1), bias)
    return activate(b, y, layer.fields.get("activation"))


def _dense(b: Builder, layer: Layer, xs: list[Tensor]) -> Tensor:
    x = _quantized(b, layer, _one(xs))
    (kernel,), bias = _weights(layer, "kernel")
    kernel = _ranked(quantized_weights(kernel, layer.fields.get("kernel_quantizer")), 2, "kernel")
    if kernel.shape[0] != x.shape[-1] or (bias is not None and bias.shape != kernel.shape[1:]):
        raise ConvertError(f"weights: kernel: shape {kernel.shape}, on {x.shape[-1]} channels")
    if len(x.shape) > 1:  # on every pixel
        y = b.conv(x, kernel.T[:, :, None, None], bias)
    else:
        inputs: list[Tensor | str] = [x, b.constant(kernel), *([] if bias is None else [b.constant(bias)])]
        y = b.emit("Gemm", inputs, [kernel.shape[1]])
    return activate(b, y, layer.fields.get("activation"))


# ---- norms and functions ----


def _batch_norm(b: Builder, layer: Layer, xs: list[Tensor]) -> Tensor:
    x = _one(xs)
    axis = layer.fields.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if axis not in (-1, len(x.shape)):
        raise ConvertError(f"axis: got {axis}, wanted the channels, -1")
    has = {"gamma": layer.fields.flag("scale", True), "beta": layer.fields.flag("center", True)}
    names = [*(name for name, there in has.items() if there), "moving_mean", "moving_variance"]
    found = dict(zip(names, layer.weights(names), strict=True))
    channels = x.shape[-1]
    found = {"gamma": np.ones(channels), "beta": np.zeros(channels), **found}
    for name, array in found.items():
        if array.shape != (channels,):
            raise ConvertError(f"weights: {name}: shape: got {array.shape}, wanted ({channels},)")
    arrays = [b.constant(found[name]) for name in ("gamma", "beta", "moving_mean", "moving_variance")]
    epsilon = layer.fields.number("epsilon", 1e-3)
    return b.emit("BatchNormalization", [x, *arrays], x.shape, epsilon=epsilon)


def _activation(b: Builder, layer: Layer, xs: list[Tensor]) -> Tensor:
    return activate(b, _one(xs), layer.fields.get("activation"))


def _quantizer(b: Builder, layer: Layer, xs: list[Tensor]) -> Tensor:
    """A quantizer that stands as a layer of its own."""
    return activate(b, _one(xs), {"class_name": layer.kind, "config": layer.fields.config})


def _above(b: Builder, x: Tensor, level: float) -> Tensor:
    """x where it is above a level, else 0."""
    above = np.nextafter(np.float32(level), np.float32(np.inf)).reshape(())
    return b.merged("Mul", x, b.emit("Step", [x, b.constant(above)], x.shape))


def _relu(b: Builder, layer: Layer, xs: list[Tensor]) -> Tensor:
    x, fields = _one(xs), layer.fields
    slope, threshold = fields.number("negative_slope", 0.0), fields.number("threshold", 0.0)
    if threshold and slope:
        raise ConvertError(f"threshold {threshold:g} and negative_slope {slope:g}: wanted one of them to be 0")
    if threshold:
        y = _above(b, x, threshold)
    else:
        y = b.emit("LeakyRelu", [x], x.shape, alpha=slope) if slope else b.emit("Relu", [x], x.shape)
    return y if fields.get("max_value") is None else b.emit(
        "Clip", [y, "", b.constant(np.float32(fields.number("max_value", 0.0)).reshape(()))], y.shape
    )  # fmt: skip


def _leaky_relu(b: Builder, layer: Layer, xs: list[Tensor]) -> Tensor:
    x, fields = _one(xs), layer.fields
    alpha = fields.number("alpha" if "alpha" in fields.config else "negative_slope", 0.3)
    return b.emit("LeakyRelu", [x], x.shape, alpha=alpha)


def _prelu(b: Builder, layer: Layer, xs: list[Tensor]) -> Tensor:
    x, (alpha,) = _one(xs), layer.weights(["alpha"])
    if alpha.ndim != len(x.shape) or any(n not in (1, size) for n, size in zip(alpha.shape, x.shape, strict=True)):
        raise ConvertError(f"weights: alpha: shape: got {alpha.shape}, on {x.shape}")
    if alpha.ndim > 1:
        alpha = alpha.reshape(1, *alpha.shape)[-1] if alpha.ndim == 3 else alpha[None]
        alpha = alpha.transpose(2, 0, 1)
    return b.emit("PRelu", [x, b.constant(alpha)], x.shape)


def _thresholded(b: Builder, layer: Layer, xs: list[Tensor]) -> Tensor:
    return _above(b, _one(xs), layer.fields.number("theta", 1.0))


def _softmax(b: Builder, layer: Layer, xs: list[Tensor]) -> Tensor:
    x, axis = _one(xs), layer.fields.get("axis", -1)
    if axis not in (-1, len(x.shape)):
        raise ConvertError(f"axis: got {axis}, wanted the last one")
    return activate(b, x, "softmax")


def _rescaling(b: Builder, layer: Layer, xs: list[Tensor]) -> Tensor:
    y = b.with_scalar("Mul", _one(xs), layer.fields.number("scale", 1.0))
    return b.with_scalar("Add", y, layer.fields.number("offset", 0.0))


# ---- several values ----


def _merge(b: Builder, layer: Layer, xs: list[Tensor]) -> Tensor:
    kind = {"Subtract": "Sub", "Multiply": "Mul"}.get(layer.kind, "Add")
    if len(xs) < 2 or (kind == "Sub" and len(xs) > 2):
        raise ConvertError(f"inputs: got {len(xs)}, wanted 2")
    y = functools.reduce(lambda y, x: b.merged(kind, y, x), xs)
    return b.with_scalar("Mul", y, 1 / len(xs)) if layer.kind == "Average" else y


def _concat(b: Builder, xs: Sequence[Tensor], axis: Any) -> Tensor:
    first = xs[0].shape if xs else ()
    rank = len(first)
    if type(axis) is not int or not -rank - 1 <= axis <= rank or axis % (rank + 1) == 0:
        raise ConvertError(f"axis: got {axis}, wanted one of {rank} behind the batch")
    ours = axis % (rank + 1) - 1
    if any(
        len(x.shape) != rank or x.shape[:ours] != first[:ours] or x.shape[ours + 1 :] != first[ours + 1 :] for x in xs
    ):
        raise ConvertError(f"inputs: shapes: got {[x.shape for x in xs]}, wanted them alike but for axis {axis}")
    shape = (*first[:ours], sum(x.shape[ours] for x in xs), *first[ours + 1 :])
    places = {1: (1,), 2: (3, 1), 3: (2, 3, 1)}[rank]  # a sequence is an image one pixel high
    return b.emit("Concat", xs, shape, axis=places[ours])


def _concatenate(b: Builder, layer: Layer, xs: list[Tensor]) -> Tensor:
    return _concat(b, xs, layer.fields.get("axis", -1))


# ---- pools and shapes ----


def _pool(b: Builder, layer: Layer, xs: list[Tensor], kind: str, rank: int) -> Tensor:
    layer.fields.channels_last()
    kernel = layer.fields.pair("pool_size", 2, rank)
    strides = layer.fields.pair("strides", list(kernel[2 - rank :]), rank)
    return b.pool(kind, _one(xs), kernel, strides, layer.fields.choice("padding", "valid", "same"))


def _global_pool(b: Builder, layer: Layer, xs: list[Tensor], kind: str) -> Tensor:
    layer.fields.channels_last()
    x, keep = _one(xs), layer.fields.flag("keepdims", False)
    _, _, channels = x.image
    y = b.emit(kind, [x], (1, 1, channels)[3 - len(x.shape) :])
    return y if keep else b.flat(y)


def _flatten(b: Builder, layer: Layer, xs: list[Tensor]) -> Tensor:
    layer.fields.channels_last()
    return b.flat(_one(xs))


def _reshape(b: Builder, layer: Layer, xs: list[Tensor]) -> Tensor:
    x, given = _one(xs), layer.fields.get("target_shape")
    if not isinstance(given, list) or not all(type(n) is int for n in given) or given.count(-1) > 1:
        raise ConvertError(f"target_shape: got {given}, wanted whole numbers")
    known = int(np.prod([n for n in given if n != -1], dtype=np.float64))
    return b.reshaped(x, [int(np.prod(x.shape)) // max(known, 1) if n == -1 else n for n in given])


def _sides(layer: Layer, rank: int) -> list[int]:
    """Top, left, bottom and right of a padding's field, a number or pairs."""
    given = layer.fields.get("padding", 1)
    pairs = [given] * rank if isinstance(given, int) else given
    pairs = [pairs] if rank == 1 and isinstance(pairs, list) and len(pairs) == 2 else pairs
    pairs = [[n, n] if isinstance(n, int) else n for n in pairs] if isinstance(pairs, list) else []
    flat = [n for pair in pairs if isinstance(pair, list) for n in pair if type(n) is int and 0 <= n <= 1 << 16]
    if len(pairs) != rank or len(flat) != 2 * rank:
        raise ConvertError(f"padding: got {given}, wanted pairs of whole numbers")
    top, bottom, left, right = [0, 0, *flat] if rank == 1 else flat
    return [top, left, bottom, right]


def _zero_padding(b: Builder, layer: Layer, xs: list[Tensor], rank: int) -> Tensor:
    layer.fields.channels_last()
    x, (top, left, bottom, right) = _one(xs), _sides(layer, rank)
    height, width, channels = x.image
    shape = (height + top + bottom, width + left + right, channels)[3 - len(x.shape) :]
    pads = b.constant(np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
    return b.emit("Pad", [x, pads], shape)


def _up_sampling(b: Builder, layer: Layer, xs: list[Tensor]) -> Tensor:
    layer.fields.channels_last()
    layer.fields.choice("interpolation", "nearest")
    x, (tall, wide) = _one(xs), layer.fields.pair("size", 2)
    height, width, channels = x.image
    scales = b.constant(np.array([1, 1, tall, wide], np.float32))
    return b.emit("Upsample", [x, scales], (height * tall, width * wide, channels), mode="nearest")


# ---- functions of TensorFlow ----


def _given(layer: Layer, position: int, key: str, default: Any = None) -> Any:
    """An argument of a call."""
    return layer.args[position] if len(layer.args) > position else layer.kwargs.get(key, default)


def _operand(b: Builder, value: Any, other: Tensor) -> str:
    """A constant operand: a number, or one a channel."""
    array = np.asarray(value, np.float32)
    if array.shape not in ((), (other.shape[-1],)) or not np.isfinite(array).all():
        raise ConvertError(f"operand: got {str(value)[:80]}, wanted a number, or one a channel")
    return b.constant(array.reshape(-1, 1, 1) if array.ndim and len(other.shape) > 1 else array)


def _arithmetic(kind: str) -> Callable[[Builder, Layer], Made]:
    def made(b: Builder, layer: Layer) -> Tensor:
        x, y = _given(layer, 0, "x"), _given(layer, 1, "y")
        if isinstance(x, Tensor) and isinstance(y, Tensor):
            return b.merged(kind, x, y)
        if isinstance(x, Tensor):
            return b.emit(kind, [x, _operand(b, y, x)], x.shape)
        if not isinstance(y, Tensor):
            raise ConvertError("operands: wanted a value")
        return b.emit(kind, [_operand(b, x, y), y], y.shape)

    return made


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise ConvertError(f"operand: got {str(value)[:80]}, wanted a value")
    return value


def _reduce_mean(b: Builder, layer: Layer) -> Tensor:
    x = _tensor(_given(layer, 0, "input_tensor"))
    axis, keep = _given(layer, 1, "axis"), _given(layer, 2, "keepdims", False)
    if len(x.shape) != 3 or axis not in ([1, 2], [-3, -2], [2, 1]):
        raise ConvertError(f"axis: got {axis}, wanted height and width of an image, [1, 2]")
    y = b.emit("GlobalAveragePool", [x], (1, 1, x.shape[-1]))
    return y if keep else b.flat(y)


def _tf_concat(b: Builder, layer: Layer) -> Tensor:
    values = _given(layer, 0, "values")
    return _concat(b, [_tensor(x) for x in values], _given(layer, 1, "axis"))


def _tf_split(b: Builder, layer: Layer) -> list[Tensor]:
    x = _tensor(_given(layer, 0, "value"))
    return _split(b, x, _given(layer, 1, "num_or_size_splits"), _given(layer, 2, "axis", 0))


def _split(b: Builder, x: Tensor, parts: Any, axis: Any) -> list[Tensor]:
    channels = x.shape[-1]
    if axis not in (-1, len(x.shape)):
        raise ConvertError(f"axis: got {axis}, wanted the channels, -1")
    if type(parts) is int and 1 <= parts <= channels and channels % parts == 0:
        parts = [channels // parts] * parts
    if not isinstance(parts, list) or not all(type(n) is int and n > 0 for n in parts):
        raise ConvertError(f"num_or_size_splits: got {parts}, wanted a divisor of {channels}, or sizes")
    return b.split(x, parts)


def _tf_clip(b: Builder, layer: Layer) -> Tensor:
    low, high = Fields({"low": _given(layer, 1, "clip_value_min"), "high": _given(layer, 2, "clip_value_max")}), 0.0
    x = _tensor(_given(layer, 0, "t"))
    return b.clip(x, low.number("low", high), low.number("high", high))


def _function(name: str) -> Callable[[Builder, Layer], Made]:
    return lambda b, layer: activate(b, _tensor(_given(layer, 0, "features", _given(layer, 0, "x"))), name)


def _unary(kind: str) -> Callable[[Builder, Layer], Made]:
    def made(b: Builder, layer: Layer) -> Tensor:
        x = _tensor(_given(layer, 0, "x"))
        return b.emit(kind, [x], x.shape)

    return made


OPERATIONS: dict[str, Callable[[Builder, Layer], Made]] = {
    **{name: _arithmetic("Add") for name in ("math.add", "__operators__.add")},
    **{name: _arithmetic("Sub") for name in ("math.subtract", "__operators__.sub")},
    **{name: _arithmetic("Mul") for name in ("math.multiply", "__operators__.mul")},
    **{name: _arithmetic("Div") for name in ("math.divide", "math.truediv", "__operators__.truediv")},
    **{f"nn.{name}": _function(name) for name in ("relu", "relu6", "softmax", "silu", "swish", "gelu")},
    **{name: _function(name.rsplit(".", 1)[-1]) for name in ("math.sigmoid", "math.tanh", "nn.tanh", "nn.sigmoid")},
    "math.abs": _unary("Abs"),
    "math.negative": _unary("Neg"),
    "math.reduce_mean": _reduce_mean,
    "clip_by_value": _tf_clip,
    "concat": _tf_concat,
    "identity": lambda b, layer: _tensor(_given(layer, 0, "input")),
    "split": _tf_split,
}


def _tf_op(b: Builder, layer: Layer, xs: list[Tensor]) -> Made:
    function = layer.fields.get("function")
    if not isinstance(function, str) or function not in OPERATIONS:
        raise ConvertError(f"function tf.{str(function)[:80]} is not taken: use a Keras layer for it, and save again")
    return OPERATIONS[function](b, layer)


# ---- Lambda ----


def _lambda(b: Builder, layer: Layer, xs: list[Tensor]) -> Made:
    """Python's bytecode, which is never run; those of larq_zoo are known by where they come from."""
    function = layer.fields.get("function")
    if isinstance(function, dict):  # as Keras 3 writes it
        config = function.get("config")
        closure = config.get("closure") if isinstance(config, dict) else None
    else:
        closure = function[2] if isinstance(function, list) and len(function) == 3 else None
    module = layer.fields.get("module")
    if module == "larq_zoo.literature.real_to_bin_nets" and layer.name.endswith("_out"):
        return _one(xs)
    if module == "larq_zoo.literature.meliusnet" and layer.name.endswith("_merge") and len(xs) == 2:
        return _added_to_the_last(b, *xs)
    if module == "larq_zoo.core.utils" and isinstance(closure, list) and len(closure) == 3:
        args, kwargs, name = closure
        name = name.get("config") if isinstance(name, dict) else name
        if name == "concat" and args == [] and isinstance(kwargs, dict):
            return _concat(b, xs, kwargs.get("axis"))
        if name == "split" and isinstance(args, list) and len(args) == 1 and isinstance(kwargs, dict):
            return _split(b, _one(xs), args[0], kwargs.get("axis", 0))
    raise ConvertError(
        "it holds Python bytecode, which is not run: put Keras layers in its place (Add, Multiply, Concatenate, "
        "Activation, ...) and save again"
    )


def _added_to_the_last(b: Builder, x: Tensor, y: Tensor) -> Tensor:
    """MeliusNet's improvement block: added to the last channels."""
    rest = x.shape[-1] - y.shape[-1]
    if rest == 0:
        return b.merged("Add", x, y)
    same, last = b.split(x, [rest, y.shape[-1]])
    return _concat(b, [same, b.merged("Add", last, y)], -1)


def _for(function: Callable[..., Made], *extra: Any) -> Handler:
    return lambda b, layer, xs: function(b, layer, xs, *extra)


LAYERS: dict[str, Handler] = {
    **{name: lambda b, layer, xs: _one(xs) for name in DROPPED},
    **{name: _merge for name in ("Add", "Average", "Multiply", "Subtract")},
    **{f"{q}Conv{n}D": _for(_conv, n) for q in ("", "Quant") for n in (1, 2)},
    **{f"{q}SeparableConv{n}D": _for(_separable, n) for q in ("", "Quant") for n in (1, 2)},
    **{f"{q}DepthwiseConv2D": _depthwise for q in ("", "Quant")},
    **{f"{q}Dense": _dense for q in ("", "Quant")},
    **{f"MaxPooling{n}D": _for(_pool, "MaxPool", n) for n in (1, 2)},
    **{f"AveragePooling{n}D": _for(_pool, "AveragePool", n) for n in (1, 2)},
    **{f"GlobalAveragePooling{n}D": _for(_global_pool, "GlobalAveragePool") for n in (1, 2)},
    **{f"GlobalMaxPooling{n}D": _for(_global_pool, "GlobalMaxPool") for n in (1, 2)},
    **{f"ZeroPadding{n}D": _for(_zero_padding, n) for n in (1, 2)},
    **{
        name: _quantizer for name in ("SteSign", "ApproxSign", "SteHeaviside", "SwishSign", "DoReFa", "NoOp", "SteTern")
    },
    "Activation": _activation,
    "BatchNormalization": _batch_norm,
    "Concatenate": _concatenate,
    "Flatten": _flatten,
    "Lambda": _lambda,
    "LeakyReLU": _leaky_relu,
    "PReLU": _prelu,
    "ReLU": _relu,
    "Rescaling": _rescaling,
    "Reshape": _reshape,
    "Softmax": _softmax,
    "TFOpLambda": _tf_op,
    "ThresholdedReLU": _thresholded,
    "UpSampling2D": _up_sampling,
}


def emit(builder: Builder, layer: Layer, xs: list[Tensor]) -> list[Tensor]:
    """The outputs of a layer.

    Raises:
        ConvertError: it is not known, or says what cannot be taken.
    """
    if layer.kind not in LAYERS:
        raise ConvertError("there is no layer for this class: put layers in its place that docs/convert.md lists")
    made = LAYERS[layer.kind](builder, layer, xs)
    return made if isinstance(made, list) else [made]
