"""Weights of Larq Zoo's networks out of Keras' and TensorFlow Lite's files, by the names that bnnengine.zoo wants."""

import re
from pathlib import Path

import h5py
import numpy as np
from tflite_file import read_tflite


def binarydensenet28_weights(path: Path) -> dict[str, np.ndarray]:
    """From Keras' HDF5 file: its layers are numbered in the order in which they stand in the network."""
    with h5py.File(path) as file:
        layers = {name: _arrays(group) for name, group in file["model_weights"].items()}
    found: dict[str, np.ndarray] = {}

    def in_order(kind: str) -> list[dict[str, np.ndarray]]:
        names = [name for name in layers if re.fullmatch(kind + r"(_\d+)?", name)]
        return [
            layers[name] for name in sorted(names, key=lambda name: int((re.findall(r"\d+$", name[6:]) or ["0"])[0]))
        ]

    norms, convs, binaries = (iter(in_order(kind)) for kind in ("batch_normalization", "conv2d", "quant_conv2d"))

    def conv(name: str, source: dict[str, np.ndarray]) -> None:
        found[f"{name}.weight"] = source["kernel"].transpose(3, 2, 0, 1)

    def norm(name: str) -> None:
        source = next(norms)
        keras = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        found.update({f"{name}.{ours}": source[theirs] for ours, theirs in keras.items()})

    conv("conv1", next(convs))
    norm("bn1")
    for block, count in enumerate((6, 6, 6, 5)):
        for layer in range(count):
            norm(f"blocks.{block}.{layer}.bn")
            conv(f"blocks.{block}.{layer}.conv", next(binaries))
        if block < 3:
            norm(f"transitions.{block}.bn")
            conv(f"transitions.{block}.conv", next(convs))
    norm("bn2")
    found["fc.weight"], found["fc.bias"] = layers["dense"]["kernel"].T, layers["dense"]["bias"]
    assert not [*norms, *convs, *binaries], "layers are left over"
    return found


def _arrays(group: h5py.Group) -> dict[str, np.ndarray]:
    """The arrays of a layer, by name without the :0."""
    arrays: dict[str, np.ndarray] = {}
    group.visititems(
        lambda name, item: arrays.update({name.split("/")[-1][:-2]: item[()]}) if hasattr(item, "shape") else None
    )
    return arrays


def quicknet_small_weights(path: Path) -> dict[str, np.ndarray]:
    """From a TensorFlow Lite file of Larq's converter, where batch norms are part of the convolutions before them.

    A batch norm of ours then has the bias, or the scale and the bias behind a binary convolution, that are left.
    """
    operators = iter([op for op in read_tflite(path) if op.constants])
    found: dict[str, np.ndarray] = {}

    def norm(name: str, scale: np.ndarray, bias: np.ndarray, epsilon: float) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = scale, bias
        found[f"{name}.running_mean"] = np.zeros_like(bias)
        found[f"{name}.running_var"] = np.full_like(bias, 1 - epsilon)

    def conv(name: str, bn: str, epsilon: float) -> None:
        op = next(operators)
        assert op.kind == "CONV_2D", op.kind
        found[f"{name}.weight"] = op.constants[0].transpose(0, 3, 1, 2)
        norm(bn, np.ones_like(op.constants[1]), op.constants[1], epsilon)

    conv("stem.conv1", "stem.bn1", 1e-3)
    depthwise = next(operators)
    assert depthwise.kind == "DEPTHWISE_CONV_2D", depthwise.kind
    found["stem.depthwise.weight"] = depthwise.constants[0].transpose(3, 0, 1, 2)
    norm("stem.bn2", np.ones(8, np.float32), depthwise.constants[1], 1e-3)
    # stem.bn2 has no bias of its own: the mean that gives this one, of variance 1
    del found["stem.bn2.weight"]
    found["stem.bn2.running_mean"] = -found.pop("stem.bn2.bias")
    conv("stem.conv2", "stem.bn3", 1e-3)
    for section in range(4):
        prefix = f"sections.{section}"
        if section:
            blur = next(operators)
            assert blur.kind == "DEPTHWISE_CONV_2D", blur.kind
            taps = np.outer([1, 2, 1], [1, 2, 1]) / 16
            np.testing.assert_array_equal(
                blur.constants[0], np.broadcast_to(taps[None, :, :, None], blur.constants[0].shape)
            )
            conv(f"{prefix}.transition.conv", f"{prefix}.transition.bn", 1e-5)
        for block in range(4):
            op = next(operators)
            assert op.kind == "LceBconv2d", op.kind
            packed, scale, bias = op.constants
            bits = np.unpackbits(packed.view(np.uint8), axis=-1, bitorder="little")  # 1 is -1
            found[f"{prefix}.blocks.{block}.conv.weight"] = (1.0 - 2.0 * bits).transpose(0, 3, 1, 2)
            norm(f"{prefix}.blocks.{block}.bn", scale, bias, 1e-5)
    dense = next(operators)
    assert dense.kind == "FULLY_CONNECTED", dense.kind
    found["fc.weight"] = dense.constants[0]
    found["fc.bias"] = dense.constants[1] if len(dense.constants) > 1 else np.zeros(1000, np.float32)
    assert not [*operators], "operators are left over"
    return found
