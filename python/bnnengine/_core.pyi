from collections.abc import Sequence
from typing import Any, TypedDict

from typing_extensions import Buffer

class NodeRecord(TypedDict):
    """One node as the file has it; a bits tensor comes as its words, uint64 [..., words], with its logical shape."""

    name: str
    op: str
    inputs: list[int]
    outputs: list[int]
    tensors: dict[int, Any]
    attributes: list[int]

class ModelRecord(TypedDict):
    """A whole file: values are (name, dtype, shape without the batch)."""

    values: list[tuple[str, str, tuple[int, ...]]]
    inputs: list[int]
    outputs: list[int]
    nodes: list[NodeRecord]
    metadata: dict[str, str]

class StepInfo(TypedDict):
    """One step of a plan."""

    name: str
    op: str
    kernel: str
    macs: int
    binary_macs: int
    pass_step: int
    weight_bytes: int

def crc32c(data: Buffer) -> int: ...
def read_model(data: Buffer) -> ModelRecord: ...
def isas() -> list[str]: ...
def kernels() -> list[tuple[str, str]]: ...
def selftest(family: str, isa: str, rounds: int, seed: int) -> tuple[int, int, str]: ...
def choices(isa: str) -> dict[str, int]: ...

class Plan:
    """A loaded network with a plan for this CPU."""

    inputs: list[tuple[str, str, tuple[int, ...]]]
    outputs: list[tuple[str, str, tuple[int, ...]]]
    metadata: dict[str, str]
    isa: str
    num_threads: int

    def __init__(
        self, data: Buffer, isa: str | None, num_threads: int, max_bytes: int, max_macs: int, share_from: int = 0,
        fast_math: bool = False, choices: dict[str, int] | None = None,
    ) -> None: ...  # fmt: skip
    def data(self) -> bytes: ...
    def info(self) -> dict[str, int]: ...
    def step_infos(self, batch: int = ...) -> list[StepInfo]: ...
    def run(
        self, inputs: Sequence[Any], outputs: Sequence[Any], batch: int, step_ns: list[int] | None = None
    ) -> None: ...
