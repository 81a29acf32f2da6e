"""Padding as TensorFlow's "same" has it, which is not the same on both sides."""

from __future__ import annotations

from bnnengine.layers.window import Pair


def same(image: tuple[int, ...], kernel: int, stride: int = 1) -> tuple[Pair, Pair]:
    """((top, bottom), (left, right)) for ceil(size / stride) outputs; the odd one goes to the bottom and the right.

    Args:
        image: (height, width, ...) of the input.
        kernel, stride: of both axes.
    """
    sides = []
    for size in image[:2]:
        spare = max(0, (-(-size // stride) - 1) * stride + kernel - size)
        sides.append((spare // 2, spare - spare // 2))
    return sides[0], sides[1]
