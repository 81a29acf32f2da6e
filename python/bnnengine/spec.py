"""What a value of a network is: its name, dtype and shape without the batch."""

from __future__ import annotations

from dataclasses import dataclass

DTYPES = ("bits", "uint8", "int64", "float32")


@dataclass(frozen=True)
class TensorSpec:
    """A value of a network.

    Attributes:
        name: unique within its network.
        dtype: "uint8", "float32", "int64", or, inside a network, "bits" (+1 and -1).
        shape: without the batch; an image is (height, width, channels).
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def layout(self) -> str:
        """The axes with the batch: "NHWC" for images, "NC" for vectors, "N" for numbers, else "N" and as many "D"."""
        return {0: "N", 1: "NC", 3: "NHWC"}.get(len(self.shape), "N" + "D" * len(self.shape))

    def __str__(self) -> str:
        """Dtype and shape."""
        return f"{self.dtype} {self.shape}"
