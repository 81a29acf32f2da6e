"""ONNX files, and QONNX ones (Brevitas, FINN): protobuf to the plain graph. Needs the `onnx` package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bnnengine.convert.ir import Net, Op
from bnnengine.errors import ConvertError

QONNX_DOMAINS = ("onnx.brevitas", "finn.custom_op.general", "qonnx.custom_op.general")
# The fewest inputs of operators that the passes look into; the others take at least one.
FEWEST = {
    "Add": 2,
    "BipolarQuant": 2,
    "Conv": 2,
    "Greater": 2,
    "GreaterOrEqual": 2,
    "Mul": 2,
    "Sub": 2,
    "Where": 3,
    "Constant": 0,
}
MULTI_BIT = ("Quant", "Trunc", "MultiThreshold", "IntQuant", "FloatQuant")


def read(path: Path) -> Net:
    """The graph of a file; external data is taken only from below the file's own folder.

    Raises:
        ConvertError: no ONNX file, or one that says what cannot be taken.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise ConvertError("reading ONNX needs the onnx package: pip install 'bnnengine[onnx]'") from None
    try:
        model = onnx.load(str(path), load_external_data=False)
        folder = path.resolve().parent
        for tensor in onnx.external_data_helper._get_all_tensors(model):
            _check_external(tensor, folder)
        onnx.external_data_helper.load_external_data_for_model(model, str(folder))
        graph = model.graph
        constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        inputs = {
            i.name: tuple(int(d.dim_value) for d in i.type.tensor_type.shape.dim)
            for i in graph.input
            if i.name not in constants  # files of IR version 3 list initializers as inputs too
        }
        ops = [_op(node, onnx) for node in graph.node]
    except ConvertError:
        raise
    except Exception as error:  # protobuf and onnx raise many kinds
        raise ConvertError(f"{path.name}: not an ONNX file that can be read: {error}") from None
    bipolar = any(op.kind == "BipolarQuant" for op in ops)
    return Net(inputs, ops, constants, [o.name for o in graph.output], sign_of_zero=1 if bipolar else 0)


def _check_external(tensor: Any, folder: Path) -> None:
    for entry in tensor.external_data:
        if entry.key == "location":
            place = (folder / entry.value).resolve()
            if not place.is_relative_to(folder):
                raise ConvertError(f"tensor {tensor.name!r}: its external data lie outside the model's folder")


def _op(node: Any, onnx: Any) -> Op:
    name = node.name or (node.output[0] if node.output else "")
    if not node.output or not node.output[0]:
        raise ConvertError(f"node {name!r} ({node.op_type}): it makes nothing")
    if len(node.input) < FEWEST.get(node.op_type, 1):
        raise ConvertError(f"node {name!r} ({node.op_type}): got {len(node.input)} inputs, which are too few")
    if node.domain not in ("", "ai.onnx", *QONNX_DOMAINS):
        raise ConvertError(f"node {name!r}: operator {node.op_type} of domain {node.domain!r} is not known")
    if node.op_type in MULTI_BIT:
        raise ConvertError(
            f"node {name!r} ({node.op_type}): more than one bit, or thresholds of several levels; the engine runs "
            f"one-bit weights and activations (BipolarQuant): retrain or export with 1-bit quantizers"
        )
    attributes = {}
    for a in node.attribute:
        value = onnx.helper.get_attribute_value(a)
        attributes[a.name] = onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
    if node.op_type == "Constant" and "value" not in attributes:
        attributes["value"] = np.asarray(next(iter(attributes.values())))
    if node.op_type == "Split" and "split" not in attributes and len(node.input) < 2:
        attributes["parts"] = len(node.output)
    return Op(node.op_type, list(node.input), list(node.output), attributes, name)
