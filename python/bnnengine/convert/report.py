"""What became of a converted network's layers: which are binary, which are not and why, and what that saved."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bnnengine.convert.answers import Verification
from bnnengine.layers.output import Sum
from bnnengine.model import Model


@dataclass(frozen=True)
class LayerReport:
    """A convolution or dense layer.

    Attributes:
        name: in the packed network.
        binary: one bit a weight and one bit an input.
        reason: why it is not binary; empty where it is.
        suspicious: signs on one side only, which a binary network has at its first layer at most.
        weights: how many.
        bits: of each weight in the file.
    """

    name: str
    binary: bool
    reason: str
    suspicious: bool
    weights: int
    bits: int


@dataclass(frozen=True)
class Report:
    """Of a conversion.

    Attributes:
        layers: in the order in which they run.
        source_bytes, packed_bytes: sizes of both files; the first is 0 where there was no file.
        verification: how the answers compare; None where that was not asked for.
    """

    layers: tuple[LayerReport, ...]
    source_bytes: int
    packed_bytes: int
    verification: Verification | None

    @property
    def suspicious(self) -> tuple[LayerReport, ...]:
        """Layers that should perhaps be binary, and are not."""
        return tuple(layer for layer in self.layers if layer.suspicious)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """For people."""
        binary = sum(layer.binary for layer in self.layers)
        weights = sum(layer.weights for layer in self.layers) or 1
        bits = sum(layer.weights * layer.bits for layer in self.layers) / weights
        before = f"{self.source_bytes:,} bytes before, " if self.source_bytes else ""
        lines = [
            f"{binary} layers binary, {len(self.layers) - binary} real-valued; "
            f"{bits:.2f} bits a weight; {before}{self.packed_bytes:,} after"
        ]
        lines += [f"  {layer.name}: real-valued: {layer.reason}" for layer in self.layers if layer.reason]
        return "\n".join([*lines, *([] if self.verification is None else [str(self.verification)])])


def layers_of(model: Model) -> tuple[LayerReport, ...]:
    """Of an optimized model."""
    given = {spec.name for spec in model.inputs}
    found = []
    for node in model.nodes:
        if not isinstance(node.layer, Sum):
            continue
        shape, on_bits = node.layer.weight.shape, model.values[node.inputs[0]].dtype == "bits"
        why = [] if node.layer.is_binary else ["its weights have more than one magnitude for an output"]
        first = node.inputs[0] in given
        why += [] if on_bits else ["it reads the network's input" if first else "its input is no sign"]
        half = node.layer.is_binary != on_bits and not first
        bits = 1 if node.layer.is_binary else node.layer.weight.dtype.itemsize * 8
        found.append(LayerReport(node.name, not why, " and ".join(why), half, int(np.prod(shape)), bits))
    return tuple(found)
