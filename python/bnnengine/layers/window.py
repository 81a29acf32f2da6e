"""A window that slides over an image: kernel, strides, dilation, padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnengine.layers.base import Array, bad

Pair = tuple[int, int]
Padding = int | Sequence[int] | Sequence[Sequence[int]]


def pair(layer: str, field: str, value: int | Sequence[int], least: int = 1) -> Pair:
    """A number, or (height, width), as (height, width)."""
    got = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(got) != 2 or any(not isinstance(n, (int, np.integer)) or not least <= n < 65536 for n in got):
        raise bad(layer, field, value, f"a whole number from {least} to 65535, or (height, width)")
    return int(got[0]), int(got[1])


def padding_pairs(layer: str, value: Padding) -> tuple[Pair, Pair]:
    """A number, (height, width), or ((top, bottom), (left, right)), as the last."""
    if isinstance(value, Sequence) and len(value) == 2 and all(isinstance(sides, Sequence) for sides in value):
        top_bottom, left_right = value
        return pair(layer, "padding", top_bottom, 0), pair(layer, "padding", left_right, 0)
    height, width = pair(layer, "padding", value, 0)  # type: ignore[arg-type]
    return (height, height), (width, width)


@dataclass(frozen=True)
class Window:
    """Sizes as (height, width); padding as ((top, bottom), (left, right))."""

    kernel: Pair
    strides: Pair = (1, 1)
    dilation: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))

    def output(self, layer: str, height: int, width: int) -> Pair:
        """Output height and width: floor((size + padding - dilation * (kernel - 1) - 1) / stride) + 1."""
        sizes = []
        for axis, size in enumerate((height, width)):
            extent = self.dilation[axis] * (self.kernel[axis] - 1) + 1
            if max(self.padding[axis]) >= extent:
                raise bad(layer, "padding", self.padding, f"less than the dilated kernel, {extent}")
            if size + sum(self.padding[axis]) < extent:
                raise bad(
                    layer,
                    "kernel",
                    self.kernel,
                    f"a dilated kernel of at most the padded input, {size + sum(self.padding[axis])}",
                )
            sizes.append((size + sum(self.padding[axis]) - extent) // self.strides[axis] + 1)
        return sizes[0], sizes[1]

    def taps(self, x: Array, pad_value: float) -> Iterator[tuple[int, int, Array]]:
        """For each tap (i, j), what it sees at every output: (N, OH, OW, C)."""
        padded = np.pad(x, ((0, 0), *self.padding, (0, 0)), constant_values=pad_value)
        rows, cols = self.output("window", x.shape[1], x.shape[2])
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                y0, x0 = i * self.dilation[0], j * self.dilation[1]
                y1, x1 = y0 + (rows - 1) * self.strides[0] + 1, x0 + (cols - 1) * self.strides[1] + 1
                yield i, j, padded[:, y0 : y1 : self.strides[0], x0 : x1 : self.strides[1]]

    def attributes(self) -> list[int]:
        """Attributes 0 to 9 of the file."""
        (top, bottom), (left, right) = self.padding
        return [*self.kernel, *self.strides, *self.dilation, top, left, bottom, right]

    @staticmethod
    def fields(attributes: Sequence[int]) -> dict[str, Any]:
        """A layer's strides, dilation and padding from attributes 0 to 9."""
        a = attributes
        return {"strides": (a[2], a[3]), "dilation": (a[4], a[5]), "padding": ((a[6], a[8]), (a[7], a[9]))}
