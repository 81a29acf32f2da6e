"""The builder of networks that are no chains: values in, a layer, a value out.

g = Graph("residual")
x = g.input((8, 8, 64), "float32")
y = g(BinaryConv2d(weight, padding=1, scale=alpha), g(Sign(), x))
model = g.model(g(GlobalAveragePool(), y + x))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from bnnengine.errors import ModelError
from bnnengine.layers import Add, Input, Layer, Multiply, ScaleBias, Slice, Subtract
from bnnengine.model import Model, Node, apply
from bnnengine.spec import TensorSpec

Operand = "Value | npt.ArrayLike"


class Value:
    """A value of a network that is being built: what a layer makes. +, - and * take another one, or numbers.

    Attributes:
        graph: whose it is.
        spec: its name, dtype, and shape without the batch.
    """

    __array_ufunc__ = None  # so that NumPy leaves array + value to __radd__

    def __init__(self, graph: Graph, spec: TensorSpec) -> None:
        """Made by Graph."""
        self.graph = graph
        self.spec = spec

    @property
    def name(self) -> str:
        """Unique in the network."""
        return self.spec.name

    @property
    def dtype(self) -> str:
        """bits, uint8, int64 or float32."""
        return self.spec.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Without the batch."""
        return self.spec.shape

    def __repr__(self) -> str:
        """Name, dtype and shape."""
        return f"Value({self.name!r}, {self.spec})"

    def __add__(self, other: Any) -> Value:
        """Add, or a bias: a number or one a channel."""
        return self.graph(Add(), self, other) if isinstance(other, Value) else self._scale_bias(1.0, other)

    def __sub__(self, other: Any) -> Value:
        """Subtract, or a bias."""
        if isinstance(other, Value):
            return self.graph(Subtract(), self, other)
        return self._scale_bias(1.0, -np.asarray(other, np.float32))

    def __mul__(self, other: Any) -> Value:
        """Multiply, or a scale."""
        return self.graph(Multiply(), self, other) if isinstance(other, Value) else self._scale_bias(other, 0.0)

    def __rsub__(self, other: Any) -> Value:
        """Numbers minus the value."""
        return self._scale_bias(-1.0, other)

    __radd__, __rmul__ = __add__, __mul__

    def _scale_bias(self, scale: Any, bias: Any) -> Value:
        return self.graph(ScaleBias(scale, bias), self)


class Graph:
    """A network that is being built.

    Args:
        name: goes into the model's metadata.
        metadata: strings.
    """

    def __init__(self, name: str | None = None, metadata: Mapping[str, str] | None = None) -> None:
        """Without a layer yet."""
        self.metadata = {**(metadata or {}), **({} if name is None else {"name": name})}
        self._inputs: list[TensorSpec] = []
        self._nodes: list[Node] = []
        self._names: set[str] = set()

    def input(self, shape: int | tuple[int, ...], dtype: str = "float32", *, name: str = "input") -> Value:
        """A value that the caller gives: uint8 or float32, of this shape without the batch."""
        first = Input(shape, dtype, name)  # type: ignore[arg-type]
        spec = TensorSpec(self._fresh(name, name), first.dtype, first.shape)
        self._inputs.append(spec)
        return Value(self, spec)

    @overload
    def __call__(self, layer: Layer, *values: Value, name: str | None = None) -> Value: ...

    @overload
    def __call__(self, layer: Layer, *values: npt.ArrayLike, name: str | None = None) -> Value: ...

    def __call__(self, layer: Layer, *values: Any, name: str | None = None) -> Any:
        """Puts a layer behind values.

        Args:
            layer: what to compute.
            values: of this graph, as many as the layer takes.
            name: of the layer, and of its value; by default the layer's own name, or one made from its kind.

        Returns:
            A Value, or a tuple of them where the layer has several outputs.

        Raises:
            ModelError: the layer cannot take these values, or the name is taken.
        """
        if not isinstance(layer, Layer) or isinstance(layer, Input):
            raise ModelError(f"graph: got {layer!r}, wanted a layer (inputs come from Graph.input)")
        kind = type(layer).op or type(layer).__name__.lower()
        wanted = name or layer.name
        label = self._fresh(wanted, kind, reserve=False)
        for value in values:
            if not isinstance(value, Value) or value.graph is not self:
                raise ModelError(f"layer {label!r}: got {value!r}, wanted a value of this graph")
        specs = apply(layer, [value.spec for value in values], label)
        self._names.add(label)
        made = [label] if len(specs) == 1 else [self._fresh(f"{label}.{k}", label) for k in range(len(specs))]
        self._nodes.append(Node(label, layer, tuple(value.name for value in values), tuple(made)))
        found = tuple(Value(self, TensorSpec(n, dtype, shape)) for n, (dtype, shape) in zip(made, specs, strict=True))
        return found[0] if len(found) == 1 else found

    def split(self, value: Value, sections: int, axis: int = -1) -> list[Value]:
        """The value cut along an axis (without the batch) into that many equal parts.

        Raises:
            ModelError: they would not be equal.
        """
        size = value.shape[axis]
        if sections < 1 or size % sections:
            raise ModelError(f"split of {value.name!r}: sections: got {sections}, wanted a divisor of {size}")
        step = size // sections
        return [self(Slice(k * step, (k + 1) * step, axis), value) for k in range(sections)]

    def model(self, *outputs: Value) -> Model:
        """The network that ends in these values; layers that none of them needs are left out.

        Raises:
            ModelError: no outputs, or values of another graph.
        """
        if not outputs:
            raise ModelError("outputs: got none, wanted one or more values")
        for value in outputs:
            if not isinstance(value, Value) or value.graph is not self:
                raise ModelError(f"outputs: got {value!r}, wanted values of this graph")
        needed, nodes = {value.name for value in outputs}, []
        for node in reversed(self._nodes):
            if needed & set(node.outputs):
                needed |= set(node.inputs)
                nodes.append(node)
        return Model(tuple(self._inputs), tuple(nodes[::-1]), tuple(v.name for v in outputs), self.metadata)

    def _fresh(self, wanted: str | None, kind: str, *, reserve: bool = True) -> str:
        """The wanted name, which must be free, or one made from the kind."""
        if wanted is not None and wanted in self._names:
            raise ModelError(f"graph: the name {wanted!r} is taken")
        number = 1
        while wanted is None:
            wanted = f"{kind}_{number}" if f"{kind}_{number}" not in self._names else None
            number += 1
        if reserve:
            self._names.add(wanted)
        return wanted
