"""Products of two binary activations, for attention (BiT, arXiv:2205.13016)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnengine.layers.base import Array, Layer, Spec, Tensors, bad, expect


@dataclass(frozen=True, eq=False)
class BinaryMatMul(Layer):
    """scale * sum over k of a[m, k] * b[n, k]: bits (..., M, K) and bits (..., N, K) to float32 (..., M, N).

    Args:
        scale: float32.
        zero_one: the first one's bits count as 0 and 1 (attention weights) instead of -1 and +1.
    """

    op = "binary_matmul"
    inputs = (2, 2)
    scale: float = 1.0
    zero_one: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        """Rounds the scale to float32."""
        if not np.isfinite(np.float32(self.scale)):
            raise bad("BinaryMatMul", "scale", self.scale, "a finite float32")
        object.__setattr__(self, "scale", float(np.float32(self.scale)))

    def output_spec(self, first: Spec, second: Spec) -> Spec:
        """float32 (..., M, N)."""
        expect(self, first, ("bits",))
        expect(self, second, ("bits",))
        a, b = first[1], second[1]
        if len(a) < 2 or len(a) != len(b) or a[:-2] != b[:-2] or a[-1] != b[-1]:
            raise bad("BinaryMatMul", "input shapes", (a, b), "(..., M, K) and (..., N, K)")
        return "float32", (*a[:-1], b[-2])

    def reference(self, first: Array, second: Array) -> Array:
        """float32 (N, ..., M, N)."""
        a, b = first.astype(np.int64), second.astype(np.int64)
        if self.zero_one:
            a = (a + 1) // 2
        y: Array = (a @ b.swapaxes(-1, -2)).astype(np.float32) * np.float32(self.scale)
        return y

    def to_record(self) -> tuple[dict[int, Any], list[int]]:
        """zero_one, and the scale's bits."""
        return {}, [int(self.zero_one), int(np.float32(self.scale).view(np.uint32))]

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> BinaryMatMul:
        """From the file."""
        return cls(float(np.uint32(attributes[1]).view(np.float32)), bool(attributes[0]), name)
