"""Compares a network of the zoo with its twin in PyTorch: layer by layer, and as a whole.

A float32 sum in another order can flip a sign whose input lies within rounding of zero, and a random network goes its
own way from there. So each layer is compared on the twin's own inputs, and whole networks on images where no value
that the twin takes the sign of is nearer to zero than NEAR. Twins compute in float64, so that only our rounding counts.
"""

from dataclasses import dataclass

import numpy as np
import torch

from bnnengine import BatchNorm, Binarize, Engine, Graph, Layer, Model, RSign, ScaleBias, Sign

NEAR = 1e-5
LAYERS = 1e-5  # of the greatest magnitude in a layer's output
LOGITS = 1e-4


@dataclass
class Record:
    """What one module of the twin read (float32) and made (float64), channels last."""

    inputs: list[np.ndarray]
    output: np.ndarray


def channels_last(tensor: torch.Tensor) -> np.ndarray:
    array = tensor.detach().numpy()
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1) if array.ndim == 4 else array)


def randomize(twin: torch.nn.Module, seed: int) -> torch.nn.Module:
    """The twin with random statistics, scales of either sign and biases in its batch norms, ready to infer."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor, low, high):
        tensor.data.uniform_(low, high, generator=generator)

    for module in twin.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            uniform(module.running_mean, -0.5, 0.5)
            uniform(module.running_var, 0.5, 2.0)
            if module.affine:
                uniform(module.weight, 0.5, 1.5)
                module.weight.data[torch.rand(module.num_features, generator=generator) < 0.1] *= -1
                uniform(module.bias, -0.5, 0.5)
        elif isinstance(module, torch.nn.PReLU):
            uniform(module.weight, 0.05, 0.5)
        else:
            for weight in module.parameters(recurse=False):
                products = max(weight[0].numel(), 100)
                deviation = (2 / products) ** 0.5
                weight.data.normal_(0, deviation, generator=generator)
                weight.data[weight.data == 0] = deviation  # torch.sign has no sign for zero
    return twin.eval().double()


def calibrate(twin: torch.nn.Module, images: np.ndarray, seed: int) -> torch.nn.Module:
    """The twin with batch norms' statistics near those of what they read, so that thresholds lie among the values."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low, high, like):
        return torch.empty_like(like).uniform_(low, high, generator=generator)

    def settle(module, inputs):
        values = inputs[0].transpose(0, 1).flatten(1)
        mean, deviation = values.mean(1), values.std(1) + 0.01
        module.running_mean.copy_((mean + uniform(-0.5, 0.5, mean) * deviation).float())
        module.running_var.copy_((deviation**2 * uniform(0.5, 2.0, mean)).float())

    norms = [m for m in twin.modules() if isinstance(m, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d))]
    handles = [norm.register_forward_pre_hook(settle) for norm in norms]
    with torch.no_grad():
        twin(torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float64)))
    for handle in handles:
        handle.remove()
    return twin


def weights_of(twin: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in twin.state_dict().items()}


def before_sign(layer: Layer, x: np.ndarray) -> np.ndarray | None:
    """For layers that make bits: what they take the sign of."""
    if isinstance(layer, Sign):
        return x
    if isinstance(layer, RSign):
        return x + layer.shift.astype(np.float64)
    return (x - layer.threshold.astype(np.float64)) if isinstance(layer, Binarize) else None


def record(twin: torch.nn.Module, images: np.ndarray) -> dict[str, Record]:
    """Runs the twin on images (N, H, W, C); what each of its leaf modules saw, by name.

    Bits are +1 and -1 here where the twin's are 0 and 1 (modules with `zero_one`), and flattened images have their
    channels last.
    """
    seen: dict[str, Record] = {}
    kept, as_ours = [], {}  # what modules made, so that ids stay theirs, and by id what stands for it here

    def ours(tensor):
        return as_ours[id(tensor)] if id(tensor) in as_ours else channels_last(tensor)

    def hook(name):
        def keep(module, inputs, output):
            assert name not in seen, f"{name} ran twice"
            read, made = [ours(x) for x in inputs], channels_last(output)
            if isinstance(module, torch.nn.Flatten):
                made = read[0].reshape(len(read[0]), -1)
            elif getattr(module, "zero_one", False):
                made = 2 * made - 1
            kept.append(output)
            as_ours[id(output)] = made
            seen[name] = Record([x.astype(np.float32) for x in read], made)

        return keep

    leaves = [(name, module) for name, module in twin.named_modules() if not [*module.children()]]
    handles = [module.register_forward_hook(hook(name)) for name, module in leaves]
    with torch.no_grad():
        twin(torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float64)))
    for handle in handles:
        handle.remove()
    return seen


def chained(seen: dict[str, Record], chains: list[tuple[str, str, str]]) -> dict[str, Record]:
    """With modules of one block that are one layer in the zoo put together.

    Args:
        seen: what modules saw, by name.
        chains: the last parts of the names of the first and the last module, and of the layer.
    """
    joined = dict(seen)
    for name in seen:
        prefix, _, own = name.rpartition(".")
        for first, last, layer in chains:
            if own == first:
                names = list(seen)
                start, stop = names.index(name), names.index(f"{prefix}.{last}")
                for inner in names[start : stop + 1]:
                    joined.pop(inner, None)
                joined[f"{prefix}.{layer}"] = Record(seen[name].inputs, seen[f"{prefix}.{last}"].output)
    return joined


def run_alone(layers: list, inputs: list[np.ndarray], bits: bool, isa: str | None) -> np.ndarray:
    """A chain of layers in the engine, on inputs that are bits or float32; bits come back as +1 and -1."""
    g = Graph()
    values = [g.input(x.shape[1:], "float32", name=f"input{k}") for k, x in enumerate(inputs)]
    y = [g(Sign(), value) for value in values] if bits else values
    for layer in layers:
        y = [g(layer, *y, name=f"layer{len(layers)}_{id(layer)}")]
    if y[0].dtype == "bits":
        y = [g(ScaleBias(), y[0])]
    engine = Engine.load(g.model(y[0]).to_bytes(), isa=isa)
    return engine.predict(inputs[0] if len(inputs) == 1 else inputs)


def compare_layers(model: Model, seen: dict[str, Record], isa: str | None = None) -> int:
    """Every layer of the model on what the twin's module of the same name read: in NumPy and in the engine.

    Signs are also taken together with the batch norm before them, which become a threshold: bits must be equal but
    where the twin's value before the sign is within NEAR of zero.

    Returns:
        How many bits were different, and near.
    """
    assert {node.name for node in model.nodes} == set(seen), "the zoo's layers and the twin's modules differ in name"
    by_name, different = {node.name: node for node in model.nodes}, 0
    for node in model.nodes:
        found, bits = seen[node.name], model.values[node.inputs[0]].dtype == "bits"
        given = found.inputs[: len(node.inputs)]  # a twin's module may take a parameter behind them
        inputs = [x.astype(np.int8) for x in given] if bits else given
        least = LAYERS * np.abs(found.output).max()
        expected = found.output
        before_bits = before_sign(node.layer, given[0])
        for got in (node.layer.reference(*inputs), run_alone([node.layer], given, bits, isa)):
            assert got.shape == expected.shape, node.name
            if before_bits is None:
                np.testing.assert_allclose(got, expected, rtol=0, atol=least, err_msg=node.name)
            else:
                wrong = got != expected
                assert (np.abs(before_bits[wrong]) <= NEAR).all(), node.name
                different += int(wrong.sum())
        before = by_name.get(node.inputs[0])
        if isinstance(node.layer, Sign) and before and isinstance(before.layer, BatchNorm):
            got = run_alone([before.layer, node.layer], seen[before.name].inputs, False, isa)
            wrong = got != expected
            assert (np.abs(seen[before.name].output[wrong]) <= NEAR).all(), node.name
            different += int(wrong.sum())
    return different


def clear_images(model: Model, seen: dict[str, Record]) -> np.ndarray:
    """Which images have no value before a sign within NEAR of zero."""
    clear = np.ones(len(seen[model.outputs[0]].output), bool)
    for node in model.nodes:
        values = before_sign(node.layer, seen[node.name].inputs[0])
        if values is not None:
            near = np.abs(values) <= NEAR
            far = ~near.reshape(len(near), -1).any(axis=1)
            clear &= far
    return clear


def compare_logits(got: np.ndarray, expected: np.ndarray) -> None:
    """To LOGITS of each image's greatest magnitude, and the same top class."""
    error = np.abs(got - expected).max(axis=1) / np.abs(expected).max(axis=1)
    assert (error <= LOGITS).all(), error
    np.testing.assert_array_equal(got.argmax(axis=1), expected.argmax(axis=1))
