"""Two values to one, number by number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bnnengine.layers.base import Array, Layer, Spec, bad, expect


def broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    """Whether a second operand has the same shape, one number a channel, (C,) or (1, ..., C), or one a pixel."""
    channels = (*[1] * (len(to) - 1), to[-1])
    return shape in (to, to[-1:], channels, (*to[:-1], 1))


class Merge(Layer):
    """Base of add, subtract and multiply: float32 and float32 to float32 of the first one's shape.

    The second may have the same shape, or one number a channel, (C,) or (1, ..., 1, C), or one a pixel, (..., 1).
    """

    inputs = (2, 2)
    function: ClassVar[Callable[..., Any]]

    def output_spec(self, first: Spec, second: Spec) -> Spec:
        """The first one's."""
        expect(self, first, ("float32",))
        expect(self, second, ("float32",))
        if not broadcasts(second[1], first[1]):
            channels = first[1][-1]
            wanted = f"{first[1]}, ({channels},) or {(*first[1][:-1], 1)}, to go with a first input of {first[1]}"
            raise bad(type(self).__name__, "second input shape", second[1], wanted)
        return first

    def reference(self, first: Array, second: Array) -> Array:
        """float32 of the first one's shape."""
        if second.ndim < first.ndim:
            second = second.reshape(second.shape[0], *[1] * (first.ndim - 2), second.shape[-1])
        y: Array = type(self).function(first, second)
        return y


@dataclass(frozen=True, eq=False)
class Add(Merge):
    """first + second."""

    op = "add"
    function = np.add
    name: str | None = None


@dataclass(frozen=True, eq=False)
class Subtract(Merge):
    """first - second."""

    op = "subtract"
    function = np.subtract
    name: str | None = None


@dataclass(frozen=True, eq=False)
class Multiply(Merge):
    """first * second."""

    op = "multiply"
    function = np.multiply
    name: str | None = None
