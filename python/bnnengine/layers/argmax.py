"""The index of the largest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnnengine.layers.base import Array, Layer, Spec, expect


@dataclass(frozen=True, eq=False)
class ArgMax(Layer):
    """The index of the largest along the last dimension, int64: the first of equals; a NaN only where all are (0)."""

    op = "argmax"
    name: str | None = None

    def output_spec(self, spec: Spec) -> Spec:
        """int64 without the last dimension."""
        expect(self, spec, ("float32",))
        return "int64", spec[1][:-1]

    def reference(self, x: Array) -> Array:
        """int64 without the last dimension."""
        best = np.where(np.isnan(x), -np.inf, x).max(axis=-1, keepdims=True)
        # a NaN equals nothing, so where all are NaN no place is the best, and the first false one is 0
        first: Array = np.argmax(x == best, axis=-1)
        return first.astype(np.int64)
