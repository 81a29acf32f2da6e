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
        all_nan = np.isnan(x).all(axis=-1, keepdims=True)
        # a NaN loses against -inf, which loses against everything else, yet -inf comes before a NaN
        rank = np.where(np.isnan(x), -1, 0)
        best = np.where(np.isnan(x), -np.inf, x).max(axis=-1, keepdims=True)
        first: Array = np.argmax(np.where(all_nan, True, (rank == 0) & (x == best)), axis=-1)
        return first.astype(np.int64)
