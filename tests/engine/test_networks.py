"""Whole networks: those that the package ships, and one whose answers another library gave."""

import json
from importlib import resources

import numpy as np
import pytest

from bnnengine import Binarize, BinaryDense, Engine, Input, Model, ScaleBias, Sequential, Threshold, _core

DATA = resources.files("bnnengine") / "data"
# Right answers of the 10,000 test digits that the networks must reach, and what they did when they were trained.
LEAST = {"mlp": 9800, "cnn": 9900}
TRAINED = {"mlp": 9895, "cnn": 9935}


@pytest.fixture(params=["mlp", "cnn"])
def shipped(request):
    return request.param, (DATA / f"mnist_{request.param}.bnn").read_bytes()


def digits():
    with (DATA / "digits.npz").open("rb") as file, np.load(file) as found:
        return found["x"][..., None], found["y"]


def test_shipped_networks_read_the_demo_digits(shipped):
    _, data = shipped
    x, y = digits()
    assert (len(x), x.shape[1:]) == (1000, (28, 28, 1))
    assert np.bincount(y).tolist() == [100] * 10
    logits = [Engine.load(data, isa=isa).predict(x) for isa in _core.isas()]
    assert (logits[0].argmax(axis=1) == y).sum() >= 980
    for other in logits[1:]:
        np.testing.assert_array_equal(other, logits[0])
    np.testing.assert_array_equal(Model.load(data).reference(x[:50]), logits[0][:50])


def test_shipped_networks_say_what_they_are(shipped):
    name, data = shipped
    metadata = Engine.load(data).metadata
    assert metadata["name"] == f"mnist_{name}"
    assert json.loads(metadata["labels"]) == [str(n) for n in range(10)]
    assert "MNIST" in metadata["licence"]


@pytest.mark.shared
def test_shipped_networks_on_the_test_digits(shipped, shared_data):
    name, data = shipped
    with np.load(shared_data / "mnist_test.npz") as test:
        x, y = test["x"][..., None], test["y"]
    right = int((Engine.load(data).predict(x).argmax(axis=1) == y).sum())
    assert right >= LEAST[name]
    assert right == TRAINED[name]


@pytest.mark.shared
def test_demo_digits_are_not_test_digits(shared_data):
    with np.load(shared_data / "mnist_test.npz") as test:
        known = {image.tobytes() for image in test["x"]}
    assert not any(image.tobytes() in known for image in digits()[0])


@pytest.mark.shared
def test_a_network_of_bnn_pynq_gives_its_own_librarys_classes(shared_data, isa):
    """LFC-W1A1 of Xilinx's BNN-PYNQ, from its packed bits and thresholds, on all 10,000 digits.

    Its bit is popcount(XNOR) > T, a count of ones, so dot = 2 * popcount - K >= 2 * (T + 1) - K. The label is the
    number of the highest output bit that is set, 0 where none is.
    """
    folder = shared_data / "bnnpynq_lfcW1A1_mnist"
    with (
        np.load(folder / "decoded.npz") as packed,
        np.load(folder / "io.npz") as io,
        np.load(shared_data / "mnist_test.npz") as test,
    ):
        layers = [Input((784,), "uint8"), Binarize(128)]
        for number, inputs in enumerate([784, 1024, 1024, 1024]):
            stored = packed[f"w{number}_shape"][1]
            bits = np.unpackbits(packed[f"w{number}_bits"], axis=-1, bitorder="little", count=stored)[:, :inputs]
            least = np.minimum(2 * (packed[f"t{number}"] + 1) - inputs, 2**31 - 1)
            layers.append(BinaryDense(bits.astype(bool), threshold=Threshold(least)))
        x, expected = test["x"].reshape(-1, 784), io["y_all"]
    engine = Engine.load(Sequential([*layers, ScaleBias()]).to_bytes(), isa=isa)
    fired = engine.predict(x) > 0
    highest = fired.shape[1] - 1 - fired[:, ::-1].argmax(axis=1)
    labels = np.where(fired.any(axis=1), highest, 0)
    assert len(expected) == 10000
    np.testing.assert_array_equal(labels, expected)
