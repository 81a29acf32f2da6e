"""The package that can be called, for type checkers."""

import pytest

api = pytest.importorskip("mypy.api", reason="needs mypy, which CI has")

USE = """
import bnnengine
from bnnengine.convert import Report

done = bnnengine.convert("model.onnx", "model.bnn", strict=True)
bnnengine.convert.register(int, None)
report: Report = done.report
print(report.layers[0].name)
"""


def test_a_users_call_passes_mypy(tmp_path):
    (tmp_path / "use.py").write_text(USE)
    said, _, code = api.run(["--strict", "--cache-dir", str(tmp_path / "cache"), str(tmp_path / "use.py")])
    assert code == 0, said
