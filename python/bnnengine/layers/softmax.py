"""Softmax."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnnengine.layers.base import Array, Layer, Spec, expect


@dataclass(frozen=True, eq=False)
class Softmax(Layer):
    """exp(x - max) over its sum, along the last dimension (ONNX Softmax, axis -1)."""

    op = "softmax"
    name: str | None = None

    def output_spec(self, spec: Spec) -> Spec:
        """float32 of the same shape."""
        expect(self, spec, ("float32",))
        return spec

    def reference(self, x: Array) -> Array:
        """float32 of the same shape."""
        wide = x.astype(np.float64)
        e = np.exp(wide - wide.max(axis=-1, keepdims=True))
        return (e / e.sum(axis=-1, keepdims=True)).astype(np.float32)  # type: ignore[no-any-return]
