"""Larq Zoo's networks as Keras ran them: weights out of its files, through the zoo, to the same logits.

The inputs that NOTES.md beside the files names as agreeing between Keras and Larq Compute Engine must agree here. In a
network of random weights a float32 sum in another order can flip a sign, and the logits are others from there: where
that happens, the first sign that is flipped must be of a value within NEAR of zero, and it may happen once.
"""

from dataclasses import replace

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

from larq_files import binarydensenet28_weights, quicknet_small_weights  # noqa: E402 - they need h5py

from bnnengine import Engine, Sign, zoo  # noqa: E402

pytestmark = pytest.mark.shared

AGREEING = [0, 1, 3, 4, 5]  # of six; Keras and Larq Compute Engine are at odds on the third
NEAR = 1e-5
NETWORKS = {
    "quicknet_small": (zoo.quicknet_small, quicknet_small_weights, "QuickNetSmall", "tflite"),
    "binarydensenet28": (zoo.binarydensenet28, binarydensenet28_weights, "BinaryDenseNet28", "model.h5"),
}


@pytest.fixture(scope="module", params=NETWORKS)
def golden(request, shared_data):
    """A network with Keras' weights, and Keras' inputs and logits."""
    build, weights, stem, suffix = NETWORKS[request.param]
    folder = shared_data / f"larq_{request.param}"
    with np.load(folder / f"{stem}.golden.npz") as arrays:
        x, logits = arrays["x"], arrays["logits_keras"]
    return build(weights(folder / f"{stem}.{suffix}")), x, logits


def errors(got, logits):
    """For each image, of the greatest logit."""
    return np.abs(got - logits).max(axis=1) / np.abs(logits).max(axis=1)


def flipped_values(model, x, isa):
    """Of one image, the values before the first sign that the engine takes otherwise, where it does."""
    values = model.reference(x, all_values=True)
    before = [node.inputs[0] for node in model.nodes if isinstance(node.layer, Sign)]
    for start in range(0, len(before), 8):
        names = before[start : start + 8]
        outputs = Engine.load(replace(model, outputs=tuple(names)).to_bytes(), isa=isa).predict(x)
        for name, got in zip(names, outputs if len(names) > 1 else [outputs], strict=True):
            flipped = (got >= 0) != (values[name] >= 0)
            if flipped.any():
                return values[name][flipped]
    return np.empty(0)


def test_engine_gives_the_logits_of_keras(golden, isa):
    model, x, logits = golden
    x, logits = x[AGREEING], logits[AGREEING]
    got = Engine.load(model.to_bytes(), isa=isa).predict(x)
    agree = errors(got, logits) <= 1e-4
    np.testing.assert_array_equal(got[agree].argmax(axis=1), logits[agree].argmax(axis=1))
    assert agree.sum() >= len(AGREEING) - 1, errors(got, logits)
    for k in np.flatnonzero(~agree):
        flipped = flipped_values(model, x[k : k + 1], isa)
        assert 0 < flipped.size <= 2, f"input {AGREEING[k]} is other than Keras', and no sign, or many, were flipped"
        assert (np.abs(flipped) <= NEAR).all(), f"input {AGREEING[k]}: {flipped}"


def test_reference_gives_the_logits_of_keras(golden):
    model, x, logits = golden
    assert (errors(model.reference(x[AGREEING[:2]]), logits[AGREEING[:2]]) <= 1e-4).all()
