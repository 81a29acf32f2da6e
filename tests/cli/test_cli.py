"""The command line: what it prints for people and for programs, and how it fails."""

import json
import subprocess
import sys

import numpy as np
import pytest

from bnnengine import BinaryDense, Conv2d, Flatten, Input, Sequential, Sign, _core
from bnnengine.cli import COMMANDS, main


@pytest.fixture
def model(tmp_path):
    """A file: an image of uint8, a real-valued convolution, a binary dense layer, and labels."""
    rng = np.random.default_rng(0)
    layers = [
        Input((4, 4, 1), "uint8"), Conv2d(rng.standard_normal((8, 3, 3, 1)), name="stem"), Sign(), Flatten(),
        BinaryDense(rng.choice([-1, 1], (3, 32)), name="head"),
    ]  # fmt: skip
    path = tmp_path / "model.bnn"
    Sequential(layers, name="little", metadata={"labels": '["cat", "dog", "cow"]'}).save(path)
    return str(path)


def said(capsys, *arguments):
    """What a command that goes well says."""
    assert main([str(a) for a in arguments]) == 0
    return capsys.readouterr().out


def told(capsys, *arguments):
    """The same with --json."""
    return json.loads(said(capsys, *arguments, "--json"))


@pytest.mark.parametrize("name", ["cnn", "mlp"])
def test_demo(capsys, name):
    text = said(capsys, "demo", "--model", name)
    for part in ("right ", "digits a second", "one digit", "as float32", _core.isas()[-1], "but it is"):
        assert part in text
    result = told(capsys, "demo", "--model", name, "--isa", "ref", "--threads", "1")
    assert result["digits"] == 1000
    assert result["accuracy"] >= 0.98
    assert result["isa"] == "ref"
    assert result["float32_bytes"] > 7 * result["file_bytes"]


def test_demo_without_unicode():
    command = [sys.executable, "-m", "bnnengine", "demo"]
    done = subprocess.run(command, capture_output=True, check=True, env={"PYTHONIOENCODING": "ascii"})
    assert b"says" in done.stdout
    assert done.stdout.decode("ascii").count("#") > 50


def test_demo_without_a_standard_output():
    command = f"exec {sys.executable} -m bnnengine demo >&-"
    done = subprocess.run(command, shell=True, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_an_encoding_lacks_are_escaped(encoding, tmp_path):
    layers = [Input((4,), "float32"), BinaryDense(np.ones((2, 4)), name="слой")]
    Sequential(layers, metadata={"labels": '["да", "нет"]'}).save(tmp_path / "m.bnn")
    np.save(tmp_path / "x.npy", np.array([[1, 2, 3, 4], [0, 0, 0, np.nan]], np.float32))
    for command in (["inspect", "m.bnn"], ["run", "m.bnn", "x.npy"]):
        done = subprocess.run(
            [sys.executable, "-m", "bnnengine", *command], cwd=tmp_path, capture_output=True, check=True,
            env={"PYTHONIOENCODING": encoding},
        )  # fmt: skip
        words = ["слой"] if command[0] == "inspect" else ["да"]
        assert all(word.encode(encoding, "backslashreplace") in done.stdout for word in words)


def test_numbers_that_are_not_finite_are_null_in_json(capsys, tmp_path):
    Sequential([Input((4,), "float32"), BinaryDense(np.ones((2, 4)))]).save(tmp_path / "m.bnn")
    np.save(tmp_path / "x.npy", np.full((1, 4), np.inf, np.float32))
    result = told(capsys, "run", tmp_path / "m.bnn", tmp_path / "x.npy")
    assert result["outputs"]["binary_dense_1"] == [[{"class": 0, "score": None}]]


def test_run(capsys, model, tmp_path):
    x = np.random.default_rng(1).integers(0, 256, (5, 4, 4, 1)).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", x=x)
    for name in ("x.npy", "x.npz"):
        out = tmp_path / "y.npy"
        result = told(capsys, "run", model, tmp_path / name, "-o", out, "--top", 2)
        y = np.load(out)
        assert y.shape == (5, 3)
        assert result["samples"] == 5
        best = [sample[0] for sample in result["outputs"]["head"]]
        assert [b["class"] for b in best] == [["cat", "dog", "cow"][i] for i in y.argmax(axis=1)]
        assert [b["score"] for b in best] == y.max(axis=1).tolist()
        assert all(len(sample) == 2 for sample in result["outputs"]["head"])
    assert said(capsys, "run", model, tmp_path / "x.npy").count("\n") == 5


def test_inspect(capsys, model):
    result = told(capsys, "inspect", model)
    stem, _, head = result["layers"]
    assert (stem["bits_a_weight"], stem["not_binary"]) == (32, "real-valued: float32 weights")
    assert (head["bits_a_weight"], head["not_binary"], head["weights"]) == (1, "", 96)
    assert (stem["macs"], head["macs"]) == (4 * 72, 96)
    assert (result["macs"], result["binary_macs"]) == (4 * 72 + 96, 96)
    text = said(capsys, "inspect", model)
    for part in ("stem", "bits (2, 2, 8)", "real-valued: float32 weights", "little", "25.0% of them binary"):
        assert part in text


def test_bench(capsys, model):
    result = told(capsys, "bench", model, "--batch", "1,3", "--seconds", "0")
    assert [entry["batch"] for entry in result["latency"]] == [1, 3]
    for entry in result["latency"]:
        assert 0 < entry["least_us"] <= entry["p50_us"] <= entry["p90_us"] <= entry["p99_us"]
    assert [layer["name"] for layer in result["layers"]] == ["stem", "flatten_1", "head"]
    assert result["layers"][0]["bound_us"] > 0
    assert result["layers"][1]["bound_us"] is None
    assert "GMAC/s" in said(capsys, "bench", model, "--batch", "1", "--seconds", "0")


def test_selftest(capsys):
    result = told(capsys, "selftest", "--rounds", "5")
    assert result["differ"] == 0
    assert [(e["family"], e["isa"]) for e in result["kernels"]] == _core.kernels()
    assert all(e["cases"] > 0 for e in result["kernels"])
    assert {e["isa"] for e in result["networks"]} == set(_core.isas())


def test_selftest_fails_on_a_difference(capsys, monkeypatch):
    monkeypatch.setattr(_core, "selftest", lambda *_: (10, 1, "bgemm avx2 at 1 x 2"))
    assert main(["selftest", "--rounds", "0"]) == 1
    assert "bgemm avx2 at 1 x 2" in capsys.readouterr().out


def test_cpu(capsys):
    result = told(capsys, "cpu")
    assert result["isas"] == _core.isas()
    assert result["bound"] == _core.isas()[-1]
    assert result["kernels"]["ref"]["bgemm"] == "ref"
    assert result["versions"]["numpy"] == np.__version__
    assert _core.isas()[-1] in said(capsys, "cpu")


def test_bench_tune(capsys, model):
    result = told(capsys, "bench", model, "--tune", "--batch", "2", "--seconds", "0")
    assert [layer["name"] for layer in result["layers"]] == ["stem", "head"]
    for layer in result["layers"]:
        # a plan may use the kernel of a weaker set, which is there once
        assert {"ref", "avx2"} & set(_core.isas()) <= {v["isa"] for v in layer["variants"]} <= set(_core.isas())
        assert len({v["kernel"] for v in layer["variants"]}) == len(layer["variants"])
        assert sum(v["taken"] for v in layer["variants"]) == 1
        assert all(0 <= v["least_us"] <= v["median_us"] for v in layer["variants"])
    families = {v["kernel"].split(" ")[0] for v in result["layers"][1]["variants"]}
    assert families == {"bgemm", "bgemv"}
    text = said(capsys, "bench", model, "--tune", "--batch", "2", "--seconds", "0")
    assert "all at once" in text
    assert "to *" in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["inspect", "nothing.bnn"], "nothing.bnn"),
        (["inspect", __file__], "not a .bnn file"),
        (["run", "MODEL", "nothing.npy"], "nothing.npy"),
        (["run", "MODEL", __file__], "not a .npy or .npz file"),
        (["run", "MODEL", "FLOATS"], "dtype: got float64, wanted uint8"),
        (["run", "MODEL", "FLOATS", "--top", "0"], "--top"),
        (["bench", "MODEL", "--batch", "1,x"], "--batch"),
        (["bench", "MODEL", "--threads", "0"], "num_threads"),
    ],
)
def test_failures_are_one_line_and_exit_1(capsys, model, tmp_path, arguments, text):
    np.save(tmp_path / "floats.npy", np.zeros((1, 4, 4, 1)))
    names = {"MODEL": model, "FLOATS": str(tmp_path / "floats.npy")}
    assert main([names.get(a, a) for a in arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"bnnengine {arguments[0]}: ")
    assert text in captured.err
    assert captured.err.count("\n") == 1


def test_words_that_are_not_known_exit_2(capsys):
    for arguments in ([], ["fly"], ["demo", "--isa", "mmx"], ["inspect"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
    capsys.readouterr()


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)
