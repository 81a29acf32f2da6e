"""A network against its reference, on every instruction set, with helper threads and without."""

import numpy as np

from bnnengine import _core


def run_everywhere(model, xs, exact=True):
    """Every instruction set, one thread and three, batch in one chunk, against the reference."""
    expected = model.reference(xs[0] if len(xs) == 1 else xs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    data = model.to_bytes()
    for isa in _core.isas():
        for plan in (_core.Plan(data, isa, 1, 0, 0), _core.Plan(data, isa, 3, 0, 0, 1)):
            outs = [np.full(e.shape, 77, e.dtype) for e in expected]
            plan.run([np.ascontiguousarray(x) for x in xs], outs, len(xs[0]))
            info = plan.info()
            assert info["arena_bytes"] <= 1.3 * info["arena_bound"]
            for got, wanted in zip(outs, expected, strict=True):
                if exact:
                    np.testing.assert_array_equal(got, wanted, err_msg=isa)
                else:
                    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6, err_msg=isa)
    return plan
