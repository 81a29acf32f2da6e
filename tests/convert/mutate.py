"""Mutated files of every source: the converter takes them, or refuses them with a ConvertError, and nothing else.

    python tests/convert/mutate.py COUNT

A file whose numbers are changed may still be a network; one in ten of those also answers on samples, as by default.
Prints a line a source; ends with 1 where anything but a ConvertError came.
"""

from __future__ import annotations

import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parent))

from bnnengine.convert import ConvertError, convert


def onnx_bytes(domain: str) -> bytes:
    """Signs, binary and real convolutions, a border, a pool and a dense layer; with a domain, by QONNX's quantizers."""
    rng = np.random.default_rng(0)
    make = onnx.helper.make_node
    weights = {"w": np.sign(rng.standard_normal((4, 2, 3, 3))), "v": rng.standard_normal((4, 4, 1, 1)),
               "d": rng.standard_normal((16, 3)), "one": np.ones(()), "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
               "levels": rng.standard_normal((4, 1))}  # fmt: skip
    sign = make("BipolarQuant", ["x", "one"], ["s"], domain=domain) if domain else make("Sign", ["x"], ["s"])
    nodes = [sign, make("Pad", ["s", "pads"], ["p"], mode="constant"), make("Conv", ["p", "w"], ["c"])]
    if domain:
        nodes.append(make("MultiThreshold", ["c", "levels"], ["t"], domain=domain, out_scale=2.0, out_bias=-1.0))
    else:
        nodes += [make("Relu", ["c"], ["r"]), make("Add", ["r", "c"], ["t"])]
    nodes += [make("Conv", ["t", "v"], ["e"]), make("MaxPool", ["e"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
              make("Flatten", ["m"], ["f"]), make("MatMul", ["f", "d"], ["y"])]  # fmt: skip
    info = onnx.helper.make_tensor_value_info
    initializers = [
        onnx.numpy_helper.from_array(a if n == "pads" else a.astype(np.float32), n) for n, a in weights.items()
    ]
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(nodes, "g", [info("x", kind, [1, 2, 4, 4])], [info("y", kind, [1, 3])], initializers)
    return onnx.helper.make_model(graph).SerializeToString()


def seeds() -> dict[str, tuple[str, bytes]]:
    """A file of each source: its suffix and its bytes."""
    import test_tflite

    file, y = test_tflite.small()
    return {
        "ONNX": (".onnx", onnx_bytes("")),
        "QONNX": (".onnx", onnx_bytes("qonnx.custom_op.general")),
        "tflite": (".tflite", file.bytes(y)),
        "h5": (".h5", keras_bytes()),
    }


def keras_bytes() -> bytes:
    """A binary convolution, a flattening and a dense layer."""
    import test_larq as t

    rng = np.random.default_rng(0)
    layers = t.conv(strides=[2, 2]), t.layer("Flatten", "f", **t.LAST), t.layer("Dense", "d", units=5, use_bias=False)
    weights = {"conv/kernel": rng.standard_normal((3, 3, 3, 6)), "d/kernel": rng.standard_normal((36, 5))}
    with tempfile.TemporaryDirectory() as folder:
        return t.h5(Path(folder) / "net.h5", t.chain(*layers), weights).read_bytes()


def mutated(rng: np.random.Generator, whole: bytes) -> bytes:
    """With some bytes changed, or cut short, or a stretch of it elsewhere."""
    data, how = bytearray(whole), rng.integers(8)
    if how == 0:
        return bytes(data[: int(rng.integers(len(data)))])
    if how == 1:
        a, b, n = (int(rng.integers(len(data) - 16)) for _ in range(3))
        data[a : a + n % 16] = data[b : b + n % 16]
        return bytes(data)
    structure = [i for i, byte in enumerate(data) if byte]
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.choice(structure)) if how % 2 else int(rng.integers(len(data)))
        data[at] = int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))]))
    return bytes(data)


def main(count: int) -> int:
    """Runs `count` of them, shared by the sources."""
    warnings.simplefilter("ignore")
    wrong, found = 0, seeds()
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, (suffix, whole)) in enumerate(found.items()):
            rng, started, taken, share = np.random.default_rng(number), time.time(), 0, -(-count // len(found))
            path = Path(folder) / f"m{suffix}"
            for k in range(share):
                data = whole if k == 0 else mutated(rng, whole)
                path.write_bytes(data)
                try:
                    convert(path, check=k % 10 == 0)
                    taken += 1
                except ConvertError:
                    if k == 0:
                        raise
                except Exception:
                    wrong += 1
                    traceback.print_exc()
                    Path(f"mutated-{name}-{k}{suffix}").write_bytes(data)
            print(f"{name}: {share} files, {taken} taken, {share - taken} refused, {time.time() - started:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
