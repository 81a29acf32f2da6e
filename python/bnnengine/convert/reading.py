"""The reading of a foreign network in NumPy: it folds constants, and is what a packed network is compared with."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bnnengine.convert.ir import Array, Net, Op
from bnnengine.errors import ConvertError
from bnnengine.layers import GELU, TopK


def _windows(x: Array, a: Mapping[str, Any], kernel: tuple[int, ...], fill: float) -> Array:
    """(N, C, OH, OW, KH, KW) of a padded image."""
    top, left, bottom, right = pads_of(a, x.shape[2:], kernel)
    strides, dilations = a.get("strides", [1, 1]), a.get("dilations", [1, 1])
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    seen = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(2, 3))
    return seen[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]


def pads_of(a: Mapping[str, Any], size: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of a window over an image of this (height, width), auto_pad worked out."""
    how = a.get("auto_pad", "NOTSET")
    how = how.decode() if isinstance(how, bytes) else how
    if how in ("NOTSET", "VALID", ""):
        top, left, bottom, right = a.get("pads", [0, 0, 0, 0])
        return top, left, bottom, right
    both = []
    for axis in range(2):
        stride, reach = a.get("strides", [1, 1])[axis], (kernel[axis] - 1) * a.get("dilations", [1, 1])[axis] + 1
        total = max((-(-size[axis] // stride) - 1) * stride + reach - size[axis], 0)
        both.append((total // 2, total - total // 2) if how == "SAME_UPPER" else (total - total // 2, total // 2))
    return both[0][0], both[1][0], both[0][1], both[1][1]


MOST_ORDERED = 1 << 31  # products that are summed one after the other


def _signs(x: Array) -> bool:
    """Whether sums of these and binary weights are exact in whatever order."""
    return bool((np.abs(x) == 1).all())


def _conv(a: Mapping[str, Any], x: Array, w: Array, bias: Array | None = None) -> Array:
    """Signs are summed in float64; other floats in float32 and in the order in which most engines and this one do."""
    groups, (outputs, channels, *kernel) = a.get("group", 1), w.shape
    fill = float(a.get("pad_value", 0.0))
    seen = _windows(x.astype(np.float32), a, tuple(kernel), fill)
    n, _, rows, columns = seen.shape[:4]
    seen = seen.reshape(n, groups, channels, rows, columns, *kernel)
    w = w.reshape(groups, -1, *w.shape[1:]).astype(np.float32)
    if _signs(x) or n * outputs * rows * columns * channels * np.prod(kernel, dtype=np.float64) > MOST_ORDERED:
        y = np.einsum("ngcyxij,gocij->ngoyx", seen, w.astype(np.float64), optimize=True)
        y = y.reshape(n, outputs, rows, columns)
        return (y if bias is None else y + bias[:, None, None]).astype(np.float32)  # type: ignore[no-any-return]
    y = np.zeros((n, groups, outputs // groups, rows, columns), np.float32)
    if bias is not None:
        y += bias.astype(np.float32).reshape(groups, -1, 1, 1)
    for i, j, c in np.ndindex(*kernel, channels):
        y += seen[:, :, c, None, :, :, i, j] * w[:, :, c, i, j, None, None]
    return y.reshape(n, outputs, rows, columns)


def _product(x: Array, w: Array, bias: Array | None) -> Array:
    """Rows times (K, O), as _conv sums."""
    if x.ndim != 2 or w.ndim != 2 or _signs(x) or x.size * w.shape[1] > MOST_ORDERED:
        y: Array = x.astype(np.float64) @ w.astype(np.float64)
        return (y if bias is None else y + bias).astype(np.float32)
    y = np.zeros((len(x), w.shape[1]), np.float32)
    if bias is not None:
        y += bias.astype(np.float32)
    for column, row in zip(x.astype(np.float32).T, w.astype(np.float32), strict=True):
        y += column[:, None] * row
    return y


def _average_pool(a: Mapping[str, Any], x: Array) -> Array:
    kernel = tuple(a["kernel_shape"])
    total = _windows(x.astype(np.float64), a, kernel, 0.0).sum(axis=(4, 5))
    counted = np.ones_like(x[:1, :1]) if not a.get("count_include_pad", 0) else None
    count = kernel[0] * kernel[1] if counted is None else _windows(counted, a, kernel, 0.0).sum(axis=(4, 5))
    return (total / count).astype(np.float32)  # type: ignore[no-any-return]


def _batch_norm(a: Mapping[str, Any], x: Array, gamma: Array, beta: Array, mean: Array, variance: Array) -> Array:
    shape = (1, -1, *[1] * (x.ndim - 2))
    scale = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + a.get("epsilon", 1e-5))
    y = (x - mean.reshape(shape).astype(np.float64)) * scale.reshape(shape) + beta.reshape(shape)
    return y.astype(np.float32)  # type: ignore[no-any-return]


def _reshape(a: Mapping[str, Any], x: Array, shape: Array) -> Array:
    return x.reshape([x.shape[i] if n == 0 else int(n) for i, n in enumerate(shape)])


def _clip(a: Mapping[str, Any], x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    return np.clip(x, a.get("min", -np.inf) if low is None else low, a.get("max", np.inf) if high is None else high)


def _axes(a: Mapping[str, Any], axes: Array | None) -> tuple[int, ...]:
    return tuple(int(n) for n in (a.get("axes", ()) if axes is None else axes))


def _gemm(a: Mapping[str, Any], x: Array, w: Array, c: Array | None = None) -> Array:
    x, w = (x.T if a.get("transA") else x), (w.T if a.get("transB") else w)
    bias = None if c is None else np.float32(a.get("beta", 1.0)) * c
    return _product(x, w * np.float32(a.get("alpha", 1.0)), bias)


def _pad(a: Mapping[str, Any], x: Array, pads: Array | None = None, value: Array | None = None) -> Array:
    sides = [int(n) for n in (a["pads"] if pads is None else pads)]
    fill = float(a.get("value", 0.0) if value is None else value.reshape(-1)[0])
    return np.pad(x, list(zip(sides[: x.ndim], sides[x.ndim :], strict=True)), constant_values=fill)


def _slice(
    a: Mapping[str, Any], x: Array, start: Array, stop: Array, axes: Array | None = None, step: Array | None = None
) -> Array:
    cut = [slice(None)] * x.ndim
    for i, axis in enumerate(range(start.size) if axes is None else axes):
        cut[int(axis)] = slice(int(start[i]), int(stop[i]), 1 if step is None else int(step[i]))
    return x[tuple(cut)]


def _mean(a: Mapping[str, Any], x: Array, axes: Array | None = None) -> Array:
    over = _axes(a, axes) or None
    return x.mean(axis=over, keepdims=bool(a.get("keepdims", 1)), dtype=np.float64).astype(x.dtype)  # type: ignore[no-any-return]


def _reduce(function: Callable[..., Array]) -> Callable[..., Array]:
    def reduced(a: Mapping[str, Any], x: Array, axes: Array | None = None) -> Array:
        return function(x, axis=_axes(a, axes) or None, keepdims=bool(a.get("keepdims", 1))).astype(x.dtype)

    return reduced


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def _gelu(a: Mapping[str, Any], x: Array) -> Array:
    return GELU("tanh" if a.get("approximate", "none") in ("tanh", b"tanh") else "none").reference(x)


def _layer_norm(a: Mapping[str, Any], x: Array, scale: Array, bias: Array | None = None) -> Array:
    axes = tuple(range(a.get("axis", -1) % x.ndim, x.ndim))
    wide = x.astype(np.float64)
    centred = wide - wide.mean(axes, keepdims=True)
    y = centred / np.sqrt((centred**2).mean(axes, keepdims=True) + a.get("epsilon", 1e-5)) * scale
    return (y if bias is None else y + bias).astype(np.float32)  # type: ignore[no-any-return]


def _resize(a: Mapping[str, Any], x: Array, *rest: Array | None) -> Array:
    """Whole factors, each pixel repeated."""
    for axis, factor in enumerate(resize_factors(a, x.shape, rest)):
        x = x.repeat(factor, axis)
    return x


def resize_factors(a: Mapping[str, Any], shape: tuple[int, ...], rest: Sequence[Array | None]) -> list[int]:
    """The factor of each axis, from the scales or sizes behind an image's shape (Resize, Upsample).

    Raises:
        ConvertError: it interpolates, the factors are not whole, or it takes other pixels than repeating would.
    """
    mode = a.get("mode", b"nearest")
    if mode not in ("nearest", b"nearest"):
        raise ConvertError(f"mode: got {mode!r}, wanted 'nearest'")
    given: Any = rest[-1]
    if given is None or (len(rest) == 3 and given.size != len(shape)):
        raise ConvertError("scales or sizes: wanted constants")
    factors = [float(n) / size for n, size in zip(given, shape, strict=True)] if len(rest) == 3 else given.tolist()
    if any(f < 1 or f > 64 or f != int(f) for f in factors):
        raise ConvertError(f"scales: got {factors}, wanted whole numbers from 1 to 64")
    keys = (("coordinate_transformation_mode", b"half_pixel"), ("nearest_mode", b"round_prefer_floor"))
    how, turn = (value.decode() if isinstance(value := a.get(key, none), bytes) else value for key, none in keys)
    if not all(_repeats(how, turn, int(f)) for f in factors):
        raise ConvertError(f"{keys[0][0]} and {keys[1][0]}: got {how} and {turn}, wanted asymmetric and floor")
    return [int(f) for f in factors]


def _repeats(how: str, turn: str, factor: int) -> bool:
    """Whether every output that a pixel grows to is that pixel, by ONNX's formulas of where it lies and rounding."""
    nearest: dict[str, Callable[[Array], Array]] = {
        "floor": np.floor,
        "ceil": np.ceil,
        "round_prefer_floor": lambda x: np.ceil(x - 0.5),
        "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    }
    starts = {"asymmetric": 0.0, "tf_half_pixel_for_nn": 0.5}
    starts |= dict.fromkeys(("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel"), 0.5 - factor / 2)
    if factor == 1:
        return True
    return how in starts and turn in nearest and not nearest[turn]((np.arange(factor) + starts[how]) / factor).any()


_ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "ROUND": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "ROUND_TO_ZERO": np.trunc,
}


def _quant(a: Mapping[str, Any], x: Array, scale: Array, zero: Array, bits: Array) -> Array:
    """QONNX's Quant."""
    signed, narrow = bool(a.get("signed", 1)), bool(a.get("narrow", 0))
    top = 2.0 ** (bits - signed) - 1 - (narrow and not signed)
    bottom = (-(2.0 ** (bits - 1)) + narrow) if signed else np.zeros(())
    mode = a.get("rounding_mode", b"ROUND")
    turn = _ROUNDINGS[(mode.decode() if isinstance(mode, bytes) else mode).upper()]
    y: Array = (np.clip(turn(x / scale + zero), bottom, top) - zero) * scale
    return y.astype(np.float32)


def _level(a: Mapping[str, Any], x: Array, t: Array) -> Array:
    """What Binarize and Step compare with: by broadcasting, or one number a channel where `per_channel` says so."""
    return t.reshape(-1, *[1] * (x.ndim - 2)) if a.get("per_channel") else t


def _multi_threshold(a: Mapping[str, Any], x: Array, levels: Array) -> Array:
    """QONNX's and FINN's MultiThreshold: how many of a channel's levels a number reaches, scaled."""
    levels = levels.reshape(levels.shape[0], *[1] * (x.ndim - 2), levels.shape[1])
    count = (x[..., None] >= levels).sum(axis=-1)
    y: Array = count * a.get("out_scale", 1.0) + a.get("out_bias", 0.0)
    return y.astype(np.float32)


def _top_k(a: Mapping[str, Any], x: Array, k: Array) -> tuple[Array, ...]:
    if a.get("axis", -1) not in (-1, x.ndim - 1) or not a.get("largest", 1):
        raise ConvertError("wanted the largest along the last axis")
    return TopK(int(k.reshape(-1)[0])).reference(x)


def _arg_max(a: Mapping[str, Any], x: Array) -> Array:
    y = x.argmax(a.get("axis", 0))
    return np.expand_dims(y, a.get("axis", 0)) if a.get("keepdims", 1) else y


def _split(a: Mapping[str, Any], x: Array, sizes: Array | None = None) -> tuple[Array, ...]:
    axis, given = a.get("axis", 0), a.get("split") if sizes is None else sizes
    if given is None:
        return tuple(np.split(x, a["parts"], axis))  # the reader counts an operator's outputs
    return tuple(np.split(x, np.cumsum(given)[:-1], axis))


_CASTS = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 11: np.float64}

KINDS: dict[str, Callable[..., Any]] = {
    "Abs": lambda a, x: np.abs(x),
    "Add": lambda a, x, y: x + y,
    "ArgMax": _arg_max,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Binarize": lambda a, x, t: np.where(x >= _level(a, x, t), 1, -1).astype(np.float32),
    "BipolarQuant": lambda a, x, s: np.where(x >= 0, s, -s).astype(np.float32),
    "Cast": lambda a, x: x.astype(_CASTS[a["to"]]),
    "Ceil": lambda a, x: np.ceil(x),
    "ChannelShuffle": lambda a, x: x.reshape(len(x), a["groups"], -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape),
    "Clip": _clip,
    "Concat": lambda a, *xs: np.concatenate([np.atleast_1d(x) for x in xs], axis=a["axis"]),
    "ConstantOfShape": lambda a, x: np.full(x, np.ravel(a.get("value", np.zeros(1, np.float32)))[0]),
    "Conv": _conv,
    "Div": lambda a, x, y: (x / y).astype(np.result_type(x, y)),
    "Elu": lambda a, x: np.where(x < 0, a.get("alpha", 1.0) * np.expm1(np.minimum(x, 0)), x).astype(np.float32),
    "Equal": lambda a, x, y: x == y,
    "Erf": lambda a, x: np.vectorize(math.erf, otypes=[np.float32])(x),
    "Exp": lambda a, x: np.exp(x),
    "Expand": lambda a, x, shape: np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape))),
    "Flatten": lambda a, x: x.reshape(int(np.prod(x.shape[: a.get("axis", 1)])), -1),
    "Floor": lambda a, x: np.floor(x),
    "Gather": lambda a, x, i: np.take(x, i.astype(np.int64), axis=a.get("axis", 0)),
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda a, x: x.mean(axis=(2, 3), keepdims=True, dtype=np.float64).astype(np.float32),
    "GlobalMaxPool": lambda a, x: x.max(axis=(2, 3), keepdims=True),
    "Greater": lambda a, x, y: x > y,
    "GreaterOrEqual": lambda a, x, y: x >= y,
    "HardSigmoid": lambda a, x: np.clip(np.float32(a.get("alpha", 0.2)) * x + np.float32(a.get("beta", 0.5)), 0, 1),
    "HardSwish": lambda a, x: (x * np.clip(x / 6 + 0.5, 0, 1)).astype(np.float32),
    "Identity": lambda a, x: x,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda a, x: np.where(x > 0, x, x * np.float32(a.get("alpha", 0.01))),
    "Less": lambda a, x, y: x < y,
    "LessOrEqual": lambda a, x, y: x <= y,
    "Log": lambda a, x: np.log(x),
    "MatMul": lambda a, x, y: _product(x, y, None),
    "Max": lambda a, *xs: functools.reduce(np.maximum, xs),
    "MaxPool": lambda a, x: _windows(x, a, tuple(a["kernel_shape"]), float(a.get("pad_value", -np.inf))).max(
        axis=(4, 5)
    ),
    "Min": lambda a, *xs: functools.reduce(np.minimum, xs),
    "Mul": lambda a, x, y: x * y,
    "MultiThreshold": _multi_threshold,
    "Neg": lambda a, x: -x,
    "Not": lambda a, x: ~x,
    "PRelu": lambda a, x, s: np.where(x > 0, x, x * s),
    "Pad": _pad,
    "Pow": lambda a, x, y: np.power(x, y).astype(x.dtype),
    "Quant": _quant,
    "Reciprocal": lambda a, x: 1 / x,
    "ReduceL1": _reduce(lambda x, **k: np.abs(x.astype(np.float64)).sum(**k)),
    "ReduceMax": _reduce(np.max),
    "ReduceMean": _mean,
    "ReduceSum": _reduce(lambda x, **k: x.astype(np.float64).sum(**k)),
    "Relu": lambda a, x: np.where(x < 0, np.float32(0), x),
    "Reshape": _reshape,
    "Resize": _resize,
    "Round": lambda a, x: np.round(x),
    "Shape": lambda a, x: np.array(x.shape, np.int64),
    "Sigmoid": lambda a, x: _sigmoid(x).astype(np.float32),
    "Sign": lambda a, x: np.where(x >= 0, 1, -1).astype(np.float32),  # 0 is +1 here, where ONNX has 0
    "Slice": _slice,
    "Softmax": lambda a, x: (
        (e := np.exp(x - x.max(a.get("axis", -1), keepdims=True))) / e.sum(a.get("axis", -1), keepdims=True)
    ),
    "Split": _split,
    "Sqrt": lambda a, x: np.sqrt(x),
    "Squeeze": lambda a, x, axes=None: np.squeeze(x, _axes(a, axes) or None),
    "Step": lambda a, x, t: (x >= _level(a, x, t)).astype(np.float32),
    "Sub": lambda a, x, y: x - y,
    "Sum": lambda a, *xs: functools.reduce(np.add, xs),
    "Tanh": lambda a, x: np.tanh(x),
    "TopK": _top_k,
    "Transpose": lambda a, x: np.transpose(x, a.get("perm")),
    "Unsqueeze": lambda a, x, axes=None: np.expand_dims(x, _axes(a, axes)),
    "Upsample": _resize,
    "Where": lambda a, c, x, y: np.asarray(np.where(c, x, y)),
    "XnorPopcountMatMul": lambda a, x, w: (x @ w + (1 - x) @ (1 - w)).astype(np.float32),
}


def evaluate(op: Op, inputs: list[Array | None]) -> tuple[Array, ...]:
    """The outputs of an operator.

    Raises:
        ConvertError: it is not known here, or cannot take these inputs.
    """
    if op.kind not in KINDS:
        raise ConvertError(f"node {op.name!r}: operator {op.kind} is not known")
    try:
        made = KINDS[op.kind](op.attributes, *inputs)
        return made if isinstance(made, tuple) else (made,)
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, ZeroDivisionError, MemoryError) as error:
        raise ConvertError(f"node {op.name!r} ({op.kind}): {error}") from None


def run(net: Net, inputs: Mapping[str, Array]) -> list[Array]:
    """The outputs, in NumPy, float64 where sums are long.

    Raises:
        ConvertError: an operator is not known, or cannot take its inputs.
    """
    values = trace(net, inputs)
    try:
        return [values[name] for name in net.outputs]
    except KeyError as error:
        raise ConvertError(f"output {error}: nothing makes it") from None


def trace(net: Net, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Every value, by name, as `run` computes it."""
    values: dict[str, Array] = {**net.constants, **inputs}
    for op in net.ops:
        try:
            args = [values[name] if name else None for name in op.inputs]
        except KeyError as error:
            raise ConvertError(f"node {op.name!r} ({op.kind}): reads {error}, which nothing makes") from None
        values.update(zip(op.outputs, evaluate(op, args), strict=False))
    return values
