"""A foreign network as operators on named values, in ONNX's words and channels-first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass
class Op:
    """One operator: inputs that are left out are empty names."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    name: str = ""


@dataclass
class Net:
    """Operators in an order in which they can run.

    Attributes:
        inputs: their whole shape, the batch first (0 where free), channels-first.
        ops, constants, outputs: by the names of values.
        channels_last: the source's own images are (N, H, W, C).
        sign_of_zero: what the source takes sign(0) for; here it is +1.
    """

    inputs: dict[str, tuple[int, ...]]
    ops: list[Op]
    constants: dict[str, Array]
    outputs: list[str]
    channels_last: bool = False
    sign_of_zero: int = 1
