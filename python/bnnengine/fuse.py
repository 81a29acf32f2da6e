"""Rewrites that leave what a network computes and change how: each rule is small, named, and listed in RULES.

A rule looks at a chain of layers, each read only by the next, and gives the layers that replace some of them. Batch
norm and sign become one comparison (FINN, arXiv:1612.07119, section 4.2.2): the threshold is searched for, by
bisection over every value that the sum can take, against the decision that the layers' own references take (a batch
norm's is float64's), so it is that decision exactly, for either sign of gamma and for zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnengine.concats import separate
from bnnengine.errors import ModelError
from bnnengine.layers import (
    BatchNorm,
    Binarize,
    Clip,
    Conv2d,
    Dense,
    Flatten,
    GlobalAveragePool,
    Layer,
    MaxPool2d,
    PReLU,
    ScaleBias,
    Sign,
    Threshold,
)
from bnnengine.layers.base import Spec
from bnnengine.layers.output import Sum
from bnnengine.model import Model, Node
from bnnengine.order import late_sums
from bnnengine.thresholds import float_threshold, integer_threshold, search_threshold

Array = npt.NDArray[Any]

# How many layers from the start of the chain go, and what takes their place.
Rewrite = tuple[int, list[Layer]]


def optimize(model: Model) -> Model:
    """Applies RULES until none applies, leaves out concatenations that nobody needs, and orders what is left."""
    changed, model = True, unshare_affine(model)
    with np.errstate(over="ignore"):
        while changed:
            model, changed = _pass(model)
    return late_sums(separate(model))


def unshare_affine(model: Model) -> Model:
    """A batch norm or scale that only signs and global means read, one for each of them: all of which take it in."""
    readers, nodes = _readers(model), list(model.nodes)
    taken = {node.name for node in nodes} | set(model.values)
    for node in model.nodes:
        following = readers.get(node.outputs[0], [])
        if not isinstance(node.layer, (BatchNorm, ScaleBias)) or node.outputs[0] in model.outputs:
            continue
        if not all(isinstance(reader.layer, (Sign, Binarize, GlobalAveragePool)) for reader in following):
            continue
        for reader in following[1:]:
            name = _another(node.name, taken)
            nodes.insert(nodes.index(node), Node(name, node.layer, node.inputs, (name,)))
            nodes[nodes.index(reader)] = replace(reader, inputs=(name,))
    return Model(model.inputs, tuple(nodes), model.outputs, model.metadata) if len(nodes) > len(model.nodes) else model


def _readers(model: Model) -> dict[str, list[Node]]:
    readers: dict[str, list[Node]] = {}
    for node in model.nodes:
        for value in node.inputs:
            readers.setdefault(value, []).append(node)
    return readers


def _pass(model: Model) -> tuple[Model, bool]:
    readers = _readers(model)
    chains = []
    for start in model.nodes:
        chain = [start]
        while len(chain[-1].outputs) == 1 and chain[-1].outputs[0] not in model.outputs:
            following = readers.get(chain[-1].outputs[0], [])
            if len(following) != 1 or len(following[0].inputs) != 1:
                break
            chain.append(following[0])
        chains.append(chain)
    # a rule has every place that it wants before the next one has any, so that exact rules come before rounding ones
    for rule in RULES:
        for chain in chains:
            spec = model.values[chain[0].inputs[0]]
            try:
                rewrite = rule((spec.dtype, spec.shape), [node.layer for node in chain])
            except ModelError as error:
                raise ModelError(f"layer {chain[0].name!r}, with those after it folded into it: {error}") from None
            if rewrite is not None:
                replaced = _replace(model, chain[: rewrite[0]], rewrite[1])
                if replaced is not None:
                    return replaced, True
    return model, False


def _replace(model: Model, old: Sequence[Node], layers: Sequence[Layer]) -> Model | None:
    """The old nodes' places taken by the layers; the last value keeps its name, so that outputs do too."""
    source, result = old[0].inputs[0], old[-1].outputs[0]
    if not layers:
        if result in model.outputs:
            return None  # an output keeps a layer of its own
        nodes = [n for n in model.nodes if n not in old]
        nodes = [replace(n, inputs=tuple(source if i == result else i for i in n.inputs)) for n in nodes]
        return Model(model.inputs, tuple(nodes), model.outputs, model.metadata)
    fresh: list[Node] = []
    inputs, left = old[0].inputs, list(old)
    kept = [n for n in model.nodes if n not in old]
    taken = {node.name for node in model.nodes} | set(model.values)
    made_elsewhere = {*(spec.name for spec in model.inputs), *(value for n in kept for value in n.outputs)}
    for number, layer in enumerate(layers):
        # named after the first of the old layers that it is one of, or else after the first that is left
        namesake = next((n for n in left if type(n.layer) is type(layer)), left[0] if left else None)
        if namesake is not None:
            left.remove(namesake)
        name = namesake.name if namesake is not None else _another(old[-1].name, taken)
        value = namesake.outputs[0] if namesake is not None and namesake.outputs[0] != result else name
        # an earlier rewrite may have left a layer's name to the value of another one
        free = value if value not in {result, *made_elsewhere} else _another(result, taken)
        made = result if number == len(layers) - 1 else free
        fresh.append(Node(name, layer, inputs, (made,)))
        made_elsewhere.add(made)
        inputs = (made,)
    at = model.nodes.index(old[-1]) - (len(old) - 1)
    return Model(model.inputs, (*kept[:at], *fresh, *kept[at:]), model.outputs, model.metadata)


def _another(name: str, taken: set[str]) -> str:
    """A name like this one that is not taken; it is from now on."""
    number = next(n for n in range(1, len(taken) + 2) if f"{name}.{n}" not in taken)
    taken.add(f"{name}.{number}")
    return f"{name}.{number}"


# ---- thresholds -----------------------------------------------------------------------------------------------------


def _evaluate(layers: Sequence[Layer], y: Array) -> Array:
    """Affine layers on values [..., C]; what overflows stays finite, so that a slope of zero times it is 0, not NaN."""
    most = np.finfo(np.float32).max
    y = np.clip(y, -most, most)
    for layer in layers:
        y = np.clip(layer.reference(y), -most, most)
    return y


def _decide(affine: Sequence[Layer], sign: Sign | Binarize, y: Array) -> npt.NDArray[np.bool_]:
    return sign.reference(_evaluate(affine, y)) > 0


def _next_sign(layers: Sequence[Layer]) -> tuple[Sign | Binarize, list[Layer]] | None:
    """The sign at the start, or behind a flatten, which may as well follow it; and the layers that stay behind it."""
    if layers and isinstance(layers[0], (Sign, Binarize)):
        return layers[0], []
    if len(layers) > 1 and isinstance(layers[0], Flatten):
        sign = layers[1]
        if isinstance(sign, Sign) or (isinstance(sign, Binarize) and sign.threshold.ndim == 0 and sign.flip.ndim == 0):
            return sign, [layers[0]]
    return None


def _find_threshold(decide: Callable[[Array], npt.NDArray[np.bool_]], layer: Sum, dtype: str) -> Threshold:
    """For sums of `layer` over an input of `dtype`; decide takes the sums."""
    if not layer.exact(dtype):
        return float_threshold(decide, layer.outputs)
    most = layer.depth * (255 if dtype == "uint8" else 1)
    return integer_threshold(decide, layer.outputs, -most, most)


def _split(layers: Sequence[Layer]) -> tuple[list[Layer], list[Layer]]:
    """The affine layers at the start, and the rest."""
    n = 0
    while n < len(layers) and isinstance(layers[n], (BatchNorm, ScaleBias)):
        n += 1
    return list(layers[:n]), list(layers[n:])


# ---- rules ----------------------------------------------------------------------------------------------------------


def drop_sign_of_bits(spec: Spec, chain: Sequence[Layer]) -> Rewrite | None:
    """Bits have their sign already."""
    return (1, []) if isinstance(chain[0], Sign) and spec[0] == "bits" else None


def drop_flatten_of_vector(spec: Spec, chain: Sequence[Layer]) -> Rewrite | None:
    """A vector is flat already."""
    return (1, []) if isinstance(chain[0], Flatten) and len(spec[1]) == 1 else None


def _to_bits(layer: Sum, threshold: Threshold) -> Layer:
    return replace(layer, threshold=threshold, scale=None, bias=None)  # type: ignore[type-var]


def sum_then_sign(spec: Spec, chain: Sequence[Layer]) -> Rewrite | None:
    """Sum, batch norms or scales, sign (or flatten and sign): the sum's threshold."""
    layer = chain[0]
    if not isinstance(layer, Sum) or layer.threshold is not None:
        return None
    affine, rest = _split(chain[1:])
    found = _next_sign(rest)
    if found is None:
        return None
    sign, flatten = found
    threshold = _find_threshold(lambda acc: _decide(affine, sign, layer.finish(acc)), layer, spec[0])
    return len(affine) + len(flatten) + 2, [_to_bits(layer, threshold), *flatten]


def sum_then_pool_then_sign(spec: Spec, chain: Sequence[Layer]) -> Rewrite | None:
    """Integer sum, maximum, sign (or flatten and sign): threshold first, and pool bits.

    A decision that rises holds for the maximum where it holds for any value of the window (an OR); of one that falls
    the inverse rises, so inverse bits are pooled and inverted back by the pool's flip. Only for integers: a float might
    be NaN.
    """
    layer = chain[0]
    if not isinstance(layer, Sum) or layer.threshold is not None or not layer.exact(spec[0]):
        return None
    before, rest = _split(chain[1:])
    if not rest or not isinstance(rest[0], MaxPool2d):
        return None
    pool = rest[0]
    after, rest = _split(rest[1:])
    found = _next_sign(rest)
    if found is None:
        return None
    (sign, flatten), most = found, np.full(layer.outputs, np.finfo(np.float32).max)
    falls = _decide(after, sign, -most) & ~_decide(after, sign, most)

    def decide(acc: Array) -> npt.NDArray[np.bool_]:
        return _decide(after, sign, _evaluate(before, layer.finish(acc))) ^ falls

    threshold = _find_threshold(decide, layer, spec[0])
    flip = falls if falls.any() else None
    went = len(before) + len(after) + len(flatten) + 3
    return went, [_to_bits(layer, threshold), replace(pool, flip=flip), *flatten]


def batch_norm_into_float_weights(spec: Spec, chain: Sequence[Layer]) -> Rewrite | None:
    """Real weights and batch norm or scale: the weights take the scale in, and a bias is all that is left to add."""
    layer = chain[0]
    if not isinstance(layer, (Conv2d, Dense)) or layer.weight.dtype != np.float32:
        return None
    folded = sum_then_affine(spec, chain)
    if folded is None:
        return None
    scale = folded[1][0].scale.astype(np.float64)  # type: ignore[attr-defined]
    weight = layer.weight * scale.reshape(-1, *[1] * (layer.weight.ndim - 1))
    if not (np.abs(weight) <= np.finfo(np.float32).max).all():
        return None
    return 2, [replace(folded[1][0], weight=weight, scale=None)]  # type: ignore[type-var]


def sum_then_affine(spec: Spec, chain: Sequence[Layer]) -> Rewrite | None:
    """Sum and batch norm or scale: the sum's own scale and bias."""
    layer = chain[0]
    if not isinstance(layer, Sum) or layer.threshold is not None or len(chain) < 2:
        return None
    affine = chain[1]
    if not isinstance(affine, (BatchNorm, ScaleBias)):
        return None
    scale, bias = _scale_bias(affine)
    own_scale = 1.0 if layer.scale is None else layer.scale.astype(np.float64)
    own_bias = 0.0 if layer.bias is None else layer.bias.astype(np.float64)
    return 2, [replace(layer, scale=own_scale * scale, bias=own_bias * scale + bias)]  # type: ignore[type-var]


def _scale_bias(affine: BatchNorm | ScaleBias) -> tuple[Array, Array]:
    if isinstance(affine, BatchNorm):
        return affine.scale_bias()
    return affine.scale.astype(np.float64), affine.bias.astype(np.float64)


def affine_then_sign(spec: Spec, chain: Sequence[Layer]) -> Rewrite | None:
    """Batch norms or scales of an input or a float, then sign: one threshold."""
    affine, rest = _split(chain)
    if not affine or not rest or not isinstance(rest[0], (Sign, Binarize)) or spec[0] not in ("uint8", "float32"):
        return None
    sign, channels = rest[0], spec[1][-1]

    def decide(x: Array) -> npt.NDArray[np.bool_]:
        return _decide(affine, sign, np.broadcast_to(x, (channels,)))

    if spec[0] == "float32":
        found = float_threshold(decide, channels)
    else:
        value, flip, constant = search_threshold(decide, channels, 0, 255)
        always = constant & (value == 0)
        value = np.where(constant, np.where(always, -np.inf, np.inf), value)
        found = Threshold(value.astype(np.float32), flip)
    return len(affine) + 1, [Binarize(found.value, found.flip)]


def affine_then_mean(spec: Spec, chain: Sequence[Layer]) -> Rewrite | None:
    """Batch norm or scale, then the mean over all pixels: the mean first, and one number a channel to scale."""
    affine, rest = _split(chain)
    if len(affine) != 1 or not rest or not isinstance(rest[0], GlobalAveragePool) or spec[0] != "float32":
        return None
    return 2, [rest[0], affine[0]]


def rising_then_pool(spec: Spec, chain: Sequence[Layer]) -> Rewrite | None:
    """A PReLU or limits, which never fall, then the maximum: the maximum first, of which there are fewer.

    Slopes of 0 stay, since an infinity times them is a NaN.
    """
    if len(chain) < 2 or not isinstance(chain[0], (PReLU, Clip)) or not isinstance(chain[1], MaxPool2d):
        return None
    layer, pool = chain[0], chain[1]
    if isinstance(layer, PReLU):
        rises = bool((layer.slope > 0).all())
    else:
        rises = layer.low is None or layer.high is None or bool((layer.low <= layer.high).all())
    fewer = np.prod(pool.output_spec(spec)[1]) < np.prod(spec[1])
    return (2, [pool, layer]) if rises and fewer else None


def sign_alone(spec: Spec, chain: Sequence[Layer]) -> Rewrite | None:
    """The file has no sign: it is a threshold at zero."""
    return (1, [Binarize(0.0)]) if isinstance(chain[0], Sign) and spec[0] != "bits" else None


def batch_norm_alone(spec: Spec, chain: Sequence[Layer]) -> Rewrite | None:
    """The file has no batch norm: it is a scale and a bias."""
    if not isinstance(chain[0], BatchNorm):
        return None
    scale, bias = chain[0].scale_bias()
    return 1, [ScaleBias(scale, bias)]


def lower(spec: Spec, chain: Sequence[Layer]) -> Rewrite | None:
    """What the file has no operator for, or has in one form only, as layers that it has."""
    lowered = chain[0].lower(spec)
    same = len(lowered) == 1 and (lowered[0] is chain[0] or lowered[0] == chain[0])
    return None if same else (1, lowered)


RULES: tuple[Callable[[Spec, Sequence[Layer]], Rewrite | None], ...] = (
    lower,
    drop_sign_of_bits,
    drop_flatten_of_vector,
    sum_then_sign,
    sum_then_pool_then_sign,
    affine_then_sign,
    batch_norm_into_float_weights,
    sum_then_affine,
    affine_then_mean,
    rising_then_pool,
    sign_alone,
    batch_norm_alone,
)
