"""The mean of each channel over the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnnengine.layers.base import Array, Layer, Spec, expect


@dataclass(frozen=True, eq=False)
class GlobalAveragePool(Layer):
    """Image (H, W, C) to (C,), float32: the sum over the image divided by H * W; bits count as +1 and -1."""

    op = "global_average_pool"
    name: str | None = None

    def output_spec(self, spec: Spec) -> Spec:
        """float32 (C,)."""
        expect(self, spec, ("bits", "float32"), 3)
        return "float32", spec[1][2:]

    def reference(self, x: Array) -> Array:
        """(N, H, W, C) to (N, C)."""
        wide = np.int64 if x.dtype == np.int8 else np.float64
        total = x.astype(wide).sum(axis=(1, 2)).astype(np.float32)
        return total / np.float32(x.shape[1] * x.shape[2])  # type: ignore[no-any-return]
