"""Larq Zoo's networks as Keras ran them: weights out of its files, through the zoo, to the same logits.

The inputs that NOTES.md beside the files names as agreeing between Keras and Larq Compute Engine must agree. A value
of 4e-7 before a sign, in QuickNet Small's input 0, makes that sharp: it asks for float sums that begin with the bias.
"""

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

from larq_files import binarydensenet28_weights, quicknet_small_weights  # noqa: E402 - they need h5py

from bnnengine import Engine, zoo  # noqa: E402

pytestmark = pytest.mark.shared

AGREEING = [0, 1, 3, 4, 5]  # of six; Keras and Larq Compute Engine are at odds on the third
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


def test_engine_gives_the_logits_of_keras(golden, isa):
    model, x, logits = golden
    x, logits = x[AGREEING], logits[AGREEING]
    got = Engine.load(model.to_bytes(), isa=isa).predict(x)
    assert (errors(got, logits) <= 1e-4).all(), errors(got, logits)
    np.testing.assert_array_equal(got.argmax(axis=1), logits.argmax(axis=1))


def test_reference_gives_the_logits_of_keras(golden):
    model, x, logits = golden
    assert (errors(model.reference(x[AGREEING[:2]]), logits[AGREEING[:2]]) <= 1e-4).all()
