"""A plain foreign graph as a Model: images channels-last, and layers binary where both sides of a product are."""

from __future__ import annotations

from collections.abc import Callable

import bnnengine as b
from bnnengine.convert.emit_functions import Functions
from bnnengine.convert.emit_shapes import Shapes
from bnnengine.convert.emit_sums import Sums
from bnnengine.convert.ir import Op
from bnnengine.errors import ConvertError, ModelError
from bnnengine.graph import Value

ADVICE = "docs/convert.md says what is taken: write these otherwise in the source, or leave that part to its framework"


class Emitter(Sums, Functions, Shapes):
    """Walks a net's operators, one method a kind, and collects what cannot be taken."""

    def run(self) -> b.Model:
        """The model.

        Raises:
            ConvertError: some operators cannot be taken; each is named with the reason.
        """
        for name, shape in self.net.inputs.items():
            if len(shape) not in (2, 4) or any(n < 1 for n in shape[1:]):
                raise ConvertError(
                    f"input {name!r}: shape: got {shape}, wanted (N, K) or (N, C, H, W) with sizes from 1"
                )
            ours = shape[1:] if len(shape) == 2 else (*shape[2:], shape[1])
            self.values[name] = self.graph.input(ours, "float32", name=name)
        for op in self.net.ops:
            self._take(op)
        if self.refused:
            raise ConvertError("; ".join([*self.refused, ADVICE]))
        missing = [name for name in self.net.outputs if name not in self.values]
        if missing:
            raise ConvertError(f"outputs {missing}: constant, or made by nothing")
        return self.graph.model(*(self._float(self._whole(name)) for name in self.net.outputs))

    def _take(self, op: Op) -> None:
        handler: Callable[[Op], Value | tuple[Value, ...]] | None = getattr(self, f"_do_{op.kind.lower()}", None)
        label = f"node {op.name or op.outputs[0]!r} ({op.kind})"
        if any(name and name not in self.values and name not in self.net.constants for name in op.inputs):
            return  # behind one that is refused, which is named already
        if handler is None:
            self.refused.append(f"{label}: there is no layer for this operator")
            return
        try:
            made = handler(op)
            for name, value in zip(op.outputs, made if isinstance(made, tuple) else (made,), strict=False):
                self.values[name] = value
        except (ConvertError, ModelError) as error:
            self.refused.append(f"{label}: {error}")
        except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
            self.refused.append(f"{label}: its form is not known: {error}")
