"""A plain foreign graph as a Model: images channels-last, and layers binary where both sides of a product are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import bnnengine as b
from bnnengine.convert.ir import Array, Net, Op, pads_of, resize_factors
from bnnengine.errors import ConvertError, ModelError
from bnnengine.graph import Graph, Value

NEAR = 1e-5  # relative: weights of one output that differ by less have one magnitude


def binary_weights(weight: Array) -> Array | None:
    """The magnitude of each output, shape (outputs,), where its weights have one; None where some have more."""
    flat = np.abs(weight.reshape(weight.shape[0], -1)).astype(np.float64)
    magnitude = flat.mean(axis=1)
    alike = np.abs(flat - magnitude[:, None]) <= NEAR * magnitude[:, None]
    return magnitude if bool(alike.all() and (magnitude > 0).all()) else None


class Emitter:
    """Walks a net's operators, one method a kind, and collects what cannot be taken."""

    def __init__(self, net: Net, name: str) -> None:
        """Nothing is emitted yet."""
        self.net, self.graph = net, Graph(name)
        self.values: dict[str, Value] = {}
        self.steps: set[str] = set()  # bits that count as 0 and 1
        self.refused: list[str] = []

    def run(self) -> b.Model:
        """The model.

        Raises:
            ConvertError: some operators cannot be taken; each is named with the reason.
        """
        for name, shape in self.net.inputs.items():
            if len(shape) not in (2, 4) or any(n < 1 for n in shape[1:]):
                raise ConvertError(
                    f"input {name!r}: shape: got {shape}, wanted (N, K) or (N, C, H, W) with sizes from 1"
                )
            ours = shape[1:] if len(shape) == 2 else (*shape[2:], shape[1])
            self.values[name] = self.graph.input(ours, "float32", name=name)
        for op in self.net.ops:
            self._take(op)
        if self.refused:
            raise ConvertError("; ".join(self.refused))
        missing = [name for name in self.net.outputs if name not in self.values]
        if missing:
            raise ConvertError(f"outputs {missing}: constant, or made by nothing")
        return self.graph.model(*(self._float(self.values[name]) for name in self.net.outputs))

    def _take(self, op: Op) -> None:
        handler: Callable[[Op], Value | tuple[Value, ...]] | None = getattr(self, f"_do_{op.kind.lower()}", None)
        label = f"node {op.name or op.outputs[0]!r} ({op.kind})"
        if any(name and name not in self.values and name not in self.net.constants for name in op.inputs):
            return  # behind one that is refused, which is named already
        if handler is None:
            self.refused.append(f"{label}: there is no layer for this operator")
            return
        try:
            made = handler(op)
            for name, value in zip(op.outputs, made if isinstance(made, tuple) else (made,), strict=False):
                self.values[name] = value
        except (ConvertError, ModelError) as error:
            self.refused.append(f"{label}: {error}")
        except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
            self.refused.append(f"{label}: its form is not known: {error}")

    # ---- operands ----

    def _value(self, op: Op, i: int = 0) -> Value:
        if op.inputs[i] not in self.values:
            raise ConvertError(f"input {i}: a constant, wanted a value")
        return self.values[op.inputs[i]]

    def _constant(self, op: Op, i: int) -> Array | None:
        if len(op.inputs) <= i or not op.inputs[i]:
            return None
        if op.inputs[i] not in self.net.constants:
            raise ConvertError(f"input {i}: computed at run time, wanted a constant")
        return self.net.constants[op.inputs[i]]

    def _vector(self, constant: Array, value: Value) -> Array:
        """A constant operand as a number or one a channel."""
        channels = value.shape[-1]
        for axis in range(constant.ndim):  # exporters write broadcasts out
            first = constant.take([0], axis)
            if constant.shape[axis] > 1 and (constant == first).all():
                constant = first
        if constant.size == 1:
            return constant.reshape(())
        where = constant.ndim - 3 if len(value.shape) == 3 else constant.ndim - 1
        if constant.size != channels or where < 0 or constant.shape[where] != channels:
            raise ConvertError(f"constant of shape {constant.shape}: wanted one number, or one a channel ({channels})")
        return constant.reshape(-1)

    def _float(self, value: Value) -> Value:
        if value.dtype != "bits":
            return value
        return self.graph(b.ScaleBias(0.5, 0.5) if value.name in self.steps else b.ScaleBias(), value)

    def _moved(self, layer: b.Layer, *values: Value) -> Value:
        """Behind a layer that moves bits and makes none: what they count as stays."""
        steps = {value.name in self.steps for value in values}
        if len(steps) > 1 or len({value.dtype for value in values}) > 1:
            values, steps = tuple(self._float(value) for value in values), {False}
        made: Value = self.graph(layer, *values)
        if True in steps:
            self.steps.add(made.name)
        return made

    # ---- signs ----

    def _do_sign(self, op: Op) -> Value:
        value = self._value(op)
        if value.dtype == "bits" and value.name not in self.steps:
            return value
        return self.graph(b.Sign(), self._float(value))

    def _do_binarize(self, op: Op) -> Value:
        value, level = self._float(self._value(op)), self._constant(op, 1)
        assert level is not None
        flat = level.reshape(-1) if op.attributes.get("per_channel") else self._vector(level, value)
        return self.graph(b.Binarize(flat), value)

    def _do_step(self, op: Op) -> Value:
        bits = self._do_binarize(op)
        self.steps.add(bits.name)
        return bits

    def _do_bipolarquant(self, op: Op) -> Value:
        value, scale = self._float(self._value(op)), self._constant(op, 1)
        if scale is None or (scale <= 0).any():
            raise ConvertError("scale: wanted a constant above 0")
        bits = self.graph(b.Sign(), value)
        return bits if (scale == 1).all() else self.graph(b.ScaleBias(self._vector(scale, value)), bits)

    def _do_quant(self, op: Op) -> Value:
        bits = self.net.constants.get(op.inputs[3], np.zeros(0))
        raise ConvertError(
            f"activations of {', '.join(f'{b:g}' for b in np.unique(bits)) or 'unknown'} bits: the engine runs one-bit "
            "activations (BipolarQuant, or an unsigned Quant of 1 bit): retrain or export with 1-bit quantizers"
        )

    def _do_multithreshold(self, op: Op) -> Value:
        levels = self.net.constants.get(op.inputs[1], np.zeros((0, 0)))
        raise ConvertError(
            f"thresholds: got {levels.shape[-1]} of a channel, wanted 1: the engine runs one-bit activations: retrain "
            "or export with 1-bit quantizers"
        )

    # ---- sums ----

    def _sum(self, weight: Array, bias: Array | None, kinds: tuple[Any, Any], value: Value, **fields: Any) -> Value:
        magnitude, step = binary_weights(weight), value.name in self.steps
        if magnitude is None:
            value = self._float(value) if step else value
            return self.graph(kinds[1](weight, bias=bias, **fields), value)
        scale = None if np.allclose(magnitude, 1, rtol=NEAR, atol=0) else magnitude
        fields = {**fields, "zero_one": True} if step else fields
        return self.graph(kinds[0](weight > 0, scale=scale, bias=bias, **fields), value)

    def _do_conv(self, op: Op) -> Value:
        value, weight, bias = self._value(op), self._constant(op, 1), self._constant(op, 2)
        if weight is None or weight.ndim != 4:
            raise ConvertError("weight: wanted a constant (O, I, KH, KW)")
        height, width, _ = value.shape
        top, left, bottom, right = pads_of(op.attributes, (height, width), weight.shape[2:])
        fields = {
            "strides": tuple(op.attributes.get("strides", (1, 1))),
            "dilation": tuple(op.attributes.get("dilations", (1, 1))),
            "groups": int(op.attributes.get("group", 1)),
            "padding": ((top, bottom), (left, right)),
            "pad_value": int(op.attributes.get("pad_value", 0)),
        }
        kinds = (b.BinaryConv2d, b.Conv2d)
        return self._sum(np.ascontiguousarray(weight.transpose(0, 2, 3, 1)), bias, kinds, value, **fields)

    def _do_matmul(self, op: Op) -> Value:
        weight = self._constant(op, 1)
        if weight is None or weight.ndim != 2:
            raise ConvertError("weight: wanted a constant (K, O)")
        return self._sum(np.ascontiguousarray(weight.T), None, (b.BinaryDense, b.Dense), self._value(op))

    def _do_xnorpopcountmatmul(self, op: Op) -> Value:
        """FINN's: both sides 0 and 1, each pair of equal ones counts."""
        value, weight = self._value(op), self._constant(op, 1)
        if weight is None or weight.ndim != 2 or not np.isin(weight, (0, 1)).all() or value.name not in self.steps:
            raise ConvertError("wanted steps of 0 and 1, and constant weights of 0 and 1, (K, O)")
        half = weight.shape[0] / 2
        return self.graph(b.BinaryDense(weight.T > 0, scale=0.5, bias=half), value)

    def _do_gemm(self, op: Op) -> Value:
        weight, bias = self._constant(op, 1), self._constant(op, 2)
        if weight is None or op.attributes.get("transA"):
            raise ConvertError("weight: wanted a constant, and transA 0")
        weight = (weight if op.attributes.get("transB") else weight.T) * np.float32(op.attributes.get("alpha", 1.0))
        value = self._value(op)
        if bias is not None:
            bias = np.broadcast_to(bias * np.float32(op.attributes.get("beta", 1.0)), (weight.shape[0],))
        return self._sum(np.ascontiguousarray(weight), bias, (b.BinaryDense, b.Dense), value)

    # ---- arithmetic ----

    def _do_batchnormalization(self, op: Op) -> Value:
        gamma, beta, mean, variance = (self._constant(op, i) for i in (1, 2, 3, 4))
        layer = b.BatchNorm(gamma, beta, mean, variance, op.attributes.get("epsilon", 1e-5))
        return self.graph(layer, self._value(op))

    def _merge(self, op: Op, layer: b.Layer, constant: Callable[[Value, Array, bool], Value]) -> Value:
        names = op.inputs
        if all(name in self.values for name in names):
            first, second = (self._float(self.values[name]) for name in names)
            if isinstance(layer, (b.Add, b.Multiply)) and np.prod(second.shape) > np.prod(first.shape):
                first, second = second, first
            return self.graph(layer, first, second)
        at = 0 if names[0] in self.values else 1
        value = self._float(self.values[names[at]])
        return constant(value, self._vector(self.net.constants[names[1 - at]], value), at == 0)

    def _do_add(self, op: Op) -> Value:
        return self._merge(op, b.Add(), lambda v, c, _: v + c)

    def _do_sub(self, op: Op) -> Value:
        return self._merge(op, b.Subtract(), lambda v, c, first: v - c if first else c - v)

    def _do_mul(self, op: Op) -> Value:
        return self._merge(op, b.Multiply(), lambda v, c, _: v * c)

    def _do_div(self, op: Op) -> Value:
        value, by = self._float(self._value(op)), self._constant(op, 1)
        assert by is not None
        return value * (1 / self._vector(by, value).astype(np.float64))

    def _do_neg(self, op: Op) -> Value:
        return self._float(self._value(op)) * -1.0

    # ---- functions, pools, shapes ----

    def _on_floats(self, layer: b.Layer, op: Op) -> Value:
        return self.graph(layer, self._float(self._value(op)))

    def _do_relu(self, op: Op) -> Value:
        return self._on_floats(b.ReLU(), op)

    def _do_leakyrelu(self, op: Op) -> Value:
        return self._on_floats(b.LeakyReLU(op.attributes.get("alpha", 0.01)), op)

    def _do_prelu(self, op: Op) -> Value:
        slope, value = self._constant(op, 1), self._value(op)
        assert slope is not None
        return self._on_floats(b.PReLU(self._vector(slope, value)), op)

    def _do_clip(self, op: Op) -> Value:
        low, high = self._constant(op, 1), self._constant(op, 2)
        low, high = op.attributes.get("min", low), op.attributes.get("max", high)
        return self._on_floats(b.Clip(low, high), op)

    def _do_sigmoid(self, op: Op) -> Value:
        return self._on_floats(b.Sigmoid(), op)

    def _do_tanh(self, op: Op) -> Value:
        return self._on_floats(b.Tanh(), op)

    def _do_abs(self, op: Op) -> Value:
        return self._on_floats(b.Abs(), op)

    def _do_softmax(self, op: Op) -> Value:
        value = self._float(self._value(op))
        if len(value.shape) != 1 or op.attributes.get("axis", -1) not in (-1, 1):
            raise ConvertError("axis: wanted the last one of (N, C)")
        return self.graph(b.Softmax(), value)

    def _pool(self, op: Op, kind: Any, **fields: Any) -> Value:
        value = self._value(op)
        kernel = tuple(op.attributes["kernel_shape"])
        top, left, bottom, right = pads_of(op.attributes, value.shape[:2], kernel)
        strides = tuple(op.attributes.get("strides", (1, 1)))
        if op.attributes.get("ceil_mode"):
            raise ConvertError("ceil_mode: 1 is not taken; export with ceil_mode=False")
        padding = ((top, bottom), (left, right))
        outside = op.attributes.get("pad_value")
        if outside is not None and (top or bottom or left or right):
            value, padding = self._moved(b.Pad(padding, float(outside)), value), ((0, 0), (0, 0))
        if kind is not b.MaxPool2d:
            value = self._float(value)
        return self._moved(kind(kernel, strides, padding, **fields), value)

    def _do_pad(self, op: Op) -> Value:
        given, value = self._constant(op, 1), self._constant(op, 2)
        pads = [int(n) for n in (op.attributes["pads"] if given is None else given)]
        if len(pads) != 8 or any(pads[i] for i in (0, 1, 4, 5)) or min(pads) < 0:
            raise ConvertError(f"pads: got {pads}, wanted height and width of an image, from 0")
        fill = float(op.attributes.get("value", 0.0) if value is None else value.reshape(-1)[0])
        if op.attributes.get("mode", b"constant") not in (b"constant", "constant"):
            raise ConvertError(f"mode: got {op.attributes['mode']!r}, wanted 'constant'")
        sides, x = ((pads[2], pads[6]), (pads[3], pads[7])), self._value(op)
        if x.dtype == "bits" and (x.name in self.steps or fill not in (1, -1)):
            x = self._float(x)
        return self.graph(b.Pad(sides, fill), x)

    def _do_maxpool(self, op: Op) -> Value:
        return self._pool(op, b.MaxPool2d)

    def _do_averagepool(self, op: Op) -> Value:
        return self._pool(op, b.AveragePool2d, count_include_pad=bool(op.attributes.get("count_include_pad", 0)))

    def _do_globalmaxpool(self, op: Op) -> Value:
        pooled = self._on_floats(b.GlobalMaxPool(), op)
        return self.graph(b.Reshape((1, 1, pooled.shape[0])), pooled)

    def _do_globalaveragepool(self, op: Op) -> Value:
        pooled = self._mean(self._value(op))
        return self.graph(b.Reshape((1, 1, pooled.shape[0])), pooled)

    def _mean(self, value: Value) -> Value:
        return self.graph(b.GlobalAveragePool(), self._float(value) if value.name in self.steps else value)

    def _reduced(self, op: Op, function: b.Layer | None, total: bool) -> Value:
        """The mean or sum over height and width, or over the channels, of a function of the value."""
        value = self._value(op)
        axes = sorted(n % (len(value.shape) + 1) for n in self._given_axes(op))
        if len(value.shape) != 3 or axes not in ([2, 3], [1]):
            raise ConvertError(f"axes: got {axes}, wanted height and width of an image, or its channels")
        value = value if function is None else self.graph(function, self._float(value))
        rows, columns, channels = value.shape
        keep = bool(op.attributes.get("keepdims", 1))
        if axes == [1]:
            scale = 1.0 if total else 1 / channels
            made = self.graph(b.Conv2d(np.ones((1, 1, 1, channels), np.float32), scale=scale), self._float(value))
            return made if keep else self.graph(b.Reshape((rows, columns)), made)
        made = self._mean(value)
        made = made * float(rows * columns) if total else made
        return self.graph(b.Reshape((1, 1, channels)), made) if keep else made

    def _do_reducemean(self, op: Op) -> Value:
        return self._reduced(op, None, total=False)

    def _do_reducesum(self, op: Op) -> Value:
        return self._reduced(op, None, total=True)

    def _do_reducel1(self, op: Op) -> Value:
        return self._reduced(op, b.Abs(), total=True)

    def _reshaped(self, value: Value, shape: tuple[int, ...]) -> Value:
        """Another shape of the source's, without the batch; images turn to channels-first and back."""
        if len(value.shape) == 3 and value.shape[0] * value.shape[1] > 1 and value.shape[2] > 1:
            value = self._moved(b.Transpose((2, 0, 1)), value)
        if len(shape) == 1:
            return self._moved(b.Flatten(), value) if len(value.shape) > 1 else value
        if len(shape) != 3:
            return self._moved(b.Reshape(shape), value)
        channels, rows, columns = shape
        if channels == 1 or rows * columns == 1:
            return self._moved(b.Reshape((rows, columns, channels)), value)
        return self._moved(b.Transpose((1, 2, 0)), self._moved(b.Reshape(shape), value))

    def _flat(self, value: Value) -> Value:
        """A vector in the order of channels-first."""
        return self._reshaped(value, (int(np.prod(value.shape)),))

    def _do_flatten(self, op: Op) -> Value:
        if op.attributes.get("axis", 1) != 1:
            raise ConvertError(f"axis: got {op.attributes['axis']}, wanted 1")
        return self._flat(self._value(op))

    def _do_reshape(self, op: Op) -> Value:
        shape, value = self._constant(op, 1), self._value(op)
        if shape is None or not 2 <= shape.size <= 6:
            raise ConvertError("shape: wanted a constant of 2 to 6 dimensions")
        ours = self._source_shape(value)
        sizes = [int(n) or ours[i] for i, n in enumerate(shape)][1:]
        count, known = int(np.prod(ours)), int(np.prod([n for n in sizes if n != -1]))
        found = tuple(count // max(known, 1) if n == -1 else n for n in sizes)
        if sizes.count(-1) > 1 or int(np.prod(found)) != count or int(shape[0]) not in (-1, 0, 1, self._batch()):
            raise ConvertError(f"shape: got {shape.tolist()}, wanted the batch first, and {count} numbers behind it")
        return self._reshaped(value, found)

    def _batch(self) -> int:
        """Of the source's inputs, where it is fixed."""
        return max(shape[0] for shape in self.net.inputs.values())

    def _source_shape(self, value: Value) -> tuple[int, ...]:
        """With a batch of 1."""
        return (1, value.shape[2], *value.shape[:2]) if len(value.shape) == 3 else (1, *value.shape)

    def _given_axes(self, op: Op) -> list[int]:
        given: Any = op.attributes.get("axes")
        given = self._constant(op, 1) if given is None else given
        return [] if given is None else [int(n) for n in np.atleast_1d(given)]

    def _do_squeeze(self, op: Op) -> Value:
        value = self._value(op)
        shape, axes = self._source_shape(value), self._given_axes(op)
        gone = {n % len(shape) for n in axes} or {i for i, n in enumerate(shape) if i and n == 1}
        if 0 in gone or any(shape[i] != 1 for i in gone) or len(gone) == len(shape) - 1:
            raise ConvertError(f"axes: got {axes} of {shape}, wanted those of one, without the batch")
        return self._reshaped(value, tuple(n for i, n in enumerate(shape) if i and i not in gone))

    def _do_unsqueeze(self, op: Op) -> Value:
        value = self._value(op)
        shape, axes = list(self._source_shape(value)), self._given_axes(op)
        for axis in sorted(n % (len(shape) + len(axes)) for n in axes):
            if axis == 0:
                raise ConvertError(f"axes: got {axes}, wanted them behind the batch")
            shape.insert(axis, 1)
        return self._reshaped(value, tuple(shape[1:]))

    def _axis(self, axis: int, value: Value) -> int:
        """An axis of the source's order as one of ours, without the batch."""
        rank = len(value.shape)
        axis = axis % (rank + 1)
        if axis == 0:
            raise ConvertError("axis: got 0, the batch, wanted another one")
        return {1: 2, 2: 0, 3: 1}[axis] if rank == 3 else axis - 1

    def _do_concat(self, op: Op) -> Value:
        values = [self._value(op, i) for i in range(len(op.inputs))]
        axis = self._axis(op.attributes["axis"], values[0])
        while len(values) > 8:
            values = [self._moved(b.Concat(axis), *values[:8]), *values[8:]]
        return values[0] if len(values) == 1 else self._moved(b.Concat(axis), *values)

    def _do_split(self, op: Op) -> tuple[Value, ...]:
        value, given = self._value(op), self._constant(op, 1)
        axis = self._axis(op.attributes.get("axis", 0), value)
        sizes: Any = op.attributes.get("split") if given is None else given
        if sizes is None:
            parts = op.attributes["parts"]
            sizes = [-(-value.shape[axis] // parts)] * (parts - 1)
            sizes.append(value.shape[axis] - sum(sizes))
        ends = np.cumsum(sizes).tolist()
        return tuple(
            self._moved(b.Slice(end - int(size), end, axis), value) for end, size in zip(ends, sizes, strict=True)
        )

    def _do_slice(self, op: Op) -> Value:
        value = self._value(op)
        starts, stops, axes, steps = (
            op.attributes.get(key, self._constant(op, i))
            for i, key in enumerate(("starts", "ends", "axes", "steps"), 1)
        )
        if starts is None or stops is None:
            raise ConvertError("starts and ends: wanted constants")
        axes = range(len(starts)) if axes is None else axes
        if steps is not None and (np.asarray(steps) != 1).any():
            raise ConvertError(f"steps: got {steps}, wanted 1")
        for start, stop, axis in zip(starts, stops, axes, strict=True):
            ours = self._axis(int(axis), value)
            start, stop, _ = slice(int(start), int(stop)).indices(value.shape[ours])
            if (start, stop) == (0, value.shape[ours]):
                continue
            value = self._moved(b.Slice(start, stop, ours), value)
        return value

    def _do_channelshuffle(self, op: Op) -> Value:
        return self._moved(b.ChannelShuffle(op.attributes["groups"]), self._value(op))

    def _do_transpose(self, op: Op) -> Value:
        value, perm = self._value(op), list(op.attributes.get("perm", ()))
        rank = len(value.shape)
        if len(perm) != rank + 1 or perm[0] != 0:
            raise ConvertError(f"perm: got {perm}, wanted the batch first, and {rank + 1} axes")
        if rank != 3:
            return self._moved(b.Transpose(tuple(axis - 1 for axis in perm[1:])), value)
        # both sides are channels-last here: output axes (H, W, C) are the source's 2, 3, 1
        return self._moved(b.Transpose(tuple(self._axis(perm[axis], value) for axis in (2, 3, 1))), value)

    def _do_resize(self, op: Op) -> Value:
        value = self._value(op)
        rest = [self._constant(op, i) for i in range(1, len(op.inputs))]
        rows, columns, channels = value.shape
        batch, same, tall, wide = resize_factors(op.attributes, (1, channels, rows, columns), rest)
        if batch != 1 or same != 1:
            raise ConvertError("scales: wanted height and width of an image")
        return self._moved(b.Upsample2d((tall, wide)), value)

    _do_upsample = _do_resize

    # ---- more functions ----

    def _do_max(self, op: Op) -> Value:
        return self._bounded(op, lower=True)

    def _do_min(self, op: Op) -> Value:
        return self._bounded(op, lower=False)

    def _bounded(self, op: Op, *, lower: bool) -> Value:
        names = [name for name in op.inputs if name in self.values]
        bounds = [self.net.constants[name] for name in op.inputs if name in self.net.constants]
        if len(names) != 1 or len(bounds) != 1:
            raise ConvertError("wanted a value and a constant")
        value = self._float(self.values[names[0]])
        bound = self._vector(bounds[0], value)
        return self.graph(b.Clip(bound, None) if lower else b.Clip(None, bound), value)

    def _do_gelu(self, op: Op) -> Value:
        how = op.attributes.get("approximate", "none")
        return self._on_floats(b.GELU(how.decode() if isinstance(how, bytes) else how), op)

    def _do_hardswish(self, op: Op) -> Value:
        return self._on_floats(b.HardSwish(), op)

    def _do_hardsigmoid(self, op: Op) -> Value:
        value = self._float(self._value(op))
        slope, offset = (float(op.attributes.get(key, none)) for key, none in (("alpha", 0.2), ("beta", 0.5)))
        return self.graph(b.Clip(0.0, 1.0), value * slope + offset)

    def _do_layernormalization(self, op: Op) -> Value:
        value, scale, bias = self._float(self._value(op)), self._constant(op, 1), self._constant(op, 2)
        if len(value.shape) == 3 or op.attributes.get("axis", -1) not in (-1, len(value.shape)):
            raise ConvertError("axis: wanted the last one, of a value that is no image")
        assert scale is not None
        bias = np.zeros_like(scale) if bias is None else bias
        return self.graph(b.LayerNorm(scale, bias, op.attributes.get("epsilon", 1e-5)), value)

    def _do_argmax(self, op: Op) -> Value:
        value = self._float(self._value(op))
        if len(value.shape) != 1 or op.attributes.get("axis", 0) not in (-1, 1):
            raise ConvertError("axis: wanted the last one of (N, C)")
        return self.graph(b.ArgMax(), value)

    def _do_topk(self, op: Op) -> tuple[Value, ...]:
        value, k = self._float(self._value(op)), self._constant(op, 1)
        if k is None or len(value.shape) != 1 or not op.attributes.get("largest", 1):
            raise ConvertError("wanted the largest of (N, C), as many as a constant says")
        made: Any = self.graph(b.TopK(int(k.reshape(-1)[0])), value)
        return tuple(made)
