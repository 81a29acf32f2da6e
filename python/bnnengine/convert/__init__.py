"""From a training framework's network to a packed one: what became binary, and proof that it answers as before.

    done = bnnengine.convert("model.onnx", "model.bnn")
    print(done.report)

Sources, each imported only when it is used: ONNX and QONNX files (`pip install 'bnnengine[onnx]'`), PyTorch modules
(torch), Larq's `.h5` and `.keras` files and Larq Compute Engine's `.tflite` files (numpy alone).
Images are channels-last here: an input (N, C, H, W) of the source is (N, H, W, C) of the packed network.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from bnnengine.convert import answers, emit, passes, sources
from bnnengine.convert.answers import Verification
from bnnengine.convert.report import LayerReport, Report, layers_of
from bnnengine.errors import ConvertError, ModelError
from bnnengine.model import Model

__all__ = ["Conversion", "ConvertError", "LayerReport", "Report", "Verification", "convert", "register", "verify"]


@dataclass(frozen=True)
class Conversion:
    """A converted network.

    Attributes:
        model: optimized; `model.save(path)` packs it.
        report: what became of its layers, and how it answers.
    """

    model: Model
    report: Report

    @property
    def verification(self) -> Verification | None:
        """Of the report."""
        return self.report.verification


def convert(
    source: Any, target: str | os.PathLike[str] | None = None, *, example: Any = None, samples: Any = None,
    strict: bool = False, check: bool = True,
) -> Conversion:  # fmt: skip
    """Reads a foreign network, finds what is binary in it, packs it, and compares their answers.

    Args:
        source: an .onnx, .h5, .keras or .tflite file, or a torch.nn.Module.
        target: where to write the packed network; nowhere by default.
        example: for a module, an input or a tuple of them; their shapes, but for the batch, become the network's.
        samples: what to compare answers on, float32 in the source's order of axes, (N, C, H, W), (N, H, W, C) for Larq
            or (N, K); a mapping by name for several inputs. 8 random ones by default.
        strict: refuse a network in which some layer but the first has signs on one side only, or whose answers on the
            samples have another top-1.
        check: False leaves the comparison out.

    Warns:
        UserWarning: the answers differ by more than rounding explains (`Verification.differs`).

    Raises:
        ConvertError: the source cannot be read, or holds operators that cannot be taken, each named with the reason;
            or `strict` found something. The target is then not written.
        OSError: a file cannot be opened or written.
    """
    net = sources.read(source, example)
    passes.simplify(net)
    label = sources.label(source)
    try:
        model = emit.Emitter(net, Path(label).stem).run().optimize()
        packed = model.to_bytes()
    except ModelError as error:
        raise ConvertError(f"{label}: {error}") from None
    found = None
    if check:
        chosen = answers.random_samples(net) if samples is None else answers.given_samples(net, samples)
        found = answers.compare(net, packed, chosen, sources.runner(source, net))
    report = Report(layers_of(model), sources.size(source), len(packed), found)
    if strict:
        _refuse(report, label)
    if found is not None and found.differs:
        warnings.warn(f"{label}: {found}", stacklevel=3)
    if target is not None:
        model.save(target)
    return Conversion(model, report)


def verify(source: Any, packed: str | os.PathLike[str] | bytes, samples: Any, *, example: Any = None) -> Verification:
    """Compares a packed network's answers with its source's.

    The source runs in ONNX Runtime, QONNX's executor or PyTorch where that is installed, or else as NumPy reads it.

    Args:
        source, samples, example: as for `convert`.
        packed: the .bnn file, or its bytes.

    Raises:
        ConvertError, OSError: as for `convert`.
    """
    data = packed if isinstance(packed, bytes) else Path(packed).read_bytes()
    net = sources.read(source, example)
    passes.simplify(net)
    return answers.compare(net, data, answers.given_samples(net, samples), sources.runner(source, net))


def register(kind: type, make: Callable[[Any], Any] | None) -> None:
    """Says what stands for PyTorch modules of a kind that the converter cannot look through.

    Args:
        kind: a subclass of torch.nn.Module.
        make: takes an instance and gives a module of plain operators that answers as it does; None takes the
            registration back.
    """
    from bnnengine.convert import torch

    torch.register(kind, make)


def _refuse(report: Report, label: str) -> None:
    """What `strict` does not let pass."""
    wrong = [f"layer {layer.name!r} should be binary: {layer.reason}" for layer in report.suspicious]
    if report.verification is not None and report.verification.top1 < 1:
        wrong.append(f"answers differ: {report.verification}")
    if wrong:
        raise ConvertError(f"{label}: strict: " + "; ".join(wrong))


class _Callable(ModuleType):
    """So that `bnnengine.convert(...)` is the call, and `bnnengine.convert.verify` stands beside it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Conversion:
        return convert(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
