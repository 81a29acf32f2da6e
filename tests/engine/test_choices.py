"""Whichever of two roads a plan takes, the bits are the same; and the roads taken are those that were asked for."""

import numpy as np
import pytest

from bnnengine import BinaryConv2d, BinaryDense, BinaryMatMul, Graph, InputError, Sign, Threshold, _core

ISAS = _core.isas()
MOST = 2**32 - 1
ROADS = [
    {},
    {"vector_rows": MOST, "vector_words": 0, "matmul_rows": MOST},
    {"vector_rows": 0, "narrow_rows": 0, "matmul_rows": 0},
    {"narrow_rows": 2, "narrow_outputs": 70},
    {"byte_depth": 0},
    {"byte_depth": 4096},
    {"thin_channels": 0},
    {"thin_channels": 64},
]


def network(rng, k, n):
    """A dense layer to bits and to floats, a product of two activations, a first layer on bytes, groups behind it."""
    g = Graph()
    x, picture = g.input((k,), name="x"), g.input((6, 5, 3), "uint8", name="picture")
    bits = g(Sign(), x)
    first = BinaryDense(rng.choice([-1, 1], (n, k)), threshold=Threshold(rng.integers(-9, 9, n)))
    y = g(BinaryDense(rng.choice([-1, 1], (13, n))), g(first, bits, name="first"), name="second")
    z = g(BinaryConv2d(rng.choice([-1, 1], (9, 3, 3, 3)), padding=1), picture, name="bytes")
    thin = BinaryConv2d(rng.choice([-1, 1], (9, 2, 2, 3)), groups=3, threshold=Threshold(rng.integers(-3, 3, 9)))
    t = g(thin, g(Sign(), z), name="thin")
    t = g(BinaryConv2d(rng.choice([-1, 1], (9, 1, 3, 3)), groups=3), t, name="thin to floats")
    left, right = g(Sign(), g.input((5, k), name="left")), g(Sign(), g.input((7, k), name="right"))
    return g.model(y, z, t, g(BinaryMatMul(), left, right, name="matmul"))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("k", "n"), [(1, 1), (64, 65), (200, 33), (512, 130), (1000, 16)])
def test_all_roads_lead_to_the_same_bits(isa, k, n):
    rng = np.random.default_rng(k)
    model = network(rng, k, n)
    data = model.to_bytes()
    for batch in (1, 2, 3, 7, 33):
        xs = [rng.standard_normal((batch, k)).astype(np.float32), rng.integers(0, 256, (batch, 6, 5, 3), np.uint8)]
        xs += [rng.standard_normal((batch, rows, k)).astype(np.float32) for rows in (5, 7)]
        wanted = model.reference(xs)
        for road in ROADS:
            for threads in (1, 3):
                choices = {**_core.choices(isa), **road}
                plan = _core.Plan(data, isa, threads, 0, 0, threads // 2, choices=choices)
                found = [np.full(w.shape, 77, np.float32) for w in wanted]
                plan.run(xs, found, batch)
                for name, one, other in zip(("dense", "bytes", "thin", "matmul"), found, wanted, strict=True):
                    np.testing.assert_array_equal(one, other, err_msg=f"{name}, batch {batch}, {road}")


@pytest.mark.parametrize("isa", ISAS)
def test_the_kernels_are_those_asked_for(isa):
    data = network(np.random.default_rng(0), 640, 20).to_bytes()

    def kernels(road, batch):
        plan = _core.Plan(data, isa, 1, 0, 0, choices={**_core.choices(isa), **road})
        return {info["name"]: info["kernel"].split(" ")[0] for info in plan.step_infos(batch)}

    assert kernels(ROADS[1], 50)["first"] == kernels(ROADS[1], 50)["matmul"] == "bgemv"
    assert kernels(ROADS[2], 1)["first"] == kernels(ROADS[2], 1)["matmul"] == "bgemm"
    narrow = {"vector_rows": 1, "vector_words": 10, "narrow_rows": 3, "narrow_outputs": 19}
    assert [kernels(narrow, batch)["second"] for batch in (1, 3, 4)] == ["bgemv", "bgemv", "bgemm"]
    assert [kernels(narrow, batch)["first"] for batch in (1, 2)] == ["bgemv", "bgemm"]
    assert kernels({**narrow, "vector_words": 11}, 1)["first"] == "bgemm"
    assert (kernels({"byte_depth": 0}, 1)["bytes"], kernels({"byte_depth": 27}, 1)["bytes"]) == ("bgemm", "igemm")
    for road, kernel in (({"thin_channels": 2}, "bgemm"), ({"thin_channels": 3}, "bdepth")):
        assert kernels(road, 1)["thin"] == kernels(road, 1)["thin to floats"] == kernel


@pytest.mark.parametrize(
    "wrong", [{"byte_depth": 4097}, {"winograd_width": 0}, {"winograd_kib": 1 << 17}, {"thin_channels": 65}]
)
def test_choices_out_of_range_are_refused(wrong):
    data = network(np.random.default_rng(0), 8, 8).to_bytes()
    with pytest.raises((InputError, ValueError), match="choices: out of range"):
        _core.Plan(data, "ref", 1, 0, 0, choices={**_core.choices("ref"), **wrong})
