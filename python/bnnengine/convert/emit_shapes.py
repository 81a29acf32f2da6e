"""Operators that move numbers and compute none."""

from __future__ import annotations

from typing import Any

import numpy as np

import bnnengine as b
from bnnengine.convert.emit_base import Base
from bnnengine.convert.ir import Op
from bnnengine.convert.reading import resize_factors
from bnnengine.errors import ConvertError
from bnnengine.graph import Value


class Shapes(Base):
    """Emits them, one method a kind."""

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

    def _do_expand(self, op: Op) -> Value:
        value, shape = self._value(op), self._constant(op, 1)
        if shape is None:
            raise ConvertError("shape: wanted a constant")
        ours = self._source_shape(value)
        wanted = np.broadcast_shapes(ours, tuple(int(n) for n in shape))
        if len(wanted) != len(ours) or wanted[0] not in (1, self._batch()):
            raise ConvertError(f"shape: got {shape.tolist()}, wanted the batch and {len(ours) - 1} sizes")
        self.wide[op.outputs[0]] = (1, *wanted[1:])
        return value

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
        return value if found == ours[1:] else self._reshaped(value, found)

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
            return self._turned(tuple(axis - 1 for axis in perm[1:]), value)
        # both sides are channels-last here: output axes (H, W, C) are the source's 2, 3, 1
        return self._turned(tuple(self._axis(perm[axis], value) for axis in (2, 3, 1)), value)

    def _do_resize(self, op: Op) -> Value:
        value = self._value(op)
        rest = [self._constant(op, i) for i in range(1, len(op.inputs))]
        rows, columns, channels = value.shape
        batch, same, tall, wide = resize_factors(op.attributes, (1, channels, rows, columns), rest)
        if batch != 1 or same != 1:
            raise ConvertError("scales: wanted height and width of an image")
        return self._moved(b.Upsample2d((tall, wide)), value)

    _do_upsample = _do_resize
