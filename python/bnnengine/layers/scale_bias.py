"""A scale and a bias for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnengine.bits import BitTensor
from bnnengine.layers.base import Array, Layer, Spec, Tensors, bad, channel_vector, expect, floats


@dataclass(frozen=True, eq=False)
class ScaleBias(Layer):
    """x * scale + bias for each channel (the last dimension), rounded to float32 after each step.

    Args:
        scale, bias: float32, a number or (channels,).
    """

    op = "scale_bias"
    scale: Any = 1.0
    bias: Any = 0.0
    name: str | None = None

    def __post_init__(self) -> None:
        """Brings both into form."""
        for field in ("scale", "bias"):
            values = floats("ScaleBias", field, getattr(self, field))
            if values.ndim > 1:
                raise bad("ScaleBias", field, f"shape {values.shape}", "a number or shape (channels,)")
            object.__setattr__(self, field, values)

    def output_spec(self, spec: Spec) -> Spec:
        """float32 of the same shape."""
        expect(self, spec, ("bits", "uint8", "float32"))
        self.for_channels(spec[1][-1])
        return "float32", spec[1]

    def reference(self, x: Array) -> Array:
        """float32 of the same shape."""
        return x.astype(np.float32) * self.scale + self.bias  # type: ignore[no-any-return]

    def for_channels(self, channels: int) -> ScaleBias:
        """Vectors of that length."""
        scale = channel_vector(self, "scale", self.scale, channels)
        return ScaleBias(scale, channel_vector(self, "bias", self.bias, channels), self.name)

    def to_record(self) -> tuple[dict[int, Array | BitTensor], list[int]]:
        """Scale and bias."""
        return {0: np.atleast_1d(self.scale), 1: np.atleast_1d(self.bias)}, []

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> ScaleBias:
        """From the file."""
        return cls(tensors[0], tensors[1], name)
