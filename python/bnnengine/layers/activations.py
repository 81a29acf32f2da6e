"""Bends and limits: the activations of the float branches that are made of products and comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bnnengine.layers.base import Array, Layer, Spec, Tensors, bad, channel_vector, expect, floats
from bnnengine.layers.scale_bias import ScaleBias


class Elementwise(Layer):
    """Base of layers that take float32 of any shape to float32 of the same shape, each number by itself."""

    def output_spec(self, spec: Spec) -> Spec:
        """float32 of the same shape."""
        expect(self, spec, ("float32",))
        self.for_channels(spec[1][-1])
        return spec


def _take_vectors(layer: Layer, *fields: str, infinite: bool = False) -> None:
    """Brings fields that may be None, a number or one number a channel into form."""
    kind = type(layer).__name__
    for field in fields:
        if getattr(layer, field) is None:
            continue
        values = floats(kind, field, getattr(layer, field), infinite=infinite)
        if values.ndim > 1:
            raise bad(kind, field, f"shape {values.shape}", "a number or shape (channels,)")
        object.__setattr__(layer, field, values)


def _vector(layer: Layer, field: str, channels: int) -> Array | None:
    values = getattr(layer, field)
    return None if values is None else channel_vector(layer, field, values, channels)


@dataclass(frozen=True, eq=False)
class PReLU(Elementwise):
    """z where z > 0, else z * slope, with z = x - shift_in; then + shift_out; rounded to float32 after each step.

    PReLU is arXiv:1502.01852; with shifts it is RPReLU (ReActNet, arXiv:2003.03488, equation 6).

    Args:
        slope: float32, a number or (channels,), the last dimension.
        shift_in, shift_out: the same, or None for none.
    """

    op = "prelu"
    slope: Any
    shift_in: Any = None
    shift_out: Any = None
    name: str | None = None

    def __post_init__(self) -> None:
        """Brings the vectors into form."""
        _take_vectors(self, "slope", "shift_in", "shift_out")

    def reference(self, x: Array) -> Array:
        """float32 of the same shape."""
        z = x if self.shift_in is None else x - self.shift_in
        y = np.where(z > 0, z, z * self.slope)
        return y if self.shift_out is None else y + self.shift_out

    def for_channels(self, channels: int) -> PReLU:
        """Vectors of that length."""
        slope, shift_in, shift_out = (_vector(self, f, channels) for f in ("slope", "shift_in", "shift_out"))
        return PReLU(slope, shift_in, shift_out, self.name)

    def to_record(self) -> tuple[dict[int, Any], list[int]]:
        """Slope, and the shifts that there are."""
        vectors = {0: self.slope, 1: self.shift_in, 2: self.shift_out}
        return {slot: np.atleast_1d(v) for slot, v in vectors.items() if v is not None}, []

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> PReLU:
        """From the file."""
        return cls(tensors[0], tensors.get(1), tensors.get(2), name)


@dataclass(frozen=True, eq=False)
class RPReLU(Elementwise):
    """PReLU(x - shift_in) + shift_out (ReActNet, arXiv:2003.03488, equation 6). Each a number or (channels,)."""

    shift_in: Any
    slope: Any
    shift_out: Any
    name: str | None = None

    def __post_init__(self) -> None:
        """Brings the vectors into form."""
        _take_vectors(self, "shift_in", "slope", "shift_out")

    def reference(self, x: Array) -> Array:
        """float32 of the same shape."""
        return self._prelu().reference(x)

    def for_channels(self, channels: int) -> RPReLU:
        """Vectors of that length."""
        return RPReLU(
            _vector(self, "shift_in", channels),
            _vector(self, "slope", channels),
            _vector(self, "shift_out", channels),
            self.name,
        )

    def _prelu(self) -> PReLU:
        return PReLU(self.slope, self.shift_in, self.shift_out, self.name)

    def lower(self, *specs: Spec) -> list[Layer]:
        """A PReLU with shifts."""
        return [self._prelu()]


@dataclass(frozen=True, eq=False)
class LeakyReLU(Elementwise):
    """x where x > 0, else x * slope."""

    slope: float = 0.01
    name: str | None = None

    def reference(self, x: Array) -> Array:
        """float32 of the same shape."""
        return PReLU(self.slope).reference(x)

    def lower(self, *specs: Spec) -> list[Layer]:
        """A PReLU of one slope."""
        return [PReLU(self.slope, name=self.name)]


@dataclass(frozen=True, eq=False)
class Clip(Elementwise):
    """x, but at least low and at most high; a NaN stays (ONNX Clip).

    Args:
        low, high: float32, a number or (channels,); None for no limit, but not both.
    """

    op = "clip"
    low: Any = None
    high: Any = None
    name: str | None = None

    def __post_init__(self) -> None:
        """Brings the limits into form; refuses none at all."""
        _take_vectors(self, "low", "high")
        if self.low is None and self.high is None:
            raise bad("Clip", "low and high", None, "at least one of them")

    def reference(self, x: Array) -> Array:
        """float32 of the same shape."""
        y = x if self.low is None else np.where(x < self.low, self.low, x)
        return y if self.high is None else np.where(y > self.high, self.high, y)

    def for_channels(self, channels: int) -> Clip:
        """Vectors of that length."""
        return Clip(_vector(self, "low", channels), _vector(self, "high", channels), self.name)

    def to_record(self) -> tuple[dict[int, Any], list[int]]:
        """The limits that there are."""
        return {s: np.atleast_1d(v) for s, v in ((0, self.low), (1, self.high)) if v is not None}, []

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> Clip:
        """From the file."""
        return cls(tensors.get(0), tensors.get(1), name)


class _Limits(Elementwise):
    """A Clip with fixed limits."""

    limits: ClassVar[tuple[float, float | None]]

    def reference(self, x: Array) -> Array:
        """float32 of the same shape."""
        return Clip(*self.limits).reference(x)

    def lower(self, *specs: Spec) -> list[Layer]:
        """A Clip."""
        return [Clip(*self.limits, name=self.name)]


@dataclass(frozen=True, eq=False)
class ReLU(_Limits):
    """max(x, 0); a NaN stays."""

    limits = (0.0, None)
    name: str | None = None


@dataclass(frozen=True, eq=False)
class ReLU6(_Limits):
    """min(max(x, 0), 6)."""

    limits = (0.0, 6.0)
    name: str | None = None


@dataclass(frozen=True, eq=False)
class HardTanh(_Limits):
    """min(max(x, -1), 1)."""

    limits = (-1.0, 1.0)
    name: str | None = None


@dataclass(frozen=True, eq=False)
class HardSigmoid(Elementwise):
    """min(max(x * slope + offset, 0), 1): PyTorch's with 1/6 and 1/2, Keras's with 0.2 and 0.5."""

    slope: float = 1 / 6
    offset: float = 0.5
    name: str | None = None

    def reference(self, x: Array) -> Array:
        """float32 of the same shape."""
        return Clip(0.0, 1.0).reference(ScaleBias(self.slope, self.offset).reference(x))

    def lower(self, *specs: Spec) -> list[Layer]:
        """A scale and bias, and a Clip."""
        return [ScaleBias(self.slope, self.offset), Clip(0.0, 1.0, name=self.name)]
