"""Larq's networks out of Keras' files, `.h5` and `.keras`: functional, sequential and nested. Read without Keras."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bnnengine.convert import keras_file
from bnnengine.convert.ir import Net
from bnnengine.convert.keras_build import Builder, Fields, Layer, Tensor
from bnnengine.convert.keras_file import Place, Weights
from bnnengine.convert.larq_layers import emit
from bnnengine.errors import ConvertError

MOST_LAYERS = 1 << 14
MOST_CALLS = 1 << 16
UNKNOWN_FORM = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
LOST = Tensor("", ())  # behind a layer that is refused


class _Ref(NamedTuple):
    """An output of a call of a layer."""

    layer: str
    call: int
    output: int


class _Call(NamedTuple):
    """What a layer is called with: Refs, constants, and lists and dicts of them."""

    args: list[Any]
    kwargs: dict[str, Any]


def read(path: Path) -> Net:
    """The graph of a file.

    Raises:
        ConvertError: no file that Keras saved, or a network that cannot be taken; every such layer is named.
    """
    config, weights, version = keras_file.load(path)
    reader = _Reader(weights, version)
    try:
        outputs = reader.model(config, Place(), None)
    except ConvertError as error:
        raise ConvertError(f"{path.name}: {error}") from None
    except UNKNOWN_FORM as error:
        raise ConvertError(f"{path.name}: its description has a form that is not known: {error!r}") from None
    if reader.refused:
        raise ConvertError(f"{path.name}: " + "; ".join(reader.refused))
    net = reader.builder.net
    net.outputs = [tensor.name for tensor in outputs]
    return net


class _Reader:
    """Walks a model's layers, and the models in it; collects what cannot be taken."""

    def __init__(self, weights: Weights, version: int) -> None:
        """Nothing is read yet."""
        self.builder, self.weights = Builder(version), weights
        self.refused: list[str] = []
        self.calls = 0

    def model(self, config: dict[str, Any], place: Place, given: Sequence[Tensor] | None) -> list[Tensor]:
        """The outputs of a model, from its inputs; without those, from inputs of the net.

        LOST stands for what lies behind a layer that is refused.
        """
        inside = config["config"]
        layers = inside if isinstance(inside, list) else inside["layers"]
        if not all(isinstance(layer, dict) and isinstance(layer.get("config"), (dict, list)) for layer in layers):
            raise ConvertError(f"model {place}: layers: wanted descriptions")
        if not 1 <= len(layers) <= MOST_LAYERS:
            raise ConvertError(f"model {place}: got {len(layers)} layers, wanted 1 to {MOST_LAYERS}")
        if isinstance(inside, list) or "input_layers" not in inside:
            return self._sequential(config, layers, place, given)
        return self._functional(inside, layers, place, given)

    # ---- sequential models ----

    def _sequential(
        self, config: dict[str, Any], layers: list[dict[str, Any]], place: Place, given: Sequence[Tensor] | None
    ) -> list[Tensor]:
        first = layers[0]
        if first["class_name"] == "InputLayer":
            layers = layers[1:]
        if given is None:
            shape = _input_shape(first) or _shape_of(config["config"], "build_input_shape")
            shape = shape or _shape_of(config.get("build_config"), "input_shape")
            given = [self._input(_name(first), shape)]
        values: list[Tensor] = list(given)
        for layer, where in zip(layers, _places(place, layers), strict=True):
            values = self._apply(layer, where, [values[0] if len(values) == 1 else list(values)], {})
        return values

    # ---- functional models ----

    def _functional(
        self, inside: dict[str, Any], layers: list[dict[str, Any]], place: Place, given: Sequence[Tensor] | None
    ) -> list[Tensor]:
        calls = {_name(layer): [_parsed_call(node) for node in layer.get("inbound_nodes", [])] for layer in layers}
        if len(calls) != len(layers):
            raise ConvertError(f"model {place}: two layers have one name")
        outputs = _refs(inside["output_layers"])
        skipped = _skipped(calls, outputs)
        inputs = _refs(inside["input_layers"])
        values: dict[_Ref, Tensor] = {}
        if given is not None:
            values |= dict(zip(inputs, given, strict=True))
        else:
            described = {_name(layer): layer for layer in layers}
            for ref in inputs:
                values[ref] = self._input(ref.layer, _input_shape(described[ref.layer]))
        waiting = [
            (layer, where, _Ref(name, i + skipped[name], 0), call)
            for layer, where in zip(layers, _places(place, layers), strict=True)
            for name in [_name(layer)]
            for i, call in enumerate(calls[name])
        ]
        while waiting:
            later = []
            for layer, where, ref, call in waiting:
                if not all(needed in values for needed in _refs_in([call.args, call.kwargs])):
                    later.append((layer, where, ref, call))
                    continue
                args, kwargs = _resolved(call.args, values), _resolved(call.kwargs, values)
                for k, value in enumerate(self._apply(layer, where, args, kwargs)):
                    values[ref._replace(output=k)] = value
            if len(later) == len(waiting):
                names = ", ".join(sorted({repr(ref.layer) for _, _, ref, _ in later})[:5])
                if self.refused:  # they lie behind outputs of what is refused
                    break
                raise ConvertError(f"layers {names}: they read what nothing makes")
            waiting = later
        return [values.get(ref, LOST) if self.refused else values[ref] for ref in outputs]

    # ---- layers ----

    def _input(self, name: str, shape: tuple[int | None, ...] | None) -> Tensor:
        known = [n for n in shape or () if n is not None]
        if shape is None or len(known) != len(shape):
            raise ConvertError(
                f"input {name!r}: shape: got {shape}, wanted known sizes: build the network for one size of image "
                "(Input(shape=(224, 224, 3))), load its weights, and save it"
            )
        return self.builder.input(name, tuple(known))

    def _apply(self, config: dict[str, Any], place: Place, args: Any, kwargs: Any) -> list[Tensor]:
        """The outputs of one call of a layer, or of a model that stands in its place."""
        self.calls += 1
        if self.calls > MOST_CALLS:
            raise ConvertError(f"more than {MOST_CALLS} calls of layers")
        kind, inside = str(config["class_name"]).rsplit(">", 1)[-1], config["config"]
        flat = _flat([args, kwargs])
        if LOST in flat:
            return [LOST]
        if isinstance(inside, list) or isinstance(inside.get("layers"), list):
            return self.model(config, place, flat)
        fields = Fields(inside)
        layer = Layer(kind, place.names[-1], fields, lambda names: self.weights.of(place, names), args, kwargs)
        self.builder.layer = str(place)
        try:
            return list(emit(self.builder, layer, flat))
        except ConvertError as error:
            self.refused.append(f"layer {str(place)!r} ({kind}): {error}")
        except UNKNOWN_FORM as error:
            self.refused.append(f"layer {str(place)!r} ({kind}): its form is not known: {error!r}")
        return [LOST]


# ---- descriptions ----


def _name(layer: dict[str, Any]) -> str:
    inside = layer["config"]
    name = layer.get("name") or (inside.get("name") if isinstance(inside, dict) else None)
    if not isinstance(name, str):
        raise ConvertError(f"layer of {str(layer.get('class_name'))[:40]}: name: got {name!r}, wanted a text")
    return name


def _places(place: Place, layers: Sequence[dict[str, Any]]) -> list[Place]:
    return place.inside([(str(layer["class_name"]), _name(layer)) for layer in layers])


def _shape_of(config: Any, key: str) -> tuple[int | None, ...] | None:
    """A shape in a description, without the batch."""
    given = config.get(key) if isinstance(config, dict) else None
    if not isinstance(given, list) or len(given) < 2 or not all(n is None or type(n) is int for n in given):
        return None
    return tuple(given[1:])


def _input_shape(layer: dict[str, Any]) -> tuple[int | None, ...] | None:
    """Of an InputLayer, or of a first layer that says what it takes."""
    return _shape_of(layer["config"], "batch_input_shape") or _shape_of(layer["config"], "batch_shape")


def _is_ref(value: Any) -> bool:
    """Keras 2 writes [layer, call, output], and at times arguments behind it."""
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and type(value[1]) is int
        and (type(value[2]) is int or value[0] == "_CONSTANT_VALUE")
    )


def _parsed(value: Any) -> Any:
    """Arguments of a call, with Refs in place of both ways to write them."""
    if _is_ref(value):
        return value[2] if value[0] == "_CONSTANT_VALUE" else _Ref(*value[:3])
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":  # Keras 3
            return _Ref(*value["config"]["keras_history"])
        return {key: _parsed(item) for key, item in value.items()}
    return [_parsed(item) for item in value] if isinstance(value, list) else value


def _parsed_call(node: Any) -> _Call:
    if isinstance(node, dict):  # Keras 3
        return _Call(list(_parsed(node["args"])), dict(_parsed(node.get("kwargs", {}))))
    entries = [node] if _is_ref(node) else node
    first = entries[0]
    kwargs = first[3] if len(first) > 3 else {}
    found = [_parsed(entry) for entry in entries]
    return _Call(found if len(found) == 1 else [found], dict(_parsed(kwargs)))


def _refs(given: Any) -> list[_Ref]:
    """A model's inputs or outputs: one, or a list."""
    return [_Ref(*item) for item in ([given] if _is_ref(given) else given)]


def _refs_in(value: Any) -> list[_Ref]:
    if isinstance(value, _Ref):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [ref for item in items for ref in _refs_in(item)]


def _skipped(calls: dict[str, list[_Call]], outputs: list[_Ref]) -> dict[str, int]:
    """How many calls of each layer are left out in front: of a model that stands in another one, that on its own."""
    read = [*outputs, *(ref for each in calls.values() for call in each for ref in _refs_in([call.args, call.kwargs]))]
    last: dict[str, int] = {}
    for ref in read:
        last[ref.layer] = max(last.get(ref.layer, 0), ref.call)
    return {name: max(last.get(name, 0) + 1 - len(each), 0) if each else 0 for name, each in calls.items()}


def _resolved(value: Any, values: dict[_Ref, Tensor]) -> Any:
    if isinstance(value, _Ref):
        return values[value]
    if isinstance(value, dict):
        return {key: _resolved(item, values) for key, item in value.items()}
    return [_resolved(item, values) for item in value] if isinstance(value, list) else value


def _flat(value: Any) -> list[Tensor]:
    """The tensors among arguments."""
    if isinstance(value, Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [tensor for item in items for tensor in _flat(item)]
