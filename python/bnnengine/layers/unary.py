"""Functions of one number that have a number in the file (docs/format.md, unary)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bnnengine.layers.activations import Elementwise
from bnnengine.layers.base import Array, Layer, Tensors, bad


class Unary(Elementwise):
    """Base of the functions that have a number in the file (docs/format.md, unary)."""

    op = "unary"
    number: ClassVar[int]

    def compute(self, x: Array) -> Array:
        """The function in float64."""
        raise NotImplementedError

    def reference(self, x: Array) -> Array:
        """float32 of the same shape, computed in float64."""
        with np.errstate(over="ignore"):
            return self.compute(x.astype(np.float64)).astype(np.float32)

    def to_record(self) -> tuple[dict[int, Any], list[int]]:
        """Which function."""
        return {}, [self.number]

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> Layer:
        """From the file."""
        if attributes[0] == GELU("tanh").number:
            return GELU("tanh", name)
        kind = next(kind for kind in UNARY if kind.number == attributes[0])
        return kind(name=name)  # type: ignore[call-arg]


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


@dataclass(frozen=True, eq=False)
class Sigmoid(Unary):
    """1 / (1 + exp(-x))."""

    number = 0
    name: str | None = None

    def compute(self, x: Array) -> Array:
        """In float64."""
        return _sigmoid(x)


@dataclass(frozen=True, eq=False)
class Tanh(Unary):
    """Hyperbolic tangent."""

    number = 1
    name: str | None = None

    def compute(self, x: Array) -> Array:
        """In float64."""
        return np.tanh(x)


@dataclass(frozen=True, eq=False)
class GELU(Unary):
    """x * Phi(x), Phi the normal distribution's (arXiv:1606.08415).

    Args:
        approximate: "none", or "tanh" for x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3))).
    """

    approximate: str = "none"
    name: str | None = None

    def __post_init__(self) -> None:
        """Refuses any other form."""
        if self.approximate not in ("none", "tanh"):
            raise bad("GELU", "approximate", self.approximate, '"none" or "tanh"')

    @property
    def number(self) -> int:  # type: ignore[override]
        """In the file."""
        return 2 if self.approximate == "none" else 3

    def compute(self, x: Array) -> Array:
        """In float64."""
        if self.approximate == "tanh":
            y: Array = x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
            return y
        # by erfc on the negative side, where 1 + erf would cancel
        erfc = np.vectorize(math.erfc, otypes=[np.float64])
        return x * 0.5 * erfc(-x / math.sqrt(2))  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class SiLU(Unary):
    """x * sigmoid(x), also called swish (arXiv:1710.05941)."""

    number = 4
    name: str | None = None

    def compute(self, x: Array) -> Array:
        """In float64."""
        return x * _sigmoid(x)


@dataclass(frozen=True, eq=False)
class HardSwish(Unary):
    """x * min(max(x + 3, 0), 6) / 6 (MobileNetV3, arXiv:1905.02244)."""

    number = 5
    name: str | None = None

    def compute(self, x: Array) -> Array:
        """In float64."""
        return x * np.clip(x + 3, 0, 6) / 6  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class Abs(Unary):
    """The absolute value."""

    number = 6
    name: str | None = None

    def compute(self, x: Array) -> Array:
        """In float64."""
        return np.abs(x)


UNARY: tuple[type[Unary], ...] = (Sigmoid, Tanh, GELU, SiLU, HardSwish, Abs)
