"""ReActNet, XNOR-Net, BinaryNet, DoReFa-Net and BNext against independent PyTorch modules, and published counts."""

from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import layerwise  # noqa: E402 - they need torch
from twins import binarynet, dorefa, reactnet, xnornet  # noqa: E402

from bnnengine import Engine, zoo  # noqa: E402

CLASSES = 10
# builder, twin, side of the images, modules of the twin that are one layer of the zoo
NETWORKS = {
    "binarynet": (zoo.binarynet, partial(binarynet.Vgg, side=16), 16, []),
    "binarynet_wide": (partial(zoo.binarynet, width=3), partial(binarynet.Vgg, side=8, width=3), 8, []),
    "binaryconnect": (zoo.binaryconnect, partial(binarynet.Vgg, side=16, activation=torch.nn.ReLU), 16, []),
    "cnv": (zoo.cnv, binarynet.Cnv, 32, []),
    "reactnet_a": (zoo.reactnet_a, reactnet.ReActNetA, 32, reactnet.CHAINS),
    "reactnet18": (zoo.reactnet18, reactnet.ReActNet18, 32, reactnet.CHAINS),
    "xnornet": (zoo.xnornet, partial(xnornet.XnorNet, left=2), 95, []),
    "xnornet_unscaled": (
        partial(zoo.xnornet, input_scale=False),
        partial(xnornet.XnorNet, left=1, scaled=False),
        67,
        [],
    ),
    "dorefanet": (zoo.dorefanet, partial(dorefa.DoReFaNet, left=4), 76, []),
    "dorefanet_ungrouped": (partial(zoo.dorefanet, groups=1), partial(dorefa.DoReFaNet, left=1, groups=1), 52, []),
}


@pytest.fixture(scope="module", params=NETWORKS)
def pair(request):
    """A network of the zoo, its twin with the same weights, the side of images for both, and chains."""
    build, make_twin, side, chains = NETWORKS[request.param]
    twin = layerwise.randomize(make_twin(CLASSES), seed=7)
    model = build(layerwise.weights_of(twin), input_shape=(side, side, 3), classes=CLASSES)
    return model, twin, side, chains


def images(seed, number, side):
    return np.random.default_rng(seed).standard_normal((number, side, side, 3)).astype(np.float32)


def run_twin(pair, x):
    _, twin, _, chains = pair
    return layerwise.chained(layerwise.record(twin, x), chains)


def test_every_layer_on_the_twins_own_inputs(pair, isa):
    model, side = pair[0], pair[2]
    seen = run_twin(pair, images(1, 1, side))
    bits = sum(seen[n.name].output.size for n in model.nodes if model.values[n.outputs[0]].dtype == "bits")
    assert layerwise.compare_layers(model, seen, isa) <= bits // 10000


def test_whole_network(pair, isa):
    model, side = pair[0], pair[2]
    x = images(2, 8, side)
    seen = run_twin(pair, x)
    clear = layerwise.clear_images(model, seen)
    assert clear.sum() >= 2, "too few images are clear of zero to compare logits"
    logits = seen[model.outputs[0]].output[clear]
    layerwise.compare_logits(Engine.load(model.to_bytes(), isa=isa).predict(x[clear]), logits)


def test_reference_of_the_whole_network(pair):
    model, side = pair[0], pair[2]
    x = images(2, 8, side)
    seen = run_twin(pair, x)
    first = np.flatnonzero(layerwise.clear_images(model, seen))[:2]
    layerwise.compare_logits(model.reference(x[first]), seen[model.outputs[0]].output[first])
