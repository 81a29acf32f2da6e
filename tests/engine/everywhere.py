"""A network against its reference, on every instruction set, with helper threads and without."""

import numpy as np

from bnnengine import _core


def whole(rng, *shape):
    """Whole numbers from -8 to 8, sums and small products of which are exact in float32."""
    return rng.integers(-8, 9, shape).astype(np.float32)


def run_everywhere(model, *xs, exact=True, each=False, fast_math=False):
    """Every instruction set, on one thread and with every pass shared by three, whose results must be the same.

    Against the reference, outputs must be equal, or, where not exact, within 1e-5 of the largest, or, with `each`, of
    themselves or 0.1. Returns the last plan.
    """
    expected = model.reference(xs[0] if len(xs) == 1 else xs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    data = model.to_bytes()
    for isa in _core.isas():
        found = []
        for threads in (1, 3):
            plan = _core.Plan(data, isa, threads, 0, 0, threads // 2, fast_math=fast_math)
            found.append([np.full(e.shape, 77, e.dtype) for e in expected])
            plan.run([np.ascontiguousarray(x) for x in xs], found[-1], len(xs[0]))
            info = plan.info()
            assert info["arena_bytes"] <= 1.3 * info["arena_bound"]
        for one, three, wanted in zip(*found, expected, strict=True):
            np.testing.assert_array_equal(one, three, err_msg=f"{isa}: threads change the result")
            if exact:
                np.testing.assert_array_equal(one, wanted, err_msg=isa)
            elif each:
                np.testing.assert_allclose(one, wanted, rtol=1e-5, atol=1e-6, err_msg=isa)
            else:
                largest = np.abs(wanted, where=np.isfinite(wanted), out=np.zeros_like(wanted)).max()
                np.testing.assert_allclose(one, wanted, rtol=0, atol=1e-5 * (largest or 1.0), err_msg=isa)
    return plan
