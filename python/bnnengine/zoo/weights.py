"""Weights of a zoo network: given by name, as in a PyTorch state_dict, or random from a seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnengine.errors import ModelError
from bnnengine.layers import BatchNorm

Array = npt.NDArray[Any]


def _is_another_form(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether authors keep the same numbers so: a column of all of them, or with other dimensions of 1."""
    bare = [tuple(n for n in shape if n != 1) for shape in (given, wanted)]
    return bare[0] == bare[1] or given == (math.prod(wanted), 1)


def image_rows(weight: Array, image: tuple[int, ...]) -> Array:
    """A dense layer's weight over a flattened image, from PyTorch's order, channels first, to ours, channels last.

    Args:
        weight: (outputs, channels x height x width).
        image: (height, width, channels).
    """
    height, width, channels = image
    rows = weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(rows.reshape(weight.shape))


class Weights:
    """Hands out weights by name while a network is built.

    Args:
        given: name to array: convolutions (outputs, channels, kernel_h, kernel_w), dense (outputs, inputs), vectors;
            or the same numbers with other dimensions of 1, or as (elements, 1); None for random ones.
        seed: of the random ones.

    Raises:
        ModelError: an array is missing, or has another shape than wanted.
    """

    def __init__(self, given: Mapping[str, npt.ArrayLike] | None = None, seed: int = 0) -> None:
        """Nothing is handed out yet."""
        self._given = given
        self._random = np.random.default_rng(seed)
        self._asked: set[str] = set()

    def _take(self, name: str, shape: tuple[int, ...]) -> Array | None:
        self._asked.add(name)
        if self._given is None:
            return None
        if name not in self._given:
            raise ModelError(f"weights: {name!r} is missing, an array of shape {shape}")
        array = np.asarray(self._given[name], np.float32)
        if _is_another_form(array.shape, shape):
            array = array.reshape(shape)
        if array.shape != shape:
            raise ModelError(f"weights: {name!r}: got shape {array.shape}, wanted {shape}")
        return array

    def _normal(self, name: str, shape: tuple[int, ...]) -> Array:
        array = self._take(name, shape)
        if array is None:
            deviation = np.sqrt(2 / np.prod(shape[1:]))
            array = (self._random.standard_normal(shape) * deviation).astype(np.float32)
        return array

    def conv(self, name: str, shape: tuple[int, int, int, int]) -> Array:
        """A convolution's (outputs, channels, kernel_h, kernel_w), as (outputs, kernel_h, kernel_w, channels).

        Random ones are normal with variance 2 / (products of a sum) (arXiv:1502.01852).
        """
        return np.ascontiguousarray(self._normal(name, shape).transpose(0, 2, 3, 1))

    def dense(self, name: str, shape: tuple[int, int]) -> Array:
        """A dense layer's (outputs, inputs)."""
        return self._normal(name, shape)

    def vector(self, name: str, n: int, low: float = -0.1, high: float = 0.1) -> Array:
        """n numbers, uniform in low .. high where random."""
        array = self._take(name, (n,))
        return self._random.uniform(low, high, n).astype(np.float32) if array is None else array

    def batch_norm(
        self, name: str, channels: int, epsilon: float = 1e-5, *, center: bool = True, scale: bool = True
    ) -> BatchNorm:
        """name.weight (with scale), .bias (with center), .running_mean and .running_var.

        Random ones have scales of either sign, and statistics other than 0 and 1.
        """
        if scale:
            gamma = self.vector(f"{name}.weight", channels, 0.5, 1.5)
            if self._given is None:
                gamma *= np.where(self._random.random(channels) < 0.1, -1, 1).astype(np.float32)
        else:
            gamma = np.ones(channels, np.float32)
        beta = self.vector(f"{name}.bias", channels, -0.5, 0.5) if center else np.zeros(channels, np.float32)
        mean = self.vector(f"{name}.running_mean", channels, -0.5, 0.5)
        variance = self.vector(f"{name}.running_var", channels, 0.5, 2.0)
        return BatchNorm(gamma, beta, mean, variance, epsilon)

    def finish(self) -> None:
        """Raises ModelError for names that were given and nobody asked for."""
        spare = sorted(set(self._given or ()) - self._asked)
        spare = [name for name in spare if not name.endswith("num_batches_tracked")]
        if spare:
            raise ModelError(f"weights: the network has no {', '.join(map(repr, spare[:5]))}")
