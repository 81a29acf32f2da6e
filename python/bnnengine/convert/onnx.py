"""ONNX files, and QONNX ones (Brevitas, FINN): protobuf to the plain graph. Needs the `onnx` package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bnnengine.convert.answers import Run
from bnnengine.convert.ir import Array, Net, Op
from bnnengine.errors import ConvertError

QONNX_DOMAINS = ("onnx.brevitas", "finn.custom_op.general", "qonnx.custom_op.general")
# The fewest inputs of operators that the passes look into; the others take at least one.
FEWEST = {
    "Add": 2,
    "BipolarQuant": 2,
    "Conv": 2,
    "Greater": 2,
    "GreaterOrEqual": 2,
    "Less": 2,
    "LessOrEqual": 2,
    "Mul": 2,
    "MultiThreshold": 2,
    "Quant": 4,
    "Reshape": 2,
    "Sub": 2,
    "Where": 3,
    "Constant": 0,
}


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
    except (ConvertError, FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # protobuf and onnx raise many kinds
        raise ConvertError(f"{path.name}: not an ONNX file that can be read: {error}") from None
    bipolar = any(op.kind == "BipolarQuant" for op in ops)
    return Net(inputs, ops, constants, [o.name for o in graph.output], sign_of_zero=1 if bipolar else 0)


def size(path: Path) -> int:
    """Bytes of the file, and of those beside it that hold its tensors."""
    import onnx

    model: Any = onnx.load(str(path), load_external_data=False)
    tensors = onnx.external_data_helper._get_all_tensors(model)
    names = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
    return path.stat().st_size + sum(int((path.parent / name).stat().st_size) for name in names)


def runner(path: Path) -> tuple[Run, str] | None:
    """The file in ONNX Runtime, or in QONNX's executor; None where neither is installed, or takes it."""
    return _onnx_runtime(path) or _qonnx(path)


def _onnx_runtime(path: Path) -> tuple[Run, str] | None:
    try:
        import onnxruntime

        options = onnxruntime.SessionOptions()  # type: ignore[attr-defined]
        options.log_severity_level = 4  # what it cannot run, the others may
        session = onnxruntime.InferenceSession(  # type: ignore[attr-defined]
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception:  # not installed, or a file that it does not take, which it says in many ways
        return None
    batches = [i.shape[0] for i in session.get_inputs() if i.shape and isinstance(i.shape[0], int)]

    def run(inputs: Mapping[str, Array]) -> list[Array]:
        rows = {name: np.repeat(x, max(batches, default=1), axis=0) for name, x in inputs.items()}
        try:
            return [np.asarray(y)[:1] for y in session.run(None, rows)]
        except Exception as error:  # as above
            raise ConvertError(f"{path.name}: ONNX Runtime cannot run it: {error}") from None

    return run, f"ONNX Runtime {onnxruntime.__version__}"


def _qonnx(path: Path) -> tuple[Run, str] | None:
    try:
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.core.onnx_exec import execute_onnx
        from qonnx.transformation.infer_shapes import InferShapes

        execute: Any = execute_onnx  # without types
        model: Any = ModelWrapper(str(path))
        if not any(node.domain in QONNX_DOMAINS for node in model.graph.node):
            return None
        model = model.transform(InferShapes())
    except Exception:  # as above
        return None

    def run(inputs: Mapping[str, Array]) -> list[Array]:
        try:
            made = execute(model, dict(inputs))
        except Exception as error:  # as above
            raise ConvertError(f"{path.name}: QONNX's executor cannot run it: {error}") from None
        return [made[o.name] for o in model.graph.output]

    return run, "QONNX's executor"


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
    attributes = {}
    for a in node.attribute:
        value = onnx.helper.get_attribute_value(a)
        attributes[a.name] = onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
    if node.op_type == "Constant" and "value" not in attributes:
        attributes["value"] = np.asarray(next(iter(attributes.values())))
    if node.op_type == "Split" and "split" not in attributes and len(node.input) < 2:
        attributes["parts"] = len(node.output)
    return Op(node.op_type, list(node.input), list(node.output), attributes, name)
