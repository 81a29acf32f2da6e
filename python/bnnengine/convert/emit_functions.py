"""Arithmetic, functions, pools and reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import bnnengine as b
from bnnengine.convert.emit_base import Base
from bnnengine.convert.ir import Array, Op
from bnnengine.convert.reading import pads_of
from bnnengine.errors import ConvertError
from bnnengine.graph import Value


class Functions(Base):
    """Emits them, one method a kind."""

    def _do_batchnormalization(self, op: Op) -> Value:
        if op.attributes.get("training_mode"):
            raise ConvertError("training_mode: 1 is not taken: export the network in evaluation mode")
        gamma, beta, mean, variance = (self._constant(op, i) for i in (1, 2, 3, 4))
        layer = b.BatchNorm(gamma, beta, mean, variance, op.attributes.get("epsilon", 1e-5))
        value = self._value(op)
        if len(value.shape) == 2:  # (C, L) in the source, where channels come first
            return self._turned((1, 0), self.graph(layer, self._turned((1, 0), value)))
        if len(value.shape) > 3:
            raise ConvertError(f"got a value of {len(value.shape)} axes without the batch, wanted 1 to 3")
        return self.graph(layer, value)

    def _merge(self, op: Op, layer: b.Layer, constant: Callable[[Value, Array, bool], Value]) -> Value:
        names = op.inputs
        if all(name in self.values for name in names):
            first, second = (self._float(value) for value in self._broadcast(*names))
            if isinstance(layer, (b.Add, b.Multiply)) and np.prod(second.shape) > np.prod(first.shape):
                first, second = second, first
            return self.graph(layer, first, second)
        at = 0 if names[0] in self.values else 1
        value = self._float(self._whole(names[at]))
        return constant(value, self._vector(self.net.constants[names[1 - at]], value), at == 0)

    def _broadcast(self, *names: str) -> list[Value]:
        """Two operands; one that is expanded to the other's shape stays as it is."""
        for name, other in (names, names[::-1]):
            if other not in self.wide and self.wide.get(name) == self._source_shape(self.values[other]):
                return [self.values[n] for n in names]
        return [self._whole(name) for name in names]

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
        if any(n != 1 for n in op.attributes.get("dilations", ())):
            raise ConvertError(f"dilations: got {op.attributes['dilations']}, wanted 1")
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

    def _do_max(self, op: Op) -> Value:
        return self._bounded(op, lower=True)

    def _do_min(self, op: Op) -> Value:
        return self._bounded(op, lower=False)

    def _bounded(self, op: Op, *, lower: bool) -> Value:
        names = [name for name in op.inputs if name in self.values]
        bounds = [self.net.constants[name] for name in op.inputs if name in self.net.constants]
        if len(names) != 1 or len(bounds) != 1:
            raise ConvertError("wanted a value and a constant")
        value = self._float(self._whole(names[0]))
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
