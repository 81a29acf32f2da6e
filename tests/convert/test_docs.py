"""The examples of docs/convert.md, as they stand there."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs" / "convert.md"
EXAMPLES = dict(re.findall(r"<!-- example: (\w+) -->\n```python\n(.*?)```\n", DOCS.read_text(), re.S))
NEEDS = {"torch": ["torch"], "onnx": ["torch", "onnx"], "qonnx": ["brevitas.nn", "onnxoptimizer"]}
FILES = {
    "larq": ("model.h5", "larq_binarydensenet28/BinaryDenseNet28.model.h5"),
    "tflite": ("model.tflite", "larq_quicknet_small/QuickNetSmall.tflite"),
}


def run(name, folder, monkeypatch, capsys):
    for module in NEEDS.get(name, []):
        pytest.importorskip(module, reason="of one of the sources, all of which CI has")
    monkeypatch.chdir(folder)
    exec(compile(EXAMPLES[name], f"{DOCS.name}: {name}", "exec"), {"__name__": "__main__"})
    assert "layers binary" in capsys.readouterr().out
    assert (folder / "model.bnn").stat().st_size > 0


def test_each_source_has_an_example():
    assert set(EXAMPLES) == {"torch", "onnx", "qonnx", "larq", "tflite"}


@pytest.mark.parametrize("name", ["torch", "onnx", "qonnx"])
def test_examples(name, tmp_path, monkeypatch, capsys):
    run(name, tmp_path, monkeypatch, capsys)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["larq", "tflite"])
def test_examples_that_begin_with_a_file(name, shared_data, tmp_path, monkeypatch, capsys):
    target, source = FILES[name]
    (tmp_path / target).symlink_to(shared_data / source)
    run(name, tmp_path, monkeypatch, capsys)
