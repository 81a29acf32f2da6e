"""What emitting an operator takes: its operands in our order of axes, and bits that count as +1 and -1 or 0 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np

import bnnengine as b
from bnnengine.convert.ir import Array, Net, Op
from bnnengine.errors import ConvertError
from bnnengine.graph import Graph, Value


class Base:
    """The values that are emitted so far, and how to get at an operator's."""

    def __init__(self, net: Net, name: str) -> None:
        """Nothing is emitted yet."""
        self.net, self.graph = net, Graph(name)
        self.values: dict[str, Value] = {}
        self.steps: set[str] = set()  # bits that count as 0 and 1
        self.wide: dict[str, tuple[int, ...]] = {}  # shapes of the source that values have yet to be expanded to
        self.turns: dict[str, tuple[tuple[int, ...], Value]] = {}  # transposed values: from which, and how
        self.refused: list[str] = []

    def _value(self, op: Op, i: int = 0) -> Value:
        if op.inputs[i] not in self.values:
            raise ConvertError(f"input {i}: a constant, wanted a value")
        return self._whole(op.inputs[i])

    def _whole(self, name: str) -> Value:
        """A value, expanded where it is to be."""
        if name in self.wide:
            self.values[name] = self._expanded(self.values[name], self.wide.pop(name))
        return self.values[name]

    def _expanded(self, value: Value, shape: tuple[int, ...]) -> Value:
        ours = self._source_shape(value)
        if shape == ours:
            return value
        if len(ours) != 4:
            raise ConvertError(f"expands {ours} to {shape}, wanted an image, or a sum or product with such a value")
        if shape[1] != ours[1]:
            value = self.graph(b.Conv2d(np.ones((shape[1], 1, 1, 1), np.float32)), self._float(value))
        return self._moved(b.Upsample2d((shape[2] // ours[2], shape[3] // ours[3])), value)

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

    def _on_floats(self, layer: b.Layer, op: Op) -> Value:
        return self.graph(layer, self._float(self._value(op)))

    def _axis(self, axis: int, value: Value) -> int:
        """An axis of the source's order as one of ours, without the batch."""
        rank = len(value.shape)
        axis = axis % (rank + 1)
        if axis == 0:
            raise ConvertError("axis: got 0, the batch, wanted another one")
        return {1: 2, 2: 0, 3: 1}[axis] if rank == 3 else axis - 1

    def _source_shape(self, value: Value) -> tuple[int, ...]:
        """With a batch of 1."""
        return (1, value.shape[2], *value.shape[:2]) if len(value.shape) == 3 else (1, *value.shape)

    def _given_axes(self, op: Op) -> list[int]:
        given: Any = op.attributes.get("axes")
        given = self._constant(op, 1) if given is None else given
        return [] if given is None else [int(n) for n in np.atleast_1d(given)]

    def _turned(self, axes: tuple[int, ...], value: Value) -> Value:
        """Axes in another order; two turns are one, and one that changes nothing is none."""
        first, source = self.turns.get(value.name, (tuple(range(len(axes))), value))
        axes = tuple(first[axis] for axis in axes)
        if axes == tuple(range(len(axes))):
            return source
        made = self._moved(b.Transpose(axes), source)
        self.turns[made.name] = axes, source
        return made

    def _reshaped(self, value: Value, shape: tuple[int, ...]) -> Value:
        """Another shape of the source's, without the batch; images turn to channels-first and back."""
        if len(value.shape) == 3 and value.shape[0] * value.shape[1] > 1 and value.shape[2] > 1:
            value = self._turned((2, 0, 1), value)
        if len(shape) == 1:
            return self._moved(b.Flatten(), value) if len(value.shape) > 1 else value
        if len(shape) != 3:
            return self._moved(b.Reshape(shape), value)
        channels, rows, columns = shape
        if channels == 1 or rows * columns == 1:
            return self._moved(b.Reshape((rows, columns, channels)), value)
        return self._turned((1, 2, 0), self._moved(b.Reshape(shape), value))

    def _flat(self, value: Value) -> Value:
        """A vector in the order of channels-first."""
        return self._reshaped(value, (int(np.prod(value.shape)),))

    def _batch(self) -> int:
        """Of the source's inputs, where it is fixed."""
        return max(shape[0] for shape in self.net.inputs.values())
