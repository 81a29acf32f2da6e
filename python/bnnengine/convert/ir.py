"""A foreign network as operators on named values, in ONNX's words and channels-first, and its reading in NumPy.

The reading folds constants, and is what a packed network is compared with.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnengine.errors import ConvertError

Array = npt.NDArray[Any]


@dataclass
class Op:
    """One operator: inputs that are left out are empty names."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    name: str = ""


@dataclass
class Net:
    """Operators in an order in which they can run; inputs have their whole shape, the batch first (0 where free)."""

    inputs: dict[str, tuple[int, ...]]
    ops: list[Op]
    constants: dict[str, Array]
    outputs: list[str]


def _windows(x: Array, a: Mapping[str, Any], kernel: tuple[int, ...], fill: float) -> Array:
    """(N, C, OH, OW, KH, KW) of a padded image."""
    top, left, bottom, right = _pads(a, x.shape[2:], kernel)
    strides, dilations = a.get("strides", [1, 1]), a.get("dilations", [1, 1])
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    seen = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(2, 3))
    return seen[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]


def _pads(a: Mapping[str, Any], size: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, int, int, int]:
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


def _conv(a: Mapping[str, Any], x: Array, w: Array, bias: Array | None = None) -> Array:
    groups, wide = a.get("group", 1), np.float64
    seen = _windows(x.astype(wide), a, w.shape[2:], 0.0)
    parts = [
        np.einsum("ncyxij,ocij->noyx", part, kernel.astype(wide), optimize=True)
        for part, kernel in zip(np.split(seen, groups, 1), np.split(w, groups, 0), strict=True)
    ]
    y = np.concatenate(parts, axis=1)
    return (y if bias is None else y + bias[:, None, None]).astype(np.float32)


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
    y = a.get("alpha", 1.0) * (x.astype(np.float64) @ w.astype(np.float64))
    return (y if c is None else y + a.get("beta", 1.0) * c).astype(np.float32)  # type: ignore[no-any-return]


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


_CASTS = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 11: np.float64}

KINDS: dict[str, Callable[..., Array]] = {
    "Abs": lambda a, x: np.abs(x),
    "Add": lambda a, x, y: x + y,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Binarize": lambda a, x, t: np.where(x >= t, 1, -1).astype(np.float32),
    "BipolarQuant": lambda a, x, s: np.where(x >= 0, s, -s).astype(np.float32),
    "Cast": lambda a, x: x.astype(_CASTS[a["to"]]),
    "Clip": _clip,
    "Concat": lambda a, *xs: np.concatenate([np.atleast_1d(x) for x in xs], axis=a["axis"]),
    "ConstantOfShape": lambda a, x: np.full(x, np.ravel(a.get("value", np.zeros(1, np.float32)))[0]),
    "Conv": _conv,
    "Div": lambda a, x, y: (x / y).astype(np.result_type(x, y)),
    "Flatten": lambda a, x: x.reshape(int(np.prod(x.shape[: a.get("axis", 1)])), -1),
    "Gather": lambda a, x, i: np.take(x, i.astype(np.int64), axis=a.get("axis", 0)),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda a, x: x.mean(axis=(2, 3), keepdims=True, dtype=np.float64).astype(np.float32),
    "Greater": lambda a, x, y: x > y,
    "GreaterOrEqual": lambda a, x, y: x >= y,
    "Identity": lambda a, x: x,
    "LeakyRelu": lambda a, x: np.where(x > 0, x, x * np.float32(a.get("alpha", 0.01))),
    "MatMul": lambda a, x, y: (x.astype(np.float64) @ y.astype(np.float64)).astype(np.float32),
    "MaxPool": lambda a, x: _windows(x, a, tuple(a["kernel_shape"]), -np.inf).max(axis=(4, 5)),
    "Mul": lambda a, x, y: x * y,
    "Neg": lambda a, x: -x,
    "PRelu": lambda a, x, s: np.where(x > 0, x, x * s),
    "Pad": _pad,
    "Pow": lambda a, x, y: np.power(x, y).astype(x.dtype),
    "ReduceMean": _mean,
    "Slice": _slice,
    "Relu": lambda a, x: np.where(x < 0, np.float32(0), x),
    "Reshape": _reshape,
    "Shape": lambda a, x: np.array(x.shape, np.int64),
    "Sigmoid": lambda a, x: (1 / (1 + np.exp(-x.astype(np.float64)))).astype(np.float32),
    "Sign": lambda a, x: np.where(x >= 0, 1, -1).astype(np.float32),  # 0 is +1 here, where ONNX has 0
    "Softmax": lambda a, x: (
        (e := np.exp(x - x.max(a.get("axis", -1), keepdims=True))) / e.sum(a.get("axis", -1), keepdims=True)
    ),
    "Sqrt": lambda a, x: np.sqrt(x),
    "Squeeze": lambda a, x, axes=None: np.squeeze(x, _axes(a, axes) or None),
    "Sub": lambda a, x, y: x - y,
    "Tanh": lambda a, x: np.tanh(x),
    "Transpose": lambda a, x: np.transpose(x, a.get("perm")),
    "Unsqueeze": lambda a, x, axes=None: np.expand_dims(x, _axes(a, axes)),
    "Where": lambda a, c, x, y: np.asarray(np.where(c, x, y)),
}


def evaluate(op: Op, inputs: list[Array | None]) -> Array:
    """The first output of an operator.

    Raises:
        ConvertError: it is not known here, or cannot take these inputs.
    """
    if op.kind not in KINDS:
        raise ConvertError(f"node {op.name!r}: operator {op.kind} is not known")
    try:
        return KINDS[op.kind](op.attributes, *inputs)
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, ZeroDivisionError, MemoryError) as error:
        raise ConvertError(f"node {op.name!r} ({op.kind}): {error}") from None


def run(net: Net, inputs: Mapping[str, Array]) -> list[Array]:
    """The outputs, in NumPy, float64 where sums are long."""
    values: dict[str, Array] = {**net.constants, **inputs}
    for op in net.ops:
        try:
            args = [values[name] if name else None for name in op.inputs]
        except KeyError as error:
            raise ConvertError(f"node {op.name!r} ({op.kind}): reads {error}, which nothing makes") from None
        values.update(itertools.islice(zip(op.outputs, [evaluate(op, args)], strict=False), 1))
    try:
        return [values[name] for name in net.outputs]
    except KeyError as error:
        raise ConvertError(f"output {error}: nothing makes it") from None
