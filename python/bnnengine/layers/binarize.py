"""Numbers to bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnengine.bits import BitTensor, frozen
from bnnengine.layers.base import Array, Layer, Spec, Tensors, bad, channel_vector, expect, floats


@dataclass(frozen=True, eq=False)
class Sign(Layer):
    """+1 where x >= 0 (so for both zeros), else -1 (so for NaN). Bits stay as they are."""

    name: str | None = None

    def output_spec(self, spec: Spec) -> Spec:
        """Bits of the same shape."""
        expect(self, spec, ("bits", "uint8", "float32"))
        return "bits", spec[1]

    def reference(self, x: Array) -> Array:
        """int8 of the same shape."""
        return np.where(x >= 0, 1, -1).astype(np.int8)


@dataclass(frozen=True, eq=False)
class Binarize(Layer):
    """+1 where x >= threshold, or, where flip is set, where x <= threshold; else -1, and -1 for NaN.

    Args:
        threshold: float32, a number or one for each channel (the last dimension); may be infinite.
        flip: a bool, or one for each channel.
    """

    op = "binarize"
    threshold: Any = 0.0
    flip: Any = False
    name: str | None = None

    def __post_init__(self) -> None:
        """Brings both into form."""
        object.__setattr__(self, "threshold", floats("Binarize", "threshold", self.threshold, infinite=True))
        object.__setattr__(self, "flip", frozen(np.asarray(self.flip, np.bool_)))
        if self.threshold.ndim > 1 or self.flip.ndim > 1:
            raise bad(
                "Binarize",
                "threshold",
                f"rank {max(self.threshold.ndim, self.flip.ndim)}",
                "a number or shape (channels,)",
            )

    def output_spec(self, spec: Spec) -> Spec:
        """Bits of the same shape."""
        expect(self, spec, ("uint8", "float32"))
        channel_vector(self, "threshold", self.threshold, spec[1][-1])
        channel_vector(self, "flip", self.flip, spec[1][-1])
        return "bits", spec[1]

    def reference(self, x: Array) -> Array:
        """int8 of the same shape."""
        x = x.astype(np.float32, copy=False)
        return np.where(np.where(self.flip, x <= self.threshold, x >= self.threshold), 1, -1).astype(np.int8)

    def for_channels(self, channels: int) -> Binarize:
        """Vectors of that length."""
        threshold = channel_vector(self, "threshold", self.threshold, channels)
        return Binarize(threshold, channel_vector(self, "flip", self.flip, channels), self.name)

    def to_record(self) -> tuple[dict[int, Array | BitTensor], list[int]]:
        """Threshold and flip."""
        return {0: np.atleast_1d(self.threshold), 1: BitTensor.pack(np.atleast_1d(self.flip))}, []

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> Binarize:
        """From the file."""
        flip = tensors[1]
        assert isinstance(flip, BitTensor)
        return cls(tensors[0], flip.unpack() > 0, name)


@dataclass(frozen=True, eq=False)
class RSign(Layer):
    """The sign of x + shift, a learned shift for each channel (ReActNet, arXiv:2003.03488, equation 5).

    Args:
        shift: float32, a number or (channels,).
    """

    shift: Any
    name: str | None = None

    def __post_init__(self) -> None:
        """Brings the shift into form."""
        object.__setattr__(self, "shift", floats("RSign", "shift", self.shift))

    def _binarize(self) -> Binarize:
        # a sum of floats is 0 only where they are each other's negative, so x + shift >= 0 just where x >= -shift
        return Binarize(-self.shift, False, self.name)

    def output_spec(self, spec: Spec) -> Spec:
        """Bits of the same shape."""
        expect(self, spec, ("float32",))
        return self._binarize().output_spec(spec)

    def reference(self, x: Array) -> Array:
        """int8 of the same shape."""
        return self._binarize().reference(x)

    def lower(self, *specs: Spec) -> list[Layer]:
        """A Binarize."""
        return [self._binarize()]
