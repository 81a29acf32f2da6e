"""Bi-Real Net and the families of Larq Zoo against independent PyTorch modules, and against published counts."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import layerwise  # noqa: E402 - they need torch
from counts import count  # noqa: E402
from twins import birealnet, densenet, meliusnet, parts, quicknet, real_to_binary, resnet_e  # noqa: E402

from bnnengine import Engine, ModelError, zoo  # noqa: E402

CLASSES = 10
# builder, twin, side of the images: such that a good part of them is clear of zero before every sign
NETWORKS = {
    "birealnet18": (zoo.birealnet18, birealnet.birealnet18, 32),
    "birealnet34": (zoo.birealnet34, birealnet.birealnet34, 32),
    "binaryresnete18": (zoo.binaryresnete18, resnet_e.binaryresnete18, 32),
    "real_to_binary": (zoo.real_to_binary, real_to_binary.real_to_binary, 32),
    "quicknet_small": (zoo.quicknet_small, quicknet.quicknet_small, 32),
    "quicknet": (zoo.quicknet, quicknet.quicknet, 32),
    "quicknet_large": (zoo.quicknet_large, quicknet.quicknet_large, 32),
    "binarydensenet28": (zoo.binarydensenet28, densenet.binarydensenet28, 32),
    "binarydensenet37": (zoo.binarydensenet37, densenet.binarydensenet37, 32),
    "binarydensenet45": (zoo.binarydensenet45, densenet.binarydensenet45, 32),
    "meliusnet22": (zoo.meliusnet22, meliusnet.meliusnet22, 32),
}


BINARY = (parts.BinaryConv2d, birealnet.HardBinaryConv)
# of 3x3 over 28 x 28, 14 x 14 and 7 x 7 with the channels of the section before, which twins have without a weight
BLUR_MACS = {
    "quicknet_small": 9 * (28**2 * 32 + 14**2 * 64 + 7**2 * 256),
    "quicknet": 9 * (28**2 * 64 + 14**2 * 128 + 7**2 * 256),
    "quicknet_large": 9 * (28**2 * 64 + 14**2 * 128 + 7**2 * 256),
}


@pytest.fixture(scope="module", params=NETWORKS)
def pair(request):
    """A network of the zoo, its twin with the same weights, and the side of images for both."""
    build, make_twin, side = NETWORKS[request.param]
    twin = layerwise.calibrate(layerwise.randomize(make_twin(CLASSES), seed=7), images(4, 4, side), seed=8)
    model = build(layerwise.weights_of(twin), input_shape=(side, side, 3), classes=CLASSES)
    return model, twin, side


def images(seed, number, side):
    return np.random.default_rng(seed).standard_normal((number, side, side, 3)).astype(np.float32)


def test_every_layer_on_the_twins_own_inputs(pair):
    model, twin, side = pair
    seen = layerwise.record(twin, images(1, 1, side))
    bits = sum(r.output.size for n, r in seen.items() if n.endswith(("sign", "binary_activation")))
    assert layerwise.compare_layers(model, seen) <= bits // 10000


def test_whole_network(pair, isa):
    model, twin, side = pair
    x = images(2, 24, side)
    seen = layerwise.record(twin, x)
    clear = layerwise.clear_images(model, seen)
    assert clear.sum() >= 2, "too few images are clear of zero to compare logits"
    logits = seen["fc"].output[clear]
    layerwise.compare_logits(Engine.load(model.to_bytes(), isa=isa).predict(x[clear]), logits)


def test_reference_of_the_whole_network(pair):
    model, twin, side = pair
    x = images(2, 24, side)
    seen = layerwise.record(twin, x)
    first = np.flatnonzero(layerwise.clear_images(model, seen))[:2]
    layerwise.compare_logits(model.reference(x[first]), seen["fc"].output[first])


@pytest.mark.parametrize("name", ["quicknet_small", "real_to_binary", "meliusnet22"])
def test_every_layer_where_padding_is_uneven(name):
    """Of an image whose sizes are odd, and odd again behind strides."""
    build, make_twin, _ = NETWORKS[name]
    twin = layerwise.randomize(make_twin(CLASSES), seed=8)
    model = build(layerwise.weights_of(twin), input_shape=(45, 37, 3), classes=CLASSES)
    x = np.random.default_rng(3).standard_normal((1, 45, 37, 3)).astype(np.float32)
    layerwise.compare_layers(model, layerwise.record(twin, x))


# Parameters from the docstrings of Larq Zoo 2.4, where each batch norm counts with 2 or with 4 numbers a channel (its
# statistics), and sizes in MiB from the table of docs.larq.dev/zoo. Bi-Real Net-34 has no published count of
# parameters: it is that of the authors' PyTorch module, and of torchvision's ResNet-34.
PUBLISHED = [
    (zoo.quicknet_small, 12_655_688, 2, 4.00),
    (zoo.quicknet, 13_234_088, 2, 4.17),
    (zoo.quicknet_large, 23_342_248, 2, 5.40),
    (zoo.binarydensenet28, 5_150_504, 4, 4.04),
    (zoo.binarydensenet37, 8_734_120, 4, 5.13),
    (zoo.binarydensenet45, 13_939_240, 4, 7.35),
    (zoo.birealnet18, 11_699_112, 4, 4.00),
    (zoo.birealnet34, 21_797_672, 2, None),
    (zoo.binaryresnete18, 11_699_368, 4, 4.00),
    (zoo.real_to_binary, 11_995_624, 4, 5.13),
    (zoo.meliusnet22, 6_944_584, 2, 3.88),
]
# 1-bit and 32-bit MACs from Larq's summaries; of BinaryDenseNet-45 larq/docs#85 has 6.67 G, 0.9634 of them binary.
MACS = [
    (zoo.quicknet_small, 1_156_055_040, 15_941_120),
    (zoo.binarydensenet28, 3_587_383_296, 202_484_224),
]


@pytest.mark.parametrize(
    ("build", "parameters", "per_norm_channel", "mebibytes"), PUBLISHED, ids=lambda v: getattr(v, "__name__", "")
)
def test_published_parameters(build, parameters, per_norm_channel, mebibytes):
    counts = count(build())
    assert counts.parameters(per_norm_channel) + counts.blur == parameters
    if mebibytes:
        assert counts.mebibytes == pytest.approx(mebibytes, abs=0.006)


@pytest.mark.parametrize(("build", "binary", "real"), MACS, ids=lambda v: getattr(v, "__name__", ""))
def test_published_macs(build, binary, real):
    counts = count(build())
    assert (counts.binary_macs, counts.real_macs) == (binary, real)


def test_published_macs_of_binarydensenet45():
    counts = count(zoo.binarydensenet45())
    macs = counts.binary_macs + counts.real_macs
    assert round(macs / 1e9, 2) == 6.67
    assert round(counts.binary_macs / macs, 4) == 0.9634


@pytest.mark.parametrize("name", NETWORKS)
def test_macs_are_those_of_the_twin_at_full_size(name):
    build, make_twin, _ = NETWORKS[name]
    with torch.device("meta"):
        twin, image = make_twin(1000).eval(), torch.empty(1, 3, 224, 224)
    macs = {True: 0, False: 0}

    def add(module, _, output):
        # products for each output: the elements of the weight over its outputs
        weight = module.weights.view(module.shape) if hasattr(module, "weights") else module.weight
        macs[isinstance(module, BINARY)] += output.numel() * weight[0].numel()

    for module in twin.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear, *BINARY)):
            module.register_forward_hook(add)
    twin(image)
    counts = count(build())
    assert (counts.binary_macs, counts.real_macs) == (macs[True], macs[False] + BLUR_MACS.get(name, 0))


def test_weights_that_are_missing_or_too_many_are_refused():
    twin = birealnet.birealnet18(CLASSES)
    weights = layerwise.weights_of(twin)
    shape = {"input_shape": (64, 64, 3), "classes": CLASSES}
    with pytest.raises(ModelError, match=r"fc\.scale"):
        zoo.birealnet18({**weights, "fc.scale": np.ones(3)}, **shape)
    del weights["layer2.0.downsample.1.weight"]
    with pytest.raises(ModelError, match=r"layer2\.0\.downsample\.1\.weight"):
        zoo.birealnet18(weights, **shape)


def test_birealnet_takes_binary_weights_in_their_own_shape_too():
    twin = layerwise.randomize(birealnet.birealnet18(CLASSES), seed=7)
    flat, square = layerwise.weights_of(twin), layerwise.weights_of(twin)
    for name, module in twin.named_modules():
        if isinstance(module, birealnet.HardBinaryConv):
            square[f"{name}.weights"] = square[f"{name}.weights"].reshape(module.shape)
    models = [zoo.birealnet18(w, input_shape=(32, 32, 3), classes=CLASSES) for w in (flat, square)]
    assert models[0].to_bytes() == models[1].to_bytes()


def test_seeds():
    def first(seed):
        return zoo.quicknet_small(seed=seed, input_shape=(32, 32, 3), classes=3).nodes[0].layer

    assert first(1) == first(1)
    assert first(1) != first(2)
