"""The largest of a channel, the largest k numbers, and normalisation of a vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnengine.layers.base import Array, Layer, Spec, Tensors, bad, expect, floats


@dataclass(frozen=True, eq=False)
class GlobalMaxPool(Layer):
    """Image (H, W, C) to (C,), float32: the maximum of each channel; a NaN is its channel's maximum."""

    op = "global_max_pool"
    name: str | None = None

    def output_spec(self, spec: Spec) -> Spec:
        """float32 (C,)."""
        expect(self, spec, ("float32",), 3)
        return "float32", spec[1][2:]

    def reference(self, x: Array) -> Array:
        """(N, H, W, C) to (N, C)."""
        return x.max(axis=(1, 2))  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class TopK(Layer):
    """The k largest along the last dimension, falling, and their indices: of equals the first; NaNs come last."""

    op = "top_k"
    results = 2
    k: int
    name: str | None = None

    def output_spec(self, spec: Spec) -> tuple[Spec, Spec]:
        """float32 (..., k) and int64 (..., k)."""
        expect(self, spec, ("float32",))
        if not isinstance(self.k, (int, np.integer)) or not 1 <= self.k <= spec[1][-1]:
            raise bad("TopK", "k", self.k, f"1 to {spec[1][-1]}, the last dimension")
        shape = (*spec[1][:-1], int(self.k))
        return ("float32", shape), ("int64", shape)

    def reference(self, x: Array) -> tuple[Array, Array]:
        """Values and indices."""
        order = np.argsort(np.where(np.isnan(x), np.inf, -x), axis=-1, kind="stable")
        # -inf and NaN have the same key: a second stable sort puts the NaNs behind
        order = np.take_along_axis(
            order, np.argsort(np.isnan(np.take_along_axis(x, order, -1)), axis=-1, kind="stable"), -1
        )[..., : self.k]
        return np.take_along_axis(x, order, -1), order.astype(np.int64)

    def to_record(self) -> tuple[dict[int, Any], list[int]]:
        """k."""
        return {}, [int(self.k)]

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> TopK:
        """From the file."""
        return cls(attributes[0], name)


@dataclass(frozen=True, eq=False)
class LayerNorm(Layer):
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta over the last dimension (arXiv:1607.06450).

    Args:
        gamma, beta: float32 (channels,).
        epsilon: from 0.
    """

    op = "layer_norm"
    gamma: Any
    beta: Any
    epsilon: float = 1e-5
    name: str | None = None

    def __post_init__(self) -> None:
        """Brings the vectors into form."""
        for field in ("gamma", "beta"):
            object.__setattr__(self, field, floats("LayerNorm", field, getattr(self, field)))
        if self.gamma.ndim != 1 or self.gamma.shape != self.beta.shape:
            raise bad("LayerNorm", "gamma and beta", (self.gamma.shape, self.beta.shape), "shape (channels,) twice")
        epsilon = np.float32(self.epsilon)
        if not 0 <= epsilon < np.inf:
            raise bad("LayerNorm", "epsilon", self.epsilon, "a finite number from 0")
        object.__setattr__(self, "epsilon", float(epsilon))

    def output_spec(self, spec: Spec) -> Spec:
        """float32 of the same shape."""
        expect(self, spec, ("float32",))
        if spec[1][-1] != self.gamma.shape[0]:
            raise bad("LayerNorm", "channels", spec[1][-1], f"{self.gamma.shape[0]}, as gamma has")
        return spec

    def reference(self, x: Array) -> Array:
        """float32 of the same shape, computed in float64."""
        wide = x.astype(np.float64)
        centered = wide - wide.mean(axis=-1, keepdims=True)
        variance = (centered**2).mean(axis=-1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            y = centered / np.sqrt(variance + self.epsilon) * self.gamma + self.beta
        return y.astype(np.float32)  # type: ignore[no-any-return]

    def to_record(self) -> tuple[dict[int, Any], list[int]]:
        """Gamma and beta; epsilon's bits."""
        return {0: self.gamma, 1: self.beta}, [int(np.float32(self.epsilon).view(np.uint32))]

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> LayerNorm:
        """From the file."""
        return cls(tensors[0], tensors[1], float(np.uint32(attributes[0]).view(np.float32)), name)
