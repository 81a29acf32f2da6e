"""What a user of Engine may rely on: sources, arrays, errors, threads, processes, profiles."""

import gc
import json
import multiprocessing
import os
import pickle
import threading
import tracemalloc

import numpy as np
import pytest

import bnnengine
from bnnengine import (
    BinaryConv2d,
    BinaryDense,
    BnnError,
    Engine,
    Flatten,
    FormatError,
    Input,
    InputError,
    InputTypeError,
    LimitError,
    MaxPool2d,
    Model,
    ModelError,
    Node,
    Sequential,
    TensorSpec,
    Threshold,
    _core,
)
from bnnengine.threads import _cgroup_cpus, default_num_threads

X = np.array([[1, 2, 3, 4, 5], [0, 0, 0, 0, 255]], np.uint8)
Y = np.array([[15, -3, -15], [255, -255, -255]], np.float32)


@pytest.fixture(scope="module")
def large() -> bytes:
    """A network of about ten milliseconds, so that calls overlap and threads are woken."""
    rng = np.random.default_rng(0)
    layers = [
        Input((64, 64, 8), "uint8"),
        BinaryConv2d(rng.choice([-1, 1], (256, 3, 3, 8)), threshold=Threshold(np.zeros(256, int))),
    ]
    for _ in range(3):
        weight = rng.choice([-1, 1], (256, 3, 3, 256))
        layers.append(BinaryConv2d(weight, padding=1, threshold=Threshold(rng.integers(-40, 41, 256))))
    layers += [Flatten(), BinaryDense(rng.choice([-1, 1], (4, 62 * 62 * 256)))]
    return Sequential(layers).to_bytes()


def large_inputs(count):
    return np.random.default_rng(1).integers(0, 256, (count, 64, 64, 8)).astype(np.uint8)


# ---- loading ----


def test_every_kind_of_source(tiny, tmp_path):
    path = tmp_path / "model.bnn"
    path.write_bytes(tiny)
    for source in (path, str(path), tiny, bytearray(tiny), memoryview(tiny)):
        np.testing.assert_array_equal(Engine.load(source).predict(X), Y)


def test_the_source_may_change_after_loading(tiny):
    data = bytearray(tiny)
    engine = Engine.load(data)
    data[:] = bytes(len(data))
    np.testing.assert_array_equal(engine.predict(X), Y)


def test_what_is_not_a_model_is_refused(tmp_path):
    path = tmp_path / "model.bnn"
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(FormatError, match=r"not a \.bnn file"):
        Engine.load(path)
    with pytest.raises(FileNotFoundError):
        Engine.load(tmp_path / "nothing.bnn")


def test_limits(tiny, large):
    with pytest.raises(LimitError, match="multiply-accumulates"):
        Engine.load(tiny, max_macs=14)
    assert Engine.load(tiny, max_macs=15).predict(X).shape == (2, 3)
    with pytest.raises(LimitError, match="the limit"):
        Engine.load(large, max_bytes=100_000)
    assert issubclass(LimitError, MemoryError)
    for name in ("max_bytes", "max_macs"):
        for limit in (0, -1, 1 << 64):
            with pytest.raises(ValueError, match=f"{name}: got {limit}, wanted a whole number"):
                Engine.load(tiny, **{name: limit})


@pytest.mark.parametrize("threads", [0, -1, 257, 2.0, "2", True])
def test_bad_thread_counts(tiny, threads):
    with pytest.raises(ValueError, match="num_threads"):
        Engine.load(tiny, num_threads=threads)


def test_thread_count_of_the_environment(tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("BNNENGINE_NUM_THREADS", "3")
    assert Engine.load(tiny).num_threads == 3
    assert Engine.load(tiny, num_threads=1).num_threads == 1
    assert Engine.load(tiny, num_threads=np.int64(2)).num_threads == 2
    for bad in ("0", "many", "-1", "1000"):
        monkeypatch.setenv("BNNENGINE_NUM_THREADS", bad)
        with pytest.raises(ValueError, match="BNNENGINE_NUM_THREADS"):
            Engine.load(tiny)
    monkeypatch.delenv("BNNENGINE_NUM_THREADS")
    assert 1 <= default_num_threads() <= (os.cpu_count() or 1)
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert _cgroup_cpus(tmp_path) == 1.5
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert _cgroup_cpus(tmp_path) == float("inf")


def test_specs_metadata_summary_and_repr(tiny):
    engine = Engine.load(tiny, isa="ref", num_threads=1)
    assert engine.inputs == (TensorSpec("input", "uint8", (5,)),)
    assert engine.outputs == (TensorSpec("binary_dense_1", "float32", (3,)),)
    assert engine.inputs[0].layout == "NC"
    assert TensorSpec("x", "uint8", (2, 3, 1)).layout == "NHWC"
    assert engine.metadata == {"name": "tiny", "producer": f"bnnengine {bnnengine.__version__}"}
    assert "binary_dense_1" in engine.summary()
    assert "uint8 (5,)" in repr(engine)


# ---- arrays ----


def test_arrays_of_any_layout(tiny):
    engine = Engine.load(tiny)
    strange = np.zeros((4, 10), np.uint8)
    strange[::2, ::2] = X
    for x in (
        X,
        np.asfortranarray(X),
        strange[::2, ::2],
        X[::-1][::-1],
        np.ascontiguousarray(X[::-1])[::-1],
        X.tolist(),
    ):
        if isinstance(x, list):
            with pytest.raises(InputTypeError, match="int64"):
                engine.predict(x)
        else:
            np.testing.assert_array_equal(engine.predict(x), Y)
    read_only = X.copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(engine(read_only), Y)


def test_empty_batch(tiny):
    y = Engine.load(tiny).predict(np.zeros((0, 5), np.uint8))
    assert y.shape == (0, 3)
    assert y.dtype == np.float32


@pytest.mark.parametrize(
    ("x", "error", "text"),
    [
        (X.astype(np.float32), InputTypeError, "dtype: got float32, wanted uint8"),
        (X.astype(">u2"), InputTypeError, "dtype: got >u2"),
        (X[0], InputError, r"shape: got \(5,\), wanted \(N, 5\): add a batch axis"),
        (X[:, :4], InputError, r"shape: got \(2, 4\), wanted \(N, 5\)"),
        (X[:, :, None], InputError, "shape: got"),
        ({"inputs": X}, InputError, "inputs: got"),
        (None, InputTypeError, "dtype: got object"),
    ],
)
def test_bad_inputs(tiny, x, error, text):
    with pytest.raises(error, match=text):
        Engine.load(tiny).predict(x)
    assert issubclass(error, BnnError)
    assert issubclass(error, ValueError)


def test_out_is_written_and_returned(tiny):
    engine = Engine.load(tiny)
    out = np.full((2, 3), np.nan, np.float32)
    assert engine.predict(X, out=out) is out
    np.testing.assert_array_equal(out, Y)


def test_bad_outs(tiny):
    engine = Engine.load(tiny)
    read_only = np.zeros((2, 3), np.float32)
    read_only.flags.writeable = False
    for out in (
        np.zeros((2, 3)),
        np.zeros((3, 3), np.float32),
        np.zeros((2, 6), np.float32)[:, ::2],
        read_only,
        [],
        "out",
    ):
        with pytest.raises(InputError, match="out"):
            engine.predict(X, out=out)


def test_outs_that_overlap():
    """An output over an input would be read again, and two outputs in one place would be one."""
    layer = BinaryDense(np.ones((3, 3)))
    nodes = (Node("first", layer, ("x",), ("y",)), Node("second", layer, ("x",), ("z",)))
    engine = Engine(Model((TensorSpec("x", "float32", (3,)),), nodes, ("y", "z")).to_bytes())
    memory = np.zeros(24, np.float32)
    x, y, z = memory[:6].reshape(2, 3), memory[6:12].reshape(2, 3), memory[12:18].reshape(2, 3)
    engine.predict(x, out=[y, z])
    for outs in ([x, z], [y, x], [y, y], [memory[3:9].reshape(2, 3), z], [y, memory[9:15].reshape(2, 3)]):
        with pytest.raises(InputError, match="shares memory"):
            engine.predict(x, out=outs)


def test_outs_that_share_memory_with_inputs_are_refused():
    """A pool would read what it has written."""
    engine = Engine(Sequential([Input((4, 4, 2), "float32"), MaxPool2d(3, 1, 1)]).to_bytes())
    memory = np.random.default_rng(0).standard_normal(2 * 32 + 16).astype(np.float32)
    x, shifted, behind = (memory[i : i + 32].reshape(1, 4, 4, 2) for i in (0, 16, 32))
    expected = engine.predict(x)
    for out in (x, shifted):
        with pytest.raises(InputError, match="out for 'max_pool2d_1': shares memory with an input"):
            engine.predict(x, out=out)
    np.testing.assert_array_equal(engine.predict(x, out=behind), expected)
    np.testing.assert_array_equal(engine.predict(behind[:0], out=behind[:0]), expected[:0])


def test_several_inputs_and_outputs():
    inputs = (TensorSpec("a", "uint8", (4,)), TensorSpec("b", "float32", (3,)))
    nodes = (
        Node("first", BinaryDense(np.ones((2, 4))), ("a",), ("y",)),
        Node("second", BinaryDense(np.ones((1, 3))), ("b",), ("z",)),
    )
    model = Model(inputs, nodes, ("z", "y"))
    engine = Engine.load(model.to_bytes())
    a, b = np.ones((2, 4), np.uint8), np.full((2, 3), 0.5, np.float32)
    for x in ([a, b], (a, b), {"b": b, "a": a}):
        z, y = engine.predict(x)
        np.testing.assert_array_equal(y, np.full((2, 2), 4))
        np.testing.assert_array_equal(z, np.full((2, 1), 1.5))
    with pytest.raises(InputError, match="batch sizes differ"):
        engine.predict([a[:1], b])
    with pytest.raises(InputError, match="sequence of 2 arrays"):
        engine.predict(a)


def test_predict_into_out_allocates_nothing_that_stays(tiny):
    engine = Engine.load(tiny)
    out = engine.predict(X)
    engine.predict(X, out=out)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(100):
        engine.predict(X, out=out)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 1000


# ---- many callers ----


def test_threads_on_one_engine_get_their_own_answers(large):
    engine = Engine.load(large, num_threads=1)
    xs = large_inputs(8)
    expected = np.concatenate([engine.predict(x[None]) for x in xs])
    wrong = []

    def work(number):
        for _ in range(5):
            if not np.array_equal(engine.predict(xs[number : number + 1])[0], expected[number]):
                wrong.append(number)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert not wrong


def test_the_gil_is_released_while_predicting(large):
    """Another thread gets on during each call; if the call kept the GIL, it would stand still but by chance."""
    engine = Engine.load(large, num_threads=1)
    x = large_inputs(8)
    out = engine.predict(x)
    stop, steps, seen = threading.Event(), [0], []

    def count():
        while not stop.is_set():
            steps[0] += 1

    counter = threading.Thread(target=count)
    counter.start()
    try:
        for _ in range(8):
            before = steps[0]
            engine._plan.run([x], [out], len(x))
            seen.append(steps[0] - before)
    finally:
        stop.set()
        counter.join()
    assert sum(n > 100 for n in seen) >= 4  # not all: a busy machine may give the other thread no core


@pytest.mark.parametrize("threads", [2, 3])
def test_helper_threads_change_nothing(large, threads):
    x = large_inputs(3)
    np.testing.assert_array_equal(
        Engine.load(large, num_threads=threads).predict(x), Engine.load(large, num_threads=1).predict(x)
    )


def test_pickle(tiny):
    engine = pickle.loads(pickle.dumps(Engine.load(tiny, isa="ref", num_threads=2)))
    assert (engine.isa, engine.num_threads) == ("ref", 2)
    np.testing.assert_array_equal(engine.predict(X), Y)


def test_a_pickle_takes_the_threads_and_the_instruction_set_of_where_it_arrives(tiny, monkeypatch):
    monkeypatch.setenv("BNNENGINE_NUM_THREADS", "3")
    monkeypatch.setenv("BNNENGINE_ISA", "ref")
    packed = pickle.dumps(Engine.load(tiny))
    monkeypatch.setenv("BNNENGINE_NUM_THREADS", "2")
    monkeypatch.delenv("BNNENGINE_ISA")
    assert (pickle.loads(packed).num_threads, pickle.loads(packed).isa) == (2, Engine.load(tiny).isa)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_other_processes(large, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    engine, x = Engine.load(large, num_threads=2), large_inputs(1)
    expected = engine.predict(x)  # so that a session with helper threads exists before a fork
    with multiprocessing.get_context(method).Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply_async(engine.predict, (x,)).get(timeout=60), expected)
    np.testing.assert_array_equal(engine.predict(x), expected)


def test_a_forked_child_uses_the_engine_that_it_inherits(large):
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    engine, x = Engine.load(large, num_threads=2), large_inputs(1)
    expected = engine.predict(x)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(engine.predict(x), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(engine.predict(x), expected)


def test_a_cycle_around_a_plan_takes_its_threads_along(tiny):
    """The collector empties the lists that it finds in a cycle, and may come to the plan's before the plan is freed."""
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("this system does not list threads")
    gc.collect()
    before = len(os.listdir("/proc/self/task"))
    plan = _core.Plan(tiny, None, 3, 0, 0)
    plan.run([X], [np.empty_like(Y)], len(X))
    assert len(os.listdir("/proc/self/task")) == before + 2
    cycle = {"plan": plan}
    cycle["itself"] = cycle
    del plan, cycle
    gc.collect()
    assert len(os.listdir("/proc/self/task")) == before


# ---- profile ----


def test_profile(large):
    engine = Engine.load(large, num_threads=1)
    profile = engine.profile(large_inputs(1), seconds=0)
    assert [s.name for s in profile.steps] == [s["name"] for s in engine._plan.step_infos()]
    assert sum(s.share for s in profile.steps) == pytest.approx(1)
    assert sum(s.ms for s in profile.steps) == pytest.approx(profile.ms)
    assert profile.steps[1].macs == 62 * 62 * 9 * 256 * 256
    assert profile.steps[1].kernel == f"bgemm {engine.isa}"
    trace = json.loads(profile.chrome_trace())["traceEvents"]
    assert [e["name"] for e in trace] == [s.name for s in profile.steps]
    assert all(e["ph"] == "X" for e in trace)
    assert "GMAC/s" in str(profile)
    with pytest.raises(InputError, match="at least one sample"):
        engine.profile(large_inputs(0))


def test_warmup(tiny):
    engine = Engine.load(tiny)
    engine.warmup(batch=3)
    np.testing.assert_array_equal(engine.predict(X), Y)


# ---- models ----


def test_a_model_comes_back_as_it_was_saved(tmp_path):
    rng = np.random.default_rng(0)
    model = Sequential(
        [
            Input((9, 9, 3), "uint8", name="image"),
            BinaryConv2d(rng.choice([-1, 1], (70, 3, 3, 3)), padding=((1, 0), (0, 2)), strides=(2, 1), dilation=(1, 2),
                         threshold=Threshold(rng.integers(-99, 99, 70), rng.random(70) < 0.5), name="stem"),
            Flatten(),
            BinaryDense(rng.choice([-1, 1], (5, 4 * 7 * 70)), scale=0.5, bias=rng.standard_normal(5)),
        ],
        name="round trip",
        metadata={"labels": '["ä", "b"]'},
    )  # fmt: skip
    path = tmp_path / "model.bnn"
    model.save(path)
    again = Model.load(path)
    assert [n.layer for n in again.nodes] == [n.layer for n in model.optimize().nodes]
    assert again.metadata["labels"] == '["ä", "b"]'
    assert again.inputs == model.inputs
    assert again.to_bytes() == path.read_bytes()
    assert os.listdir(tmp_path) == ["model.bnn"]
    x = rng.integers(0, 256, (3, 9, 9, 3)).astype(np.uint8)
    np.testing.assert_array_equal(again.reference(x), Engine.load(path).predict(x))


def test_saving_what_the_file_cannot_say_writes_nothing(tmp_path):
    bits = Sequential([Input((4,), "uint8"), BinaryDense(np.ones((3, 4)), threshold=Threshold(np.zeros(3, int)))])
    path = tmp_path / "model.bnn"
    path.write_bytes(b"what was there")
    with pytest.raises(ModelError, match="bits cannot leave the network"):
        bits.save(path)
    assert path.read_bytes() == b"what was there"
    assert os.listdir(tmp_path) == ["model.bnn"]


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([], "first layer must be Input"),
        ([BinaryDense(np.ones((3, 4)))], "first layer must be Input"),
        ([Input((4,))], "no layers"),
        ([Input((4,)), Input((4,))], "layer 1: got Input"),
        ([Input((5,)), BinaryDense(np.ones((3, 4)))], "'binary_dense_1': BinaryDense: inputs: got 5, wanted 4"),
        ([Input((4,)), BinaryDense(np.ones((3, 4)), name="a"), BinaryDense(np.ones((3, 3)), name="a")], "stands twice"),
    ],
)
def test_networks_that_cannot_be(layers, text):
    with pytest.raises(ModelError, match=text):
        Sequential(layers)
