"""An image to a vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnnengine.layers.base import Array, Layer, Spec, expect


@dataclass(frozen=True, eq=False)
class Flatten(Layer):
    """Any shape to a vector, row-major: an image in (height, width, channel) order.

    A PyTorch network flattens (channel, height, width): permute the columns of the weight that follows.
    """

    op = "flatten"
    name: str | None = None

    def output_spec(self, spec: Spec) -> Spec:
        """The same dtype, one dimension."""
        expect(self, spec, ("bits", "uint8", "float32"))
        return spec[0], (int(np.prod(spec[1])),)

    def reference(self, x: Array) -> Array:
        """(N, ...) to (N, K)."""
        return x.reshape(x.shape[0], int(np.prod(x.shape[1:])))
