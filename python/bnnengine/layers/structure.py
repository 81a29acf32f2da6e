"""Layers that move numbers and compute none: concatenation, slices, orders, shapes, padding, repetition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnengine.layers.base import Array, Layer, Spec, Tensors, bad, expect
from bnnengine.layers.window import padding_pairs, pair

_MOVED = ("bits", "float32")


def _axis(layer: Layer, axis: int, rank: int) -> int:
    """An axis of a shape without the batch, counted from 0; negative ones count from the end."""
    if not isinstance(axis, (int, np.integer)) or not -rank <= axis < rank:
        raise bad(type(layer).__name__, "axis", axis, f"{-rank} to {rank - 1}, without the batch")
    return int(axis) % rank


@dataclass(frozen=True, eq=False)
class Concat(Layer):
    """2 to 8 values one after the other along an axis (without the batch); bits or float32, all alike elsewhere."""

    op = "concat"
    inputs = (2, 8)
    axis: int = -1
    name: str | None = None

    def output_spec(self, *specs: Spec) -> Spec:
        """The shape with the axes summed."""
        for spec in specs:
            expect(self, spec, _MOVED)
        dtype, shape = specs[0]
        axis = _axis(self, self.axis, len(shape))
        for other, other_shape in specs[1:]:
            if other != dtype:
                raise bad("Concat", "input dtypes", [spec[0] for spec in specs], "all bits or all float32")
            if len(other_shape) != len(shape) or any(
                a != b for k, (a, b) in enumerate(zip(shape, other_shape, strict=True)) if k != axis
            ):
                raise bad("Concat", "input shapes", [spec[1] for spec in specs], f"alike but for axis {axis}")
        return dtype, (*shape[:axis], sum(spec[1][axis] for spec in specs), *shape[axis + 1 :])

    def reference(self, *arrays: Array) -> Array:
        """One array."""
        return np.concatenate(arrays, axis=_axis(self, self.axis, arrays[0].ndim - 1) + 1)

    def placed(self, rank: int) -> Concat:
        """With the axis counted from 0."""
        return Concat(_axis(self, self.axis, rank), self.name)

    def lower(self, *specs: Spec) -> list[Layer]:
        """With the axis counted from 0."""
        return [self.placed(len(specs[0][1]))]

    def to_record(self) -> tuple[dict[int, Any], list[int]]:
        """The axis."""
        return {}, [self.axis]

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> Concat:
        """From the file."""
        return cls(attributes[0], name)


@dataclass(frozen=True, eq=False)
class Slice(Layer):
    """start .. stop-1 of an axis (without the batch); bits or float32. Negative numbers count from the end."""

    op = "slice"
    start: int
    stop: int | None = None
    axis: int = -1
    name: str | None = None

    def _range(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        axis = _axis(self, self.axis, len(shape))
        start, stop, _ = slice(self.start, self.stop).indices(shape[axis])
        if start >= stop:
            raise bad("Slice", "start and stop", (self.start, self.stop), f"a range in 0 .. {shape[axis]}, not empty")
        return axis, start, stop

    def output_spec(self, spec: Spec) -> Spec:
        """The shape with the axis cut."""
        expect(self, spec, _MOVED)
        axis, start, stop = self._range(spec[1])
        return spec[0], (*spec[1][:axis], stop - start, *spec[1][axis + 1 :])

    def reference(self, x: Array) -> Array:
        """The part."""
        axis, start, stop = self._range(x.shape[1:])
        return x[(slice(None),) * (axis + 1) + (slice(start, stop),)]

    def lower(self, *specs: Spec) -> list[Layer]:
        """With all numbers counted from 0."""
        axis, start, stop = self._range(specs[0][1])
        return [Slice(start, stop, axis, self.name)]

    def to_record(self) -> tuple[dict[int, Any], list[int]]:
        """Axis, start and count."""
        assert self.stop is not None
        return {}, [self.axis, self.start, self.stop - self.start]

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> Slice:
        """From the file."""
        axis, start, count = attributes[:3]
        return cls(start, start + count, axis, name)


@dataclass(frozen=True, eq=False)
class ChannelShuffle(Layer):
    """Channels (groups, C / groups) to (C / groups, groups) (ShuffleNet, arXiv:1707.01083); bits or float32."""

    op = "channel_shuffle"
    groups: int
    name: str | None = None

    def output_spec(self, spec: Spec) -> Spec:
        """The same."""
        expect(self, spec, _MOVED)
        if not isinstance(self.groups, (int, np.integer)) or self.groups < 1 or spec[1][-1] % self.groups:
            raise bad("ChannelShuffle", "groups", self.groups, f"a divisor of the {spec[1][-1]} channels")
        return spec

    def reference(self, x: Array) -> Array:
        """The same shape."""
        y: Array = x.reshape(*x.shape[:-1], self.groups, -1).swapaxes(-1, -2).reshape(x.shape)
        return y

    def to_record(self) -> tuple[dict[int, Any], list[int]]:
        """Groups."""
        return {}, [int(self.groups)]

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> ChannelShuffle:
        """From the file."""
        return cls(attributes[0], name)


@dataclass(frozen=True, eq=False)
class Transpose(Layer):
    """Axes (without the batch, from 0) in another order: axis k of the output is axis axes[k]; bits or float32."""

    op = "transpose"
    axes: Any
    name: str | None = None

    def __post_init__(self) -> None:
        """Refuses what is no order of axes."""
        axes = tuple(int(a) for a in self.axes)
        if sorted(axes) != list(range(len(axes))) or not axes:
            raise bad("Transpose", "axes", self.axes, "each of 0 .. rank-1 once, without the batch")
        object.__setattr__(self, "axes", axes)

    def output_spec(self, spec: Spec) -> Spec:
        """The shape in the other order."""
        expect(self, spec, _MOVED)
        if len(self.axes) != len(spec[1]):
            raise bad("Transpose", "axes", self.axes, f"{len(spec[1])} of them, for shape {spec[1]}")
        return spec[0], tuple(spec[1][a] for a in self.axes)

    def reference(self, x: Array) -> Array:
        """Transposed."""
        return np.ascontiguousarray(x.transpose(0, *(a + 1 for a in self.axes)))

    def to_record(self) -> tuple[dict[int, Any], list[int]]:
        """The axes."""
        return {}, list(self.axes)

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> Transpose:
        """From the file, where zeros follow the axes: the longest start that is an order of axes."""
        rank = max(n for n in range(1, 7) if sorted(attributes[:n]) == list(range(n)))
        return cls(tuple(attributes[:rank]), name)


@dataclass(frozen=True, eq=False)
class Reshape(Layer):
    """The same numbers, row-major, in another shape (without the batch); one dimension may be -1."""

    op = "reshape"
    shape: Any
    name: str | None = None

    def __post_init__(self) -> None:
        """Refuses more than one -1, and empty dimensions."""
        shape = tuple(int(n) for n in ((self.shape,) if isinstance(self.shape, int) else self.shape))
        if not 0 < len(shape) <= 6 or shape.count(-1) > 1 or any(n < 1 and n != -1 for n in shape):
            raise bad("Reshape", "shape", self.shape, "1 to 6 dimensions of at least 1, one of which may be -1")
        object.__setattr__(self, "shape", shape)

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        count, known = math.prod(shape), math.prod(n for n in self.shape if n != -1)
        found = tuple(count // known if n == -1 else n for n in self.shape)
        if math.prod(found) != count:
            raise bad("Reshape", "shape", self.shape, f"one of {count} numbers, as {shape} has")
        return found

    def output_spec(self, spec: Spec) -> Spec:
        """The shape."""
        expect(self, spec, ("bits", "uint8", "float32"))
        return spec[0], self._shape(spec[1])

    def reference(self, x: Array) -> Array:
        """(N, *shape)."""
        return x.reshape(x.shape[0], *self._shape(x.shape[1:]))

    def lower(self, *specs: Spec) -> list[Layer]:
        """With every dimension known."""
        return [Reshape(self._shape(specs[0][1]), self.name)]

    @classmethod
    def from_node(cls, tensors: Tensors, attributes: Sequence[int], name: str, shape: tuple[int, ...]) -> Reshape:
        """From the file, where the output's shape says it."""
        return cls(shape, name)


@dataclass(frozen=True, eq=False)
class Pad(Layer):
    """An image with a border of one value; float32, or bits with a value of +1 or -1.

    Args:
        padding: a number, (height, width), or ((top, bottom), (left, right)).
        value: of the border.
    """

    op = "pad"
    padding: Any
    value: float = 0.0
    name: str | None = None

    def __post_init__(self) -> None:
        """Brings the padding into form."""
        object.__setattr__(self, "padding", padding_pairs("Pad", self.padding))
        if not np.isfinite(np.float32(self.value)):
            raise bad("Pad", "value", self.value, "a finite float32")

    def output_spec(self, spec: Spec) -> Spec:
        """(H + top + bottom, W + left + right, C)."""
        expect(self, spec, _MOVED, 3)
        if spec[0] == "bits" and self.value not in (1, -1):
            raise bad("Pad", "value", self.value, "+1 or -1 for bits")
        (top, bottom), (left, right) = self.padding
        return spec[0], (spec[1][0] + top + bottom, spec[1][1] + left + right, spec[1][2])

    def reference(self, x: Array) -> Array:
        """(N, H + top + bottom, W + left + right, C)."""
        return np.pad(x, ((0, 0), *self.padding, (0, 0)), constant_values=self.value)

    def to_record(self) -> tuple[dict[int, Any], list[int]]:
        """Top, left, bottom, right, and the value's bits."""
        (top, bottom), (left, right) = self.padding
        return {}, [top, left, bottom, right, int(np.float32(self.value).view(np.uint32))]

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> Pad:
        """From the file."""
        top, left, bottom, right, value = attributes[:5]
        return cls(((top, bottom), (left, right)), float(np.uint32(value).view(np.float32)), name)


@dataclass(frozen=True, eq=False)
class Upsample2d(Layer):
    """Each pixel repeated, nearest neighbour; bits or float32.

    Args:
        scale: a number or (height, width).
    """

    op = "upsample2d"
    scale: Any
    name: str | None = None

    def __post_init__(self) -> None:
        """Brings the scale into form."""
        object.__setattr__(self, "scale", pair("Upsample2d", "scale", self.scale))

    def output_spec(self, spec: Spec) -> Spec:
        """(H * scale, W * scale, C)."""
        expect(self, spec, _MOVED, 3)
        return spec[0], (spec[1][0] * self.scale[0], spec[1][1] * self.scale[1], spec[1][2])

    def reference(self, x: Array) -> Array:
        """(N, H * scale, W * scale, C)."""
        return x.repeat(self.scale[0], axis=1).repeat(self.scale[1], axis=2)

    def to_record(self) -> tuple[dict[int, Any], list[int]]:
        """The scale."""
        return {}, list(self.scale)

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> Upsample2d:
        """From the file."""
        return cls((attributes[0], attributes[1]), name)
