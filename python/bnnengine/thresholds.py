"""A decision that is monotone in each channel, searched for the number where it changes.

fuse.py asks for the decision that a sum's batch norm and sign take together, and gets one comparison a channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnengine.layers import Threshold

Array = npt.NDArray[Any]


def search_threshold(
    decide: Callable[[Array], npt.NDArray[np.bool_]], channels: int, low: int, high: int
) -> tuple[Array, Array, Array]:
    """Bisects a decision that is monotone in whole numbers low .. high, for each channel.

    Args:
        decide: int64 [channels] to bool [channels].
        channels: how many.
        low, high: the range.

    Returns:
        value: the least number from which a rising decision holds, or the greatest up to which a falling one does;
            low for a decision that always holds, high + 1 for one that never does.
        flip: whether the decision falls.
        constant: whether it is the same everywhere.
    """
    bottom, top = np.full(channels, low, np.int64), np.full(channels, high, np.int64)
    at_low, at_high = decide(bottom), decide(top)
    flip, constant = at_low & ~at_high, at_low == at_high
    # invariant where not constant: the decision at bottom is at_low, at top it is at_high
    while (top - bottom > 1).any():
        middle = (bottom + top) // 2
        as_low = decide(middle) == at_low
        bottom, top = np.where(as_low, middle, bottom), np.where(as_low, top, middle)
    value = np.where(flip, bottom, top)
    return np.where(constant, np.where(at_low, low, high + 1), value), flip, constant


def integer_threshold(
    decide: Callable[[Array], npt.NDArray[np.bool_]], channels: int, low: int, high: int
) -> Threshold:
    """The decision over whole numbers low .. high as an int32 threshold; one that never changes as a limit of int32."""
    value, flip, constant = search_threshold(decide, channels, low, high)
    limits = np.iinfo(np.int32)
    value = np.where(constant, np.where(value == low, limits.min, limits.max), value)
    return Threshold(value.astype(np.int32), flip)


def float_threshold(decide: Callable[[Array], npt.NDArray[np.bool_]], channels: int) -> Threshold:
    """The same over all finite float32, which are whole numbers in the order of their bits.

    An infinite x is decided as the threshold says, also where gamma is zero (0 * infinity is NaN in a batch norm).
    """

    def to_float(key: Array) -> Array:
        return np.where(key >= 0, key, -(2**31) - 1 - key).astype(np.int32).view(np.float32)

    # keys of -FLT_MAX and FLT_MAX; -0.0 is key -1 and +0.0 key 0
    low, high = -0x7F800000, 0x7F7FFFFF
    value, flip, constant = search_threshold(lambda key: decide(to_float(key)), channels, low, high)
    found = to_float(np.where(constant, 0, value))
    return Threshold(np.where(constant, np.where(value == low, -np.inf, np.inf), found).astype(np.float32), flip)
