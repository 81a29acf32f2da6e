"""Proof that a packed network answers as its source: both run on the same samples, and every difference is counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnengine.convert import ir, reading
from bnnengine.convert.ir import Array
from bnnengine.engine import Engine
from bnnengine.errors import BnnError, ConvertError

Run = Callable[[Mapping[str, Array]], list[Array]]

MOST_DIFFERENCE = 0.05


@dataclass(frozen=True)
class Verification:
    """How the packed network answers beside its source.

    Attributes:
        samples: how many were compared.
        by: what ran the source.
        difference: the largest one of all outputs, relative to the largest number of that output.
        top1: the share of samples whose largest number of the first output stands at the same place, the first one of
            equals.
        ties: samples whose largest number of the first output stands there more than once.
        zeros: values of exactly 0 before a sign, where the source takes sign(0) for 0 and the packed network for +1.
    """

    samples: int
    by: str
    difference: float
    top1: float
    ties: int
    zeros: int

    @property
    def differs(self) -> bool:
        """More than a value within rounding of a threshold explains: another top-1, or a difference above 5 %."""
        return self.top1 < 1 or not self.difference <= MOST_DIFFERENCE

    def __str__(self) -> str:
        """One line, and others where sign(0) mattered and where the answers are not the source's."""
        text = (
            f"{self.samples} samples against {self.by}: largest difference {self.difference:.2g} (relative), "
            f"same top-1 {self.top1:.2%}, ties {self.ties}"
        )
        told = f"\nsign(0): {self.zeros} values before a sign were 0, for which the source has 0 and the packed one +1"
        wrong = "\nanswers differ by more than rounding explains: try samples of your own, and tell us if they do too"
        return text + (told if self.zeros else "") + (wrong if self.differs else "")


MOST_NUMBERS = 1 << 24  # of random samples


def random_samples(net: ir.Net, count: int = 8) -> dict[str, Array]:
    """Normal ones, in the net's order of axes; fewer where they are large.

    Raises:
        ConvertError: even one is too large.
    """
    rng = np.random.default_rng(0)
    numbers = sum(math.prod(shape[1:]) for shape in net.inputs.values())
    if numbers > MOST_NUMBERS:
        raise ConvertError(f"inputs: got {numbers:,} numbers a sample: too many to compare answers (check=False)")
    count = max(1, min(count, MOST_NUMBERS // max(numbers, 1)))
    return {name: rng.standard_normal((count, *shape[1:])).astype(np.float32) for name, shape in net.inputs.items()}


def given_samples(net: ir.Net, given: Any) -> dict[str, Array]:
    """A user's samples, an array or a mapping by input (or one named x), from the source's order of axes to the net's.

    Raises:
        ConvertError: names or shapes are not the inputs'.
    """
    only = next(iter(net.inputs), "input")
    arrays = dict(given) if isinstance(given, Mapping) else {only: given}
    if len(net.inputs) == 1 and only not in arrays and "x" in arrays:
        arrays[only] = arrays["x"]
    if not set(net.inputs) <= set(arrays):
        raise ConvertError(f"samples: got {sorted(arrays)}, wanted an array for each of {sorted(net.inputs)}")
    found = {}
    for name, shape in net.inputs.items():
        try:
            x = np.asarray(arrays[name], np.float32)
        except (ValueError, TypeError, RuntimeError) as error:  # the last is PyTorch's
            raise ConvertError(f"samples of {name!r}: wanted an array of numbers: {error}") from None
        if net.channels_last and x.ndim == 3 and len(shape) == 4 and shape[2] == 1:
            x = x[:, None]  # a sequence is an image one pixel high
        x = x.transpose(0, 3, 1, 2) if net.channels_last and x.ndim == 4 else x
        if x.shape[1:] != shape[1:] and x.ndim > 1 and x[0].size == np.prod(shape[1:]) and len(shape) == 2:
            x = x.reshape(len(x), -1)
        if x.shape[1:] != shape[1:] or not len(x):
            wanted = (shape[0] and "N", *shape[1:])
            raise ConvertError(f"samples of {name!r}: shape: got {x.shape}, wanted {wanted}, channels-first inside")
        found[name] = x
    if len({len(x) for x in found.values()}) > 1:
        raise ConvertError(f"samples: got {[len(x) for x in found.values()]} of the inputs, wanted as many of each")
    return found


def by_numpy(net: ir.Net) -> tuple[Run, str]:
    """The source as NumPy reads it."""
    return lambda inputs: reading.run(net, inputs), "a reading in NumPy"


def compare(net: ir.Net, packed: bytes, samples: Mapping[str, Array], source: tuple[Run, str]) -> Verification:
    """One sample at a time, since a file may fix its batch."""
    count, (run, by) = len(next(iter(samples.values()))), source
    singles = [{name: x[i : i + 1] for name, x in samples.items()} for i in range(count)]
    try:
        rows = [run(single) for single in singles]
    except ConvertError as error:
        run, other = by_numpy(net)
        by = f"{other} ({error})"
        rows = [run(single) for single in singles]
    ours = [np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if x.ndim == 4 else x for x in samples.values()]
    try:
        made = Engine(packed).predict(ours[0] if len(ours) == 1 else ours)
    except BnnError as error:
        raise ConvertError(f"the packed network cannot run on the samples: {error}") from None
    outputs = made if isinstance(made, tuple) else (made,)
    differences = []
    for k, output in enumerate(outputs):
        wanted = np.concatenate([np.asarray(row[k]).reshape(1, -1) for row in rows]).astype(np.float64)
        got = (np.moveaxis(output, -1, 1) if output.ndim == 4 else output).reshape(count, -1)
        if got.shape != wanted.shape:
            raise ConvertError(
                f"output {k}: got {got.shape[1]} numbers of the packed network, wanted {wanted.shape[1]}"
            )
        with np.errstate(invalid="ignore", over="ignore"):
            differences.append(float(np.abs(got - wanted).max(initial=0) / (np.abs(wanted).max(initial=0) or 1.0)))
        if k == 0:
            top1 = float((got.argmax(axis=1) == wanted.argmax(axis=1)).mean())
            ties = int(((got == got.max(axis=1, keepdims=True)).sum(axis=1) > 1).sum())
    zeros = 0 if net.sign_of_zero == 1 else _zeros(net, samples)
    return Verification(count, by, max(differences), top1, ties, zeros)


def _zeros(net: ir.Net, samples: Mapping[str, Array]) -> int:
    """Values of 0 before the net's signs."""
    signs = [op.inputs[0] for op in net.ops if op.kind == "Sign"]
    if not signs:
        return 0
    found = 0
    for i in range(len(next(iter(samples.values())))):
        values = reading.trace(net, {name: x[i : i + 1] for name, x in samples.items()})
        found += sum(int((values[name] == 0).sum()) for name in signs)
    return found
