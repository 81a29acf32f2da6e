"""The mean over windows, and a blur that is a fixed depthwise convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnengine.layers.base import Array, Layer, Spec, Tensors, bad, expect, floats
from bnnengine.layers.conv2d import Conv2d
from bnnengine.layers.window import Window, padding_pairs, pair


@dataclass(frozen=True, eq=False)
class AveragePool2d(Layer):
    """The mean of each window, float32.

    Args:
        kernel: a number or (height, width).
        strides: the same; by default the kernel.
        padding: a number, (height, width), or ((top, bottom), (left, right)), less than the kernel.
        count_include_pad: divide by the size of the kernel, padding and all; else by the pixels that are there.
    """

    op = "average_pool2d"
    kernel: Any
    strides: Any = None
    padding: Any = 0
    count_include_pad: bool = True
    name: str | None = None

    def __post_init__(self) -> None:
        """Brings all fields into form."""
        object.__setattr__(self, "kernel", pair("AveragePool2d", "kernel", self.kernel))
        strides = self.kernel if self.strides is None else self.strides
        object.__setattr__(self, "strides", pair("AveragePool2d", "strides", strides))
        object.__setattr__(self, "padding", padding_pairs("AveragePool2d", self.padding))

    @property
    def window(self) -> Window:
        """Kernel, strides and padding."""
        return Window(self.kernel, self.strides, (1, 1), self.padding)

    def output_spec(self, spec: Spec) -> Spec:
        """Image (H, W, C) to (OH, OW, C)."""
        expect(self, spec, ("float32",), 3)
        _, (height, width, channels) = spec
        return "float32", (*self.window.output("AveragePool2d", height, width), channels)

    def reference(self, x: Array) -> Array:
        """(N, H, W, C) to (N, OH, OW, C)."""
        total: Array = sum(tap for _, _, tap in self.window.taps(x.astype(np.float64), 0.0))  # type: ignore[assignment]
        count: Any = self.kernel[0] * self.kernel[1]
        if not self.count_include_pad:
            count = sum(tap for _, _, tap in self.window.taps(np.ones((1, *x.shape[1:3], 1)), 0.0))
        return (total / count).astype(np.float32)  # type: ignore[no-any-return]

    def to_record(self) -> tuple[dict[int, Any], list[int]]:
        """Window, and what is counted."""
        return {}, [*self.window.attributes(), int(self.count_include_pad)]

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> AveragePool2d:
        """From the file."""
        fields = Window.fields(attributes)
        del fields["dilation"]
        return cls((attributes[0], attributes[1]), **fields, count_include_pad=bool(attributes[10]), name=name)


@dataclass(frozen=True, eq=False)
class BlurPool2d(Layer):
    """A fixed blur of each channel by itself, with strides (arXiv:1904.11486), padded with zero; float32.

    Args:
        taps: one axis of the kernel, which is taps x taps / sum squared: (1, 2, 1) is the usual 3x3 one.
        strides, padding: as for Conv2d.
    """

    taps: Any = (1.0, 2.0, 1.0)
    strides: Any = 2
    padding: Any = 1
    name: str | None = None

    def __post_init__(self) -> None:
        """Brings the taps into form."""
        taps = floats("BlurPool2d", "taps", self.taps)
        if taps.ndim != 1 or not taps.size or taps.sum() == 0:
            raise bad("BlurPool2d", "taps", self.taps, "one axis of the kernel, with a sum other than 0")
        object.__setattr__(self, "taps", taps)

    def _conv(self, channels: int) -> Conv2d:
        kernel = np.outer(self.taps, self.taps).astype(np.float64) / float(self.taps.astype(np.float64).sum()) ** 2
        weight = np.broadcast_to(kernel[None, :, :, None], (channels, *kernel.shape, 1))
        return Conv2d(weight, strides=self.strides, padding=self.padding, groups=channels, name=self.name)

    def output_spec(self, spec: Spec) -> Spec:
        """Image (H, W, C) to (OH, OW, C)."""
        expect(self, spec, ("float32",), 3)
        return self._conv(spec[1][-1]).output_spec(spec)

    def reference(self, x: Array) -> Array:
        """(N, H, W, C) to (N, OH, OW, C)."""
        return self._conv(x.shape[-1]).reference(x)

    def lower(self, *specs: Spec) -> list[Layer]:
        """A depthwise convolution."""
        return [self._conv(specs[0][1][-1])]
