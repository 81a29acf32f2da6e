"""Larq's Keras files: converted, and compared with Keras' own answers."""

import numpy as np
import pytest

h5py = pytest.importorskip("h5py", reason="needs the h5py package, which CI has")

from bnnengine import Engine  # noqa: E402
from bnnengine.convert import convert  # noqa: E402


@pytest.mark.shared
def test_binarydensenet28_gives_the_logits_of_keras(shared_data, tmp_path):
    folder = shared_data / "larq_binarydensenet28"
    done = convert(folder / "BinaryDenseNet28.model.h5", tmp_path / "net.bnn", check=False)
    assert "23 layers binary, 5 real-valued" in str(done.report)
    solid = [0, 1, 3, 4, 5]  # in input 2 a float32 sum lies within rounding of a threshold
    with np.load(folder / "BinaryDenseNet28.golden.npz") as golden:
        y = Engine.load(tmp_path / "net.bnn").predict(golden["x"][solid])
        logits = golden["logits_keras"][solid].astype(np.float64)
    shares = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))  # the network ends in a softmax
    assert np.abs(np.log(y) - shares).max() < 1e-4 * np.abs(logits).max()
