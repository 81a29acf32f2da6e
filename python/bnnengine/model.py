"""The network: layers as nodes of a directed acyclic graph, and Sequential, the chain."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnengine.errors import InputError, InputTypeError, ModelError
from bnnengine.layers import Input, Layer
from bnnengine.layers.base import Spec
from bnnengine.spec import TensorSpec

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Node:
    """A layer in its place: the names of the values that it reads and makes."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def _check_size(label: str, shape: tuple[int, ...]) -> None:
    if math.prod(shape) >= 2**31:
        raise ModelError(f"{label}: shape: got {shape}, wanted fewer than 2^31 elements a sample")


def apply(layer: Layer, specs: Sequence[TensorSpec], label: str) -> tuple[Spec, ...]:
    """What the layer makes of values: dtype and shape of each output. Raises ModelError that begins with the label."""
    least, most = layer.inputs
    if not least <= len(specs) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        kind = type(layer).__name__
        raise ModelError(f"layer {label!r}: {kind}: inputs: got {len(specs)} values, wanted {wanted}")
    try:
        made = layer.output_spec(*((spec.dtype, spec.shape) for spec in specs))
    except ModelError as error:
        raise ModelError(f"layer {label!r}: {error}") from None
    found: tuple[Spec, ...] = made if layer.results > 1 else (made,)
    for _, shape in found:
        _check_size(f"layer {label!r}", shape)
    return found


@dataclass(frozen=True)
class Model:
    """A network.

    Attributes:
        inputs: what it takes.
        nodes: its layers, each after those whose values it reads.
        outputs: the names of the values that leave it.
        metadata: strings: `name`, `labels` (a JSON list), `preprocessing`, `licence`, `source` and whatever else.
        values: every value's spec by name; found from the above.

    Raises:
        ModelError: a layer cannot take its inputs; a name stands twice or is not there.
    """

    inputs: tuple[TensorSpec, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    values: Mapping[str, TensorSpec] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Checks that all of it fits together, and finds every value's spec."""
        for field_name in ("inputs", "nodes", "outputs"):
            object.__setattr__(self, field_name, tuple(getattr(self, field_name)))
        object.__setattr__(self, "metadata", dict(self.metadata))
        values = {spec.name: spec for spec in self.inputs}
        if not values or len(values) != len(self.inputs):
            raise ModelError(
                f"inputs: got {[spec.name for spec in self.inputs]}, wanted one or more, of different names"
            )
        for spec in self.inputs:
            Input(spec.shape, spec.dtype, spec.name)
            _check_size(f"input {spec.name!r}", spec.shape)
        if not self.nodes:
            raise ModelError("the network has no layers")
        seen: set[str] = set()
        for node in self.nodes:
            label = f"layer {node.name!r}"
            missing = [name for name in node.inputs if name not in values]
            if missing:
                raise ModelError(f"{label}: reads {missing}, which no layer before it makes")
            if node.name in seen or len({*node.outputs} - {*values}) != len(node.outputs):
                raise ModelError(f"{label}: its name, or its value's, stands twice: give each layer a name of its own")
            seen.add(node.name)
            made = apply(node.layer, [values[name] for name in node.inputs], node.name)
            if len(made) != len(node.outputs):
                raise ModelError(f"{label}: outputs: got {len(node.outputs)} names, wanted {len(made)}")
            for name, (dtype, shape) in zip(node.outputs, made, strict=True):
                values[name] = TensorSpec(name, dtype, shape)
        if not self.outputs or len(set(self.outputs)) != len(self.outputs):
            raise ModelError(f"outputs: got {list(self.outputs)}, wanted one or more, each once")
        leaving = {name for node in self.nodes for name in node.outputs}
        for name in self.outputs:
            if name not in leaving:
                raise ModelError(f"outputs: no layer makes {name!r}")
        if not all(isinstance(k, str) and isinstance(v, str) for k, v in self.metadata.items()):
            raise ModelError("metadata: keys and values must be strings; use json.dumps for anything else")
        object.__setattr__(self, "values", values)

    def optimize(self) -> Model:
        """The same network with batch norms, signs and pools folded (fuse.py); integer results are the same bits."""
        from bnnengine.fuse import optimize

        return optimize(self)

    def to_bytes(self) -> bytes:
        """The network as the bytes of a .bnn file, optimized first.

        Raises:
            ModelError: it holds something that the file cannot say; the message tells what to do.
        """
        from bnnengine.modelfile import to_bytes

        return to_bytes(self.optimize())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a .bnn file, whole or not at all. Raises ModelError, as to_bytes, and OSError."""
        data, target = self.to_bytes(), Path(path)
        temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(8)}")
        try:
            with open(temporary, "xb") as file:
                file.write(data)
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, source: str | os.PathLike[str] | bytes | bytearray | memoryview) -> Model:
        """Reads a .bnn file back, from a path or from bytes; its layers are the optimized ones.

        Raises:
            FormatError, VersionError, ModelError: as Engine.load.
        """
        from bnnengine.modelfile import from_bytes

        return from_bytes(Path(source).read_bytes() if isinstance(source, (str, os.PathLike)) else source)

    def reference(self, x: npt.ArrayLike | Sequence[npt.ArrayLike], *, all_values: bool = False) -> Any:
        """Runs the layers' NumPy references: slow, and plainly right.

        Args:
            x: array (N, *input shape) of the input's dtype; for several inputs a sequence of them.
            all_values: return every value by name instead of the outputs; bits are int8 arrays of +1 and -1.

        Returns:
            Array (N, *output shape), or a tuple of them, or a dict.
        """
        arrays = [np.asarray(x)] if len(self.inputs) == 1 else [np.asarray(a) for a in x]  # type: ignore[union-attr]
        if len(arrays) != len(self.inputs):
            raise InputError(f"inputs: got {len(arrays)} arrays, wanted {len(self.inputs)}, one an input")
        values: dict[str, Array] = {}
        for spec, array in zip(self.inputs, arrays, strict=True):
            if array.dtype != spec.dtype:
                raise InputTypeError(f"input {spec.name!r}: dtype: got {array.dtype}, wanted {spec.dtype}; convert it")
            if array.ndim == 0 or array.shape[1:] != spec.shape:
                wanted = ", ".join(["N", *map(str, spec.shape)])
                raise InputError(f"input {spec.name!r}: shape: got {array.shape}, wanted ({wanted})")
            values[spec.name] = array
        for node in self.nodes:
            made = node.layer.reference(*(values[name] for name in node.inputs))
            values.update(zip(node.outputs, made if node.layer.results > 1 else (made,), strict=True))
        if all_values:
            return values
        found = tuple(values[name] for name in self.outputs)
        return found[0] if len(found) == 1 else found

    def summary(self) -> str:
        """The layers as text, a line each."""
        lines = [f"{self.metadata.get('name', 'network')}"]
        lines += [f"  input  {spec.name}: {spec}" for spec in self.inputs]
        lines += [f"  {n.name:<24} {type(n.layer).__name__:<18} {self.values[n.outputs[0]]}" for n in self.nodes]
        lines += [f"  output {name}: {self.values[name]}" for name in self.outputs]
        return "\n".join(lines)

    def with_metadata(self, **metadata: str) -> Model:
        """The same network with these metadata added."""
        return replace(self, metadata={**self.metadata, **metadata})


def Sequential(  # noqa: N802 - it reads as a class, as in PyTorch and Keras
    layers: Sequence[Layer], *, name: str | None = None, metadata: Mapping[str, str] | None = None
) -> Model:
    """A chain of layers as a Model.

    Args:
        layers: the first is Input(shape, dtype); each other one reads what the one before it makes.
        name: goes into the metadata.
        metadata: strings.

    Raises:
        ModelError: a layer cannot take what comes before it; the message names it.
    """
    if not layers or not isinstance(layers[0], Input):
        raise ModelError("Sequential: the first layer must be Input(shape, dtype)")
    first, *rest = layers
    assert isinstance(first, Input)
    value = first.name or "input"
    spec, nodes = TensorSpec(value, first.dtype, first.shape), []
    counts: dict[str, int] = {}
    for number, layer in enumerate(rest, 1):
        if not isinstance(layer, Layer) or isinstance(layer, Input):
            raise ModelError(f"Sequential: layer {number}: got {layer!r}, wanted a layer (Input only stands first)")
        kind = type(layer).op or type(layer).__name__.lower()
        counts[kind] = counts.get(kind, 0) + 1
        label = layer.name or f"{kind}_{counts[kind]}"
        nodes.append(Node(label, layer, (value,), (label,)))
        value = label
    said = dict(metadata or {})
    if name is not None:
        said["name"] = name
    return Model((spec,), tuple(nodes), (value,), said)
