"""What tests share: the reference data beside the repository, and the instruction sets of this machine."""

import os
from pathlib import Path

import numpy as np
import pytest

from bnnengine import BinaryDense, Input, Sequential, _core

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of reference data, which CI has and a user's clone has not."""
    if not SHARED.is_dir():
        message = f"needs the reference data in {SHARED.parent.name}/{SHARED.name} beside the repository"
        if os.environ.get("CI"):
            pytest.fail(message + ", which CI must have")
        pytest.skip(message)
    return SHARED


@pytest.fixture(params=_core.isas())
def isa(request: pytest.FixtureRequest) -> str:
    """Each instruction set that this machine can run."""
    return str(request.param)


@pytest.fixture(scope="session")
def tiny() -> bytes:
    """A file of one dense layer: uint8 (5,) to float32 (3,)."""
    weight = np.array([[1, 1, 1, 1, 1], [-1, 1, -1, 1, -1], [-1, -1, -1, -1, -1]])
    return Sequential([Input((5,), "uint8"), BinaryDense(weight)], name="tiny").to_bytes()
