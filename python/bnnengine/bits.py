"""Packed bits, as src/bnncore/layout.h lays them out: bit 1 is +1, bit 0 is -1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array read-only; a copy where somebody could still write to it."""
    if array.flags.writeable or array.base is not None:
        array = array.copy()
        array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class BitTensor:
    """An array of +1 and -1, one bit each.

    Attributes:
        words: uint64, shape (*shape[:-1], ceil(shape[-1] / 64)); bit i of a vector is bit i % 64 of word i // 64, and
            the bits past the last one are zero.
        shape: the shape of the array of +1 and -1, of rank 1 or more.
    """

    words: npt.NDArray[np.uint64]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuses words that do not fit the shape, or set bits past its end."""
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"shape: got {self.shape}, wanted a rank of at least 1 and no empty dimension")
        words = frozen(np.ascontiguousarray(self.words, "<u8"))
        wanted = (*self.shape[:-1], -(-self.shape[-1] // 64))
        if words.shape != wanted:
            raise ValueError(f"words: got shape {words.shape}, wanted {wanted} for {self.shape} bits")
        if self.shape[-1] % 64 and (words[..., -1] >> np.uint64(self.shape[-1] % 64)).any():
            raise ValueError("words: bits past the last one are not zero")
        object.__setattr__(self, "words", words)

    @classmethod
    def pack(cls, values: npt.ArrayLike) -> BitTensor:
        """Packs an array of +1 and -1 (of any number type), or of booleans (True is +1).

        Raises:
            ValueError: the array holds anything else, or is empty or a scalar.
        """
        a = np.asarray(values)
        good = (a == 1) | (a == -1)
        if a.dtype != np.bool_ and not np.all(good):
            wrong = a[~good].flat[0]
            raise ValueError(f"values: got {wrong!r}, wanted only +1 and -1: binarize first, np.where(x >= 0, 1, -1)")
        if a.ndim == 0 or a.size == 0:
            raise ValueError(f"values: got shape {a.shape}, wanted a rank of at least 1 and no empty dimension")
        ones = np.zeros((*a.shape[:-1], -(-a.shape[-1] // 64) * 64), np.bool_)
        ones[..., : a.shape[-1]] = a > 0
        return cls(np.packbits(ones, axis=-1, bitorder="little").view("<u8"), a.shape)

    def unpack(self) -> npt.NDArray[np.int8]:
        """The array of +1 and -1, int8."""
        bits = np.unpackbits(self.words.view(np.uint8), axis=-1, bitorder="little", count=self.shape[-1])
        return (2 * bits.astype(np.int8) - 1).astype(np.int8, copy=False)

    def __eq__(self, other: Any) -> bool:
        """The same shape and bits."""
        return isinstance(other, BitTensor) and self.shape == other.shape and bool((self.words == other.words).all())

    def __hash__(self) -> int:
        """Of shape and bits."""
        return hash((self.shape, self.words.tobytes()))

    def __repr__(self) -> str:
        """The shape."""
        return f"BitTensor(shape={self.shape})"


def as_bits(values: npt.ArrayLike | BitTensor) -> BitTensor:
    """A BitTensor as it is, anything else packed."""
    return values if isinstance(values, BitTensor) else BitTensor.pack(values)
