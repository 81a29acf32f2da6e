"""ReActNet, XNOR-Net, BinaryNet, DoReFa-Net and BNext against independent PyTorch modules, and published counts."""

from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import layerwise  # noqa: E402 - they need torch
from counts import count  # noqa: E402
from twins import binarynet, bnext, dorefa, reactnet, xnornet  # noqa: E402

from bnnengine import Engine, ModelError, zoo  # noqa: E402

CLASSES = 10
# builder, twin, side of the images, modules of the twin that are one layer of the zoo
NETWORKS = {
    "binarynet": (zoo.binarynet, partial(binarynet.Vgg, side=16), 16, []),
    "binarynet_wide": (partial(zoo.binarynet, width=3), partial(binarynet.Vgg, side=8, width=3), 8, []),
    "binaryconnect": (zoo.binaryconnect, partial(binarynet.Vgg, side=16, activation=torch.nn.ReLU), 16, []),
    "cnv": (zoo.cnv, binarynet.Cnv, 32, []),
    "reactnet_a": (zoo.reactnet_a, reactnet.ReActNetA, 32, reactnet.CHAINS),
    "reactnet18": (zoo.reactnet18, reactnet.ReActNet18, 32, reactnet.CHAINS),
    "bnext_t": (zoo.bnext_t, bnext.BNextT, 32, bnext.CHAINS),
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
    twin = layerwise.calibrate(layerwise.randomize(make_twin(CLASSES), seed=7), images(4, 4, side), seed=8)
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


def products(module, channels):
    """What a twin's module multiplies for each number that it makes."""
    if isinstance(module, xnornet.ChannelMean):
        return channels
    if isinstance(module, torch.nn.AvgPool2d):
        return module.kernel_size**2
    weight = module.weights.view(module.shape) if hasattr(module, "weights") else module.weight
    return weight[0].numel()


FULL_SIZE = {
    "binarynet": (zoo.binarynet, binarynet.Vgg, 32),
    "binaryconnect": (zoo.binaryconnect, partial(binarynet.Vgg, activation=torch.nn.ReLU), 32),
    "cnv": (zoo.cnv, binarynet.Cnv, 32),
    "xnornet": (zoo.xnornet, xnornet.XnorNet, 224),
    "dorefanet": (zoo.dorefanet, dorefa.DoReFaNet, 224),
    "reactnet_a": (zoo.reactnet_a, reactnet.ReActNetA, 224),
    "reactnet18": (zoo.reactnet18, reactnet.ReActNet18, 224),
    "bnext_t": (zoo.bnext_t, bnext.BNextT, 224),
}
MULTIPLIERS = (
    torch.nn.Conv2d, torch.nn.Linear, reactnet.ScaledBinaryConv, bnext.Pointwise, xnornet.ChannelMean
)  # fmt: skip


@pytest.mark.parametrize("name", FULL_SIZE)
def test_macs_are_those_of_the_twin_at_full_size(name):
    build, make_twin, side = FULL_SIZE[name]
    with torch.device("meta"):
        twin, image = make_twin(10).eval(), torch.empty(1, 3, side, side)
    macs = 0

    def add(module, inputs, output):
        nonlocal macs
        macs += output.numel() * products(module, inputs[0].shape[1])

    for module_name, module in twin.named_modules():
        if isinstance(module, MULTIPLIERS) or module_name.endswith(".box"):  # of XNOR-Net, a pool in the twin
            module.register_forward_hook(add)
    twin(image)
    counts = count(build(classes=10))
    assert counts.binary_macs + counts.real_macs == macs


@pytest.mark.parametrize(
    ("twin", "parameters"),
    [(reactnet.ReActNetA, 29_343_592), (reactnet.ReActNet18, 11_704_424), (bnext.BNextT, 30_862_236)],
)
def test_parameters_of_the_authors_modules(twin, parameters):
    """Of their PyTorch modules' parameters(); the zoo takes all of them by name, and refuses others."""
    with torch.device("meta"):
        assert sum(p.numel() for p in twin(1000).parameters()) == parameters


def test_parameters_of_the_authors_wide_vgg():
    """Of vgg_cifar10_binary() of BinaryNet.pytorch."""
    with torch.device("meta"):
        assert sum(p.numel() for p in binarynet.Vgg(10, width=3).parameters()) == 36_461_450


@pytest.mark.parametrize(("build", "parameters"), [(zoo.reactnet_a, 29_343_592), (zoo.reactnet18, 11_704_424)])
def test_parameters_of_reactnets(build, parameters):
    assert count(build()).parameters(2) == parameters


def test_operations_of_reactnet_a():
    """Table 1 of arXiv:2003.03488: 4.82e9 BOPs, 0.12e8 FLOPs, and BOPs / 64 + FLOPs = 0.87e8."""
    counts = count(zoo.reactnet_a())
    assert round(counts.binary_macs / 1e9, 2) == 4.82
    assert round(counts.real_macs / 1e8, 2) == 0.12
    assert round((counts.binary_macs / 64 + counts.real_macs) / 1e8, 2) == 0.87


def test_operations_of_reactnet18():
    """The README of the authors' code: 1.63e8, as Bi-Real Net; ours come to 1.64e8."""
    counts = count(zoo.reactnet18())
    assert (counts.binary_macs / 64 + counts.real_macs) / 1e8 == pytest.approx(1.63, abs=0.0105)


def test_operations_of_bnext_t():
    """The README of the authors' code: 0.077e9 operations, 97.81 % of them binary, BOPs / (64 x OPs).

    Which is so where real-valued operations count for an eighth, since theirs are of 8 bits there.
    """
    counts = count(zoo.bnext_t())
    operations = counts.binary_macs / 64 + counts.real_macs / 8
    assert round(operations / 1e9, 3) == 0.077
    assert counts.binary_macs / 64 / operations == pytest.approx(0.9781, abs=0.0005)


def test_parameters_of_xnornet():
    """Larq Zoo's docstring: 62,396,768 and 22.81 MiB, 3 numbers a channel of a batch norm, no bias at the end."""
    counts = count(zoo.xnornet())
    means, boxes = 96 + 256 + 384 + 384 + 256 + 4096, 5 * 5 + 3 * 3 * 3 + 6 * 6 + 1  # filters that are not learned
    real = counts.real - means - boxes - 1000
    assert counts.binary + real + 3 * counts.norm_channels == 62_396_768
    assert round((counts.binary / 8 + 4 * (real + 3 * counts.norm_channels)) / 2**20, 2) == 22.81


def test_parameters_of_dorefanet():
    """Larq Zoo's docstring: 62,403,912 and 22.84 MiB, without groups and without a bias in the first dense layer."""
    counts = count(zoo.dorefanet(groups=1))
    real = counts.real - 4096
    assert counts.binary + real + 3 * counts.norm_channels == 62_403_912
    assert round((counts.binary / 8 + 4 * (real + 3 * counts.norm_channels)) / 2**20, 2) == 22.84


def test_parameters_of_dorefanet_with_groups():
    """AlexNet's 60,965,224 (Caffe's bvlc_alexnet), but for a first kernel of 12 x 12, batch norms, and their biases."""
    alexnet = 60_965_224 + 96 * 3 * (12**2 - 11**2) - (256 + 384 + 384 + 256) - 4096
    counts = count(zoo.dorefanet())
    assert counts.binary + counts.real == alexnet


def test_counts_of_binarynet():
    """Larq's tutorial of BinaryNet, whose first convolution leaves 30 x 30: weights, and 1-bit and 32-bit MACs."""
    counts = count(zoo.binarynet(input_shape=(30, 30, 3)))
    assert (counts.binary, counts.binary_macs, counts.real_macs) == (10_352_000, 510_961_664, 3_110_400)


def test_counts_of_cnv():
    """tests/analysis/test_inference_cost.py of QONNX, FINN-CNV: weights, MACs of bits, and those of the first layer."""
    counts = count(zoo.cnv())
    assert (counts.binary, counts.binary_macs, counts.real_macs) == (1_542_848, 57_906_176, 1_555_200)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ModelError, match=r"feature\.\d+\.add1"):
        zoo.reactnet_a(input_shape=(40, 40, 3))
    with pytest.raises(ModelError, match="pool5"):
        zoo.xnornet(input_shape=(62, 62, 3))


def test_weights_of_other_networks_are_refused():
    weights = layerwise.weights_of(reactnet.ReActNet18(CLASSES))
    with pytest.raises(ModelError, match="extra"):
        zoo.reactnet18({**weights, "extra": np.ones(3)}, classes=CLASSES)
    with pytest.raises(ModelError, match=r"fc\.weight"):
        zoo.reactnet18(weights, classes=CLASSES + 1)
