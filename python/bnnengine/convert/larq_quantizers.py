"""Larq's quantizers and Keras' activations, by name or by description: on values, and on latent weights.

Where values are quantized they become signs or steps of the plain graph; latent weights are computed here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bnnengine.convert.ir import Array
from bnnengine.convert.keras_build import Builder, Fields, Tensor
from bnnengine.errors import ConvertError

QUANTIZERS = {
    "ApproxSign": "approx_sign",
    "DoReFa": "dorefa_quantizer",
    "DoReFaQuantizer": "dorefa_quantizer",
    "MagnitudeAwareSign": "magnitude_aware_sign",
    "NoOp": "no_op",
    "NoOpQuantizer": "no_op",
    "SteHeaviside": "ste_heaviside",
    "SteSign": "ste_sign",
    "SteTern": "ste_tern",
    "SwishSign": "swish_sign",
}
SIGNS = ("ste_sign", "approx_sign", "swish_sign")
ADVICE = "train with ste_sign, approx_sign, swish_sign, magnitude_aware_sign, ste_heaviside or DoReFa of 1 bit"


def named(given: Any) -> tuple[str, Fields]:
    """The name of a function or quantizer, and its fields.

    Raises:
        ConvertError: it has no name.
    """
    if given is None:
        return "linear", Fields({})
    if isinstance(given, dict):
        kind, config = given.get("class_name"), given.get("config")
        if kind == "function" and isinstance(config, str):  # a function that was registered by name
            return named(config)
        given = given.get("registered_name") if kind == "function" else kind
        fields = Fields(config)
    else:
        fields = Fields({})
    if not isinstance(given, str):
        raise ConvertError(f"a function that has no name: {str(given)[:80]}")
    name = given.rsplit(">", 1)[-1]  # package>name
    return QUANTIZERS.get(name, name), fields


def _one_bit(fields: Fields) -> None:
    bits = fields.number("k_bit", 2)
    if bits != 1:
        raise ConvertError(f"DoReFa: k_bit: got {bits:g}, wanted 1: the engine runs one bit an activation and a weight")


# ---- on values ----


def quantize(builder: Builder, x: Tensor, given: Any) -> Tensor | None:
    """A value behind a quantizer; None where it is no quantizer."""
    name, fields = named(given)
    if name in SIGNS:
        return builder.emit("Sign", [x], x.shape)
    if name == "ste_heaviside":  # 1 above 0
        return _step(builder, x, 0.0)
    if name == "dorefa_quantizer":
        _one_bit(fields)
        if fields.get("mode", "activations") != "activations":
            raise ConvertError(f"DoReFa: mode: got {fields.get('mode')!r} for values, wanted 'activations'")
        return _step(builder, x, 0.5)  # 0.5 is rounded to even, which is 0
    if name == "no_op":
        return x
    if name == "magnitude_aware_sign":
        raise ConvertError("magnitude_aware_sign of values is the mean of a whole batch: use ste_sign for inputs")
    if name == "ste_tern":
        raise ConvertError(f"ste_tern has three values: {ADVICE}")
    return None


def _step(builder: Builder, x: Tensor, level: float) -> Tensor:
    """1 above a level, else 0."""
    above = np.nextafter(np.float32(level), np.float32(np.inf)).reshape(())
    return builder.emit("Step", [x, builder.constant(above)], x.shape)


def _swish(builder: Builder, x: Tensor, _: Fields) -> Tensor:
    return builder.merged("Mul", x, builder.emit("Sigmoid", [x], x.shape))


def _relu(builder: Builder, x: Tensor, _: Fields) -> Tensor:
    return builder.emit("Relu", [x], x.shape)


def _hard_sigmoid(builder: Builder, x: Tensor, _: Fields) -> Tensor:
    """Keras 3 has another slope."""
    return builder.emit("HardSigmoid", [x], x.shape, alpha=0.2 if builder.keras == 2 else 1 / 6, beta=0.5)


FUNCTIONS: dict[str, Callable[[Builder, Tensor, Fields], Tensor]] = {
    "linear": lambda b, x, f: x,
    "relu": _relu,
    "relu6": lambda b, x, f: b.clip(x, 0, 6),
    "sigmoid": lambda b, x, f: b.emit("Sigmoid", [x], x.shape),
    "tanh": lambda b, x, f: b.emit("Tanh", [x], x.shape),
    "hard_tanh": lambda b, x, f: b.clip(x, -1, 1),
    "clip_by_value_activation": lambda b, x, f: b.clip(x, 0, 1),  # larq_zoo's DoReFaNet
    "softmax": lambda b, x, f: b.emit("Softmax", [x], x.shape, axis=-1),
    "hard_sigmoid": _hard_sigmoid,
    "swish": _swish,
    "silu": _swish,
    "gelu": lambda b, x, f: b.emit("Gelu", [x], x.shape),
}


def activate(builder: Builder, x: Tensor, given: Any) -> Tensor:
    """A value behind an activation or quantizer.

    Raises:
        ConvertError: it is not known.
    """
    made = quantize(builder, x, given)
    if made is not None:
        return made
    name, fields = named(given)
    if name == "Activation":
        return activate(builder, x, fields.get("activation"))
    if name not in FUNCTIONS:
        raise ConvertError(f"activation {name!r} is not known, wanted one of {', '.join(FUNCTIONS)} or a quantizer")
    return FUNCTIONS[name](builder, x, fields)


# ---- on weights ----


def quantized_weights(w: Array, given: Any) -> Array:
    """What a layer computes with, from its latent weights; a weight of 0 counts as +1, as everywhere in Larq.

    Raises:
        ConvertError: the quantizer is not known, or has more than two values.
    """
    w = w.astype(np.float32)
    name, fields = named(given)
    signs: Array = np.asarray(np.where(w >= 0, 1, -1), np.float32)
    others = tuple(range(w.ndim - 1))
    if name in SIGNS:
        return signs
    if name in ("linear", "no_op"):
        return w
    if name == "magnitude_aware_sign":
        return np.asarray(signs * np.abs(w).mean(axis=others, dtype=np.float64).astype(np.float32))
    if name == "xnor_weight_scale":  # larq_zoo's XNORNet
        return np.asarray(signs * np.abs(np.clip(w, -1, 1)).mean(axis=others, dtype=np.float64).astype(np.float32))
    if name == "magnitude_aware_sign_unclipped":  # larq_zoo's DoReFaNet
        return np.asarray(signs * np.float32(np.abs(w).mean(dtype=np.float64)))
    if name == "ste_heaviside":
        return np.asarray(w > 0, np.float32)
    if name == "dorefa_quantizer":
        return _dorefa_weights(w, fields)
    if name == "ste_tern":
        raise ConvertError(f"ste_tern has three values: {ADVICE}")
    raise ConvertError(
        f"quantizer {name!r} is not known: {ADVICE}, or fold it into the weights and save with 'ste_sign'"
    )


def _dorefa_weights(w: Array, fields: Fields) -> Array:
    _one_bit(fields)
    if fields.get("mode", "activations") == "activations":
        return np.asarray(w > 0.5, np.float32)
    limited = np.tanh(w)
    half = limited / (2 * np.abs(limited).max(initial=0) or np.float32(1)) + np.float32(0.5)
    return np.asarray(2 * np.round(half).astype(np.float32) - 1)
