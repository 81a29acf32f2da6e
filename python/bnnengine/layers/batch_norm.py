"""Batch normalization with fixed statistics (arXiv:1502.03167)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnengine.bits import frozen
from bnnengine.layers.base import Array, Layer, Spec, bad, expect


@dataclass(frozen=True, eq=False)
class BatchNorm(Layer):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta for each channel, the last dimension.

    It has no operator in the file: it folds into thresholds where a sign follows, else into scale and bias (fuse.py).

    Args:
        gamma, beta, mean, variance: (channels,), kept as float64, each within the range of float32; gamma may be
            negative or zero.
        epsilon: what training used: 1e-5 in PyTorch, 1e-3 in Keras.
    """

    gamma: Any
    beta: Any
    mean: Any
    variance: Any
    epsilon: float = 1e-5
    name: str | None = None

    def __post_init__(self) -> None:
        """Refuses lengths that differ, numbers that are not finite, and a variance that is negative."""
        for field in ("gamma", "beta", "mean", "variance"):
            try:
                values = frozen(np.ascontiguousarray(getattr(self, field), np.float64))
            except (TypeError, ValueError):
                raise bad(
                    "BatchNorm", field, f"a {type(getattr(self, field)).__name__}", "an array of numbers"
                ) from None
            if np.ndim(getattr(self, field)) != 1 or not values.size:
                raise bad("BatchNorm", field, f"shape {np.shape(getattr(self, field))}", "shape (channels,)")
            if not (np.abs(values) <= np.finfo(np.float32).max).all():
                raise bad("BatchNorm", field, "values that are not finite in float32", "finite float32 numbers")
            if values.shape != np.shape(self.gamma):
                raise bad("BatchNorm", field, f"shape {values.shape}", f"{np.shape(self.gamma)}, as gamma")
            object.__setattr__(self, field, values)
        if not 0 <= self.epsilon < np.inf or (self.variance < 0).any() or (self.variance + self.epsilon == 0).any():
            got = f"{float(self.variance.min())} with epsilon {self.epsilon}"
            raise bad("BatchNorm", "variance", got, "none below zero, epsilon neither, and their sum above zero")

    def output_spec(self, spec: Spec) -> Spec:
        """float32 of the same shape."""
        expect(self, spec, ("bits", "uint8", "float32"))
        if spec[1][-1] != self.gamma.shape[0]:
            raise bad("BatchNorm", "channels", spec[1][-1], f"{self.gamma.shape[0]}, as gamma has")
        return "float32", spec[1]

    def evaluate(self, x: Array) -> Array:
        """In float64."""
        normal = (x.astype(np.float64) - self.mean) / np.sqrt(self.variance + self.epsilon)
        return self.gamma * normal + self.beta  # type: ignore[no-any-return]

    def reference(self, x: Array) -> Array:
        """float32 of the same shape. What is negative stays so, however small, so that its sign is float64's."""
        wide = self.evaluate(x)
        y = wide.astype(np.float32)
        return np.where((wide < 0) & (y == 0), -np.finfo(np.float32).smallest_subnormal, y)

    def scale_bias(self) -> tuple[Array, Array]:
        """float64 scale and bias with x * scale + bias equal to it but for rounding."""
        scale = self.gamma / np.sqrt(self.variance + self.epsilon)
        return scale, self.beta - self.mean * scale
