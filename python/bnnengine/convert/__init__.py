"""From a training framework's file to a packed network: what became binary, and proof that it answers as before.

    bnnengine.convert.convert("model.onnx", "model.bnn")

Taken today: ONNX and QONNX files (`pip install 'bnnengine[onnx]'`). Images are channels-last here: an input
(N, C, H, W) of the file is (N, H, W, C) of the packed network.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnengine.convert import emit, ir, passes
from bnnengine.engine import Engine
from bnnengine.errors import ConvertError, ModelError
from bnnengine.layers.output import Sum
from bnnengine.model import Model

__all__ = ["Conversion", "ConvertError", "Verification", "convert", "verify"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Verification:
    """How the packed network answers beside its source.

    Attributes:
        samples: how many were compared.
        difference: the largest one of the first output, relative to the largest number there.
        top1: the share of samples whose largest output is the same one.
    """

    samples: int
    difference: float
    top1: float

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.samples} samples: largest difference {self.difference:.2g} (relative), same top-1 {self.top1:.2%}"
        )


@dataclass(frozen=True)
class Conversion:
    """A converted network.

    Attributes:
        model: optimized.
        source_bytes, packed_bytes: sizes of both files.
        verification: on random samples; None where it was not asked for.
    """

    model: Model
    source_bytes: int
    packed_bytes: int
    verification: Verification | None

    def report(self) -> str:
        """What is binary, what is not and why, sizes, and how the answers compare."""
        lines, binary, real = [], 0, 0
        for node in self.model.nodes:
            if not isinstance(node.layer, Sum):
                continue
            on_bits = self.model.values[node.inputs[0]].dtype == "bits"
            why = [] if node.layer.is_binary else ["its weights are not of one magnitude for each output"]
            why += [] if on_bits else ["its input is no sign"]
            binary, real = (binary + 1, real) if not why else (binary, real + 1)
            lines += [f"  {node.name}: real-valued: {' and '.join(why)}"] if why else []
        sizes = f"{self.source_bytes:,} bytes before, {self.packed_bytes:,} after"
        head = f"{binary} layers binary, {real} real-valued; {sizes}"
        return "\n".join([head, *lines, *([] if self.verification is None else [str(self.verification)])])


def _read(source: str | os.PathLike[str]) -> ir.Net:
    path = Path(source)
    if path.suffix.lower() != ".onnx":
        raise ConvertError(f"{path.name}: only .onnx files (QONNX among them) are taken")
    from bnnengine.convert import onnx

    net = onnx.read(path)
    passes.simplify(net)
    return net


def convert(
    source: str | os.PathLike[str], target: str | os.PathLike[str] | None = None, *, check: bool = True
) -> Conversion:
    """Reads a foreign network, finds what is binary in it, and packs it.

    Args:
        source: an .onnx file.
        target: where to write the packed network; nowhere by default.
        check: run both on random samples and compare.

    Raises:
        ConvertError: the file cannot be read, or holds operators that cannot be taken; each is named with the reason.
        OSError: a file cannot be opened or written.
    """
    net = _read(source)
    try:
        model = emit.Emitter(net, Path(source).stem).run().optimize()
        packed = model.to_bytes()
    except ModelError as error:
        raise ConvertError(f"{Path(source).name}: {error}") from None
    found = _compare(net, packed, _samples(net)) if check else None
    if target is not None:
        model.save(target)
    return Conversion(model, Path(source).stat().st_size, len(packed), found)


def verify(source: str | os.PathLike[str], packed: str | os.PathLike[str] | bytes, x: npt.ArrayLike) -> Verification:
    """Compares a packed network with its source, read in NumPy.

    Args:
        source: an .onnx file.
        packed: the .bnn file, or its bytes.
        x: samples of the first input in the source's order, (N, C, H, W) or (N, K), float32.
    """
    data = packed if isinstance(packed, bytes) else Path(packed).read_bytes()
    return _compare(_read(source), data, {next(iter(_read(source).inputs)): np.asarray(x, np.float32)})


def _samples(net: ir.Net, count: int = 8) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    return {n: rng.standard_normal((count, *shape[1:])).astype(np.float32) for n, shape in net.inputs.items()}


def _compare(net: ir.Net, packed: bytes, inputs: dict[str, Array]) -> Verification:
    """One sample at a time, since a file may fix its batch."""
    count = len(next(iter(inputs.values())))
    rows = [ir.run(net, {name: x[i : i + 1] for name, x in inputs.items()})[0] for i in range(count)]
    wanted = np.concatenate([row.reshape(1, -1) for row in rows]).astype(np.float64)
    ours = [np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if x.ndim == 4 else x for x in inputs.values()]
    out = Engine(packed).predict(ours[0] if len(ours) == 1 else ours)
    first = out[0] if isinstance(out, tuple) else out
    got = np.moveaxis(first, -1, 1).reshape(count, -1) if first.ndim == 4 else first.reshape(count, -1)
    largest = float(np.abs(wanted).max()) or 1.0
    same = (got.argmax(axis=1) == wanted.argmax(axis=1)).mean()
    return Verification(count, float(np.abs(got - wanted).max() / largest), float(same))
