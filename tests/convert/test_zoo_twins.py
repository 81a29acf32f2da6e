"""Networks of the zoo come back from the PyTorch modules that the zoo is compared with."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch, which CI has")
pytest.importorskip("onnx", reason="needs the onnx package, which CI has")

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "zoo"))
import layerwise  # noqa: E402
from twins import (  # noqa: E402
    binarynet,
    birealnet,
    bnext,
    densenet,
    dorefa,
    meliusnet,
    quicknet,
    reactnet,
    real_to_binary,
    resnet_e,
    xnornet,
)

from bnnengine import zoo  # noqa: E402
from bnnengine.convert import convert  # noqa: E402
from bnnengine.convert.report import layers_of  # noqa: E402

NETWORKS = {
    "birealnet18": (birealnet.birealnet18, 32),
    "binaryresnete18": (resnet_e.binaryresnete18, 32),
    "real_to_binary": (real_to_binary.real_to_binary, 32),
    "quicknet_small": (quicknet.quicknet_small, 32),
    "binarydensenet28": (densenet.binarydensenet28, 32),
    "meliusnet22": (meliusnet.meliusnet22, 32),
    "binarynet": (partial(binarynet.Vgg, side=16), 16),
    "binaryconnect": (partial(binarynet.Vgg, side=16, activation=torch.nn.ReLU), 16),
    "cnv": (binarynet.Cnv, 32),
    "reactnet_a": (reactnet.ReActNetA, 32),
    "reactnet18": (reactnet.ReActNet18, 32),
    "bnext_t": (bnext.BNextT, 32),
    "xnornet": (partial(xnornet.XnorNet, left=2), 95),
    "dorefanet": (partial(dorefa.DoReFaNet, left=4), 76),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_they_answer_alike_and_are_as_binary_as_the_zoo(name, tmp_path):
    make, side = NETWORKS[name]
    twin = layerwise.randomize(make(10), seed=7).eval().float()
    x = np.random.default_rng(0).standard_normal((6, 3, side, side)).astype(np.float32)
    # The older exporter cannot say a convolution whose weights are computed, as QuickNet's blur is.
    newer = name in ("quicknet_small", "real_to_binary", "cnv")
    if newer:
        pytest.importorskip("onnxscript", reason="the newer exporter needs onnxscript")
    torch.onnx.export(twin, (torch.from_numpy(x[:1]),), str(tmp_path / "twin.onnx"), dynamo=newer)
    done = convert(tmp_path / "twin.onnx", samples=x)
    assert done.verification.top1 == 1
    # DoReFa-Net's round() jumps where a sum lies within rounding of a half
    assert done.verification.difference < (1e-2 if name == "dorefanet" else 1e-4)
    ours = layers_of(getattr(zoo, name)(input_shape=(side, side, 3), classes=10).optimize())
    assert sum(layer.binary for layer in done.report.layers) == sum(layer.binary for layer in ours)
