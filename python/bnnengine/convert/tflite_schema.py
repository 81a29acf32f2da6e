"""What stands in a TensorFlow Lite file: its first graph's tensors and operators, checked, and not yet understood.

The tables and the numbers of their fields are those of TensorFlow's schema.fbs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnnengine.convert.flatbuffer import Table, span
from bnnengine.convert.ir import Array
from bnnengine.errors import ConvertError

MOST_OPERANDS = 1 << 8  # of one operator
MOST_AXES = 8
CUSTOM = 32

_BUILTINS = (
    "ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR "
    "FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION "
    "LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH "
    "CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER "
    "BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE "
    "BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM "
    "ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE "
    "TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK "
    "LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL "
    "FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL "
    "REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND "
    "HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM "
    "BATCH_MATMUL PLACEHOLDER CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE "
    "HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE "
    "ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU "
    "DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2 "
    "UNSORTED_SEGMENT_MIN SIGN"
)
_TYPES = (
    "FLOAT32 FLOAT16 INT32 UINT8 INT64 STRING BOOL INT16 COMPLEX64 INT8 FLOAT64 COMPLEX128 UINT64 RESOURCE VARIANT "
    "UINT32 UINT16 INT4"
)
BUILTINS, TYPES = _BUILTINS.split(), _TYPES.split()  # by their codes
DTYPES = {
    "FLOAT32": "<f4", "FLOAT16": "<f2", "FLOAT64": "<f8", "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "UINT8": "u1", "BOOL": "?",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value of the graph.

    Attributes:
        label: its name, or its number where it has none.
        shape: in the file's order of axes; () too where the file does not say.
        free: axes whose size is left open.
        type: of TYPES.
        constant: its numbers; None where it is computed.
        scale, zero_point, axis: how whole numbers are meant: (q - zero_point) * scale, along the axis.
    """

    label: str
    shape: tuple[int, ...]
    free: tuple[int, ...]
    type: str
    constant: Array | None
    scale: Array
    zero_point: Array
    axis: int


@dataclass(frozen=True, eq=False)
class Operator:
    """An operator: its inputs and outputs are numbers of tensors, -1 where one is left out.

    Attributes:
        kind: of BUILTINS, or a custom operator's name.
        custom: whether it is a custom one.
        options_type, options: the union's number, and the table.
        custom_options: bytes of a custom operator's.
    """

    kind: str
    custom: bool
    inputs: list[int]
    outputs: list[int]
    options_type: int
    options: Table
    custom_options: Array


@dataclass(frozen=True, eq=False)
class Graph:
    """The first graph of a file; inputs and outputs are numbers of tensors."""

    tensors: list[Tensor]
    operators: list[Operator]
    inputs: list[int]
    outputs: list[int]


def parse(data: bytes) -> Graph:
    """The first graph.

    Raises:
        ConvertError: no TensorFlow Lite file, a damaged one, or one of a version that is not known.
    """
    if data[4:8] != b"TFL3":
        raise ConvertError("not a TensorFlow Lite file: the bytes 'TFL3' are missing")
    model = Table(data, int.from_bytes(data[:4], "little"))
    version = model.number(0, "I")
    if not 1 <= version <= 3:
        raise ConvertError(f"schema version: got {version}, wanted 1, 2 or 3")
    graphs = model.tables(2)
    if not graphs:
        raise ConvertError("damaged: it holds no graph")
    buffers = [_buffer(data, table) for table in model.tables(4)]
    kinds = [_kind(table) for table in model.tables(1)]
    tensors = [_tensor(table, number, buffers) for number, table in enumerate(graphs[0].tables(0))]
    operators = [_operator(table, kinds, len(tensors)) for table in graphs[0].tables(3)]
    inputs, outputs = (_numbers(graphs[0], field, len(tensors)) for field in (1, 2))
    return Graph(tensors, operators, inputs, outputs)


def _buffer(data: bytes, table: Table) -> Array:
    """Its bytes, which lie behind the flatbuffer where a file is large."""
    offset, size = table.number(1, "Q"), table.number(2, "Q")
    if offset > 1 and size:
        return np.frombuffer(data, np.uint8, size, span(data, offset, size))
    return table.numbers(0, np.uint8)


def _kind(code: Table) -> tuple[str, bool]:
    """An operator's name, and whether it is a custom one. Codes past 127 have a field of their own, of newer files."""
    builtin = max(code.number(0, "b"), code.number(3, "i"))
    if builtin == CUSTOM:
        return code.text(1), True
    return (BUILTINS[builtin] if 0 <= builtin < len(BUILTINS) else f"of code {builtin}"), False


def _tensor(table: Table, number: int, buffers: list[Array]) -> Tensor:
    label = table.text(3) or f"tensor {number}"
    shape = tuple(table.numbers(0, "<i4")[: MOST_AXES + 1].tolist())
    free = tuple(i for i, n in enumerate(table.numbers(7, "<i4")[:MOST_AXES].tolist()) if n < 0)
    code, buffer = table.number(1, "b"), table.number(2, "I")
    kind = TYPES[code] if 0 <= code < len(TYPES) else f"of code {code}"
    if buffer >= len(buffers) or len(shape) > MOST_AXES or any(n < 0 for n in shape):
        raise ConvertError(f"{label!r}: damaged: buffer {buffer} of {len(buffers)}, shape {shape}")
    constant, raw = None, buffers[buffer]
    if raw.size and kind in DTYPES and table.number(6, "I") == 0:
        dtype = np.dtype(DTYPES[kind])
        if int(np.prod(shape, dtype=object)) * dtype.itemsize != raw.size:
            raise ConvertError(f"{label!r}: {raw.size} bytes, which are not {kind} of shape {shape}")
        constant = raw.view(dtype).reshape(shape) if kind != "BOOL" else (raw != 0).reshape(shape)
    quantization = table.table(4)
    scale, zero_point = quantization.numbers(2, "<f4"), quantization.numbers(3, "<i8")
    return Tensor(label, shape, free, kind, constant, scale, zero_point, quantization.number(6, "i"))


def _operator(table: Table, kinds: list[tuple[str, bool]], tensors: int) -> Operator:
    index = table.number(0, "I")
    if index >= len(kinds):
        raise ConvertError(f"damaged: operator code {index} of {len(kinds)}")
    kind, custom = kinds[index]
    inputs, outputs = (_numbers(table, field, tensors) for field in (1, 2))
    if custom:
        return Operator(kind, custom, inputs, outputs, 0, Table(table.data, None), table.numbers(5, np.uint8))
    return Operator(kind, custom, inputs, outputs, table.number(3, "B"), table.table(4), np.empty(0, np.uint8))


def _numbers(table: Table, field: int, tensors: int) -> list[int]:
    """Numbers of tensors."""
    found: list[int] = table.numbers(field, "<i4")[: MOST_OPERANDS + 1].tolist()
    if len(found) > MOST_OPERANDS or any(not -1 <= n < tensors for n in found):
        raise ConvertError(f"damaged: operands {found[:8]}, wanted up to {MOST_OPERANDS} numbers below {tensors}")
    return found
