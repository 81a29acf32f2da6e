"""Maximum over windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bnnengine.bits import BitTensor, frozen
from bnnengine.layers.base import Array, Layer, Spec, Tensors, bad, channel_vector, expect
from bnnengine.layers.window import Window, padding_pairs, pair


@dataclass(frozen=True, eq=False)
class MaxPool2d(Layer):
    """The maximum of each window; padding never wins. On bits it is an OR.

    Args:
        kernel: a number or (height, width).
        strides: the same; by default the kernel.
        padding: a number, (height, width), or ((top, bottom), (left, right)), less than the kernel.
        flip: for bits: channels whose maximum is then inverted, a bool or (channels,). fuse.py carries thresholds of
            falling direction behind the pool with it.
    """

    op = "max_pool2d"
    kernel: Any
    strides: Any = None
    padding: Any = 0
    flip: Any = None
    name: str | None = None

    def __post_init__(self) -> None:
        """Brings all fields into form."""
        object.__setattr__(self, "kernel", pair("MaxPool2d", "kernel", self.kernel))
        strides = self.kernel if self.strides is None else self.strides
        object.__setattr__(self, "strides", pair("MaxPool2d", "strides", strides))
        object.__setattr__(self, "padding", padding_pairs("MaxPool2d", self.padding))
        if self.flip is not None:
            object.__setattr__(self, "flip", frozen(np.asarray(self.flip, np.bool_)))
            if self.flip.ndim > 1:
                raise bad("MaxPool2d", "flip", f"shape {self.flip.shape}", "a bool or shape (channels,)")

    @property
    def window(self) -> Window:
        """Kernel, strides and padding."""
        return Window(self.kernel, self.strides, (1, 1), self.padding)

    def output_spec(self, spec: Spec) -> Spec:
        """Image (H, W, C) to (OH, OW, C), same dtype."""
        expect(self, spec, ("bits", "float32"), 3)
        dtype, (height, width, channels) = spec
        if self.flip is not None:
            if dtype != "bits":
                raise bad("MaxPool2d", "flip", "given", "None: it is only for bits")
            channel_vector(self, "flip", self.flip, channels)
        return dtype, (*self.window.output("MaxPool2d", height, width), channels)

    def reference(self, x: Array) -> Array:
        """(N, H, W, C) to (N, OH, OW, C); a NaN in a window is its maximum."""
        least = -1 if x.dtype == np.int8 else -np.inf
        seen = [tap for _, _, tap in self.window.taps(x, least)]
        most: Array = np.maximum.reduce(seen)
        return most if self.flip is None else np.where(self.flip, -most, most).astype(np.int8)

    def for_channels(self, channels: int) -> MaxPool2d:
        """A flip of that length, where there is one."""
        return self if self.flip is None else replace(self, flip=channel_vector(self, "flip", self.flip, channels))

    def to_record(self) -> tuple[dict[int, Array | BitTensor], list[int]]:
        """Flip, where there is one; window."""
        return {} if self.flip is None else {0: BitTensor.pack(np.atleast_1d(self.flip))}, self.window.attributes()

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> MaxPool2d:
        """From the file."""
        fields = Window.fields(attributes)
        del fields["dilation"]
        flip = tensors.get(0)
        inverted = flip.unpack() > 0 if isinstance(flip, BitTensor) else None
        return cls((attributes[0], attributes[1]), **fields, flip=inverted, name=name)
