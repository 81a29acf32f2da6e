"""The engine: one packed file, loaded and planned for this CPU, ready to predict from any number of threads."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bnnengine import _core
from bnnengine.errors import InputError, InputTypeError, IsaError
from bnnengine.spec import TensorSpec
from bnnengine.threads import default_num_threads

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


@dataclass(frozen=True)
class StepProfile:
    """What one step took: `ms` a call, `share` of the whole, and `gmacs_per_second` (None for a step without sums).

    `within` is the step in whose pass this one runs, pixel by pixel, and whose time has its own; None for a step that
    has a time of its own.
    """

    name: str
    op: str
    kernel: str
    ms: float
    share: float
    macs: int
    gmacs_per_second: float | None
    within: str | None = None


@dataclass(frozen=True)
class Profile:
    """The steps of a network, timed one by one on this machine; `ms` is the sum, for one batch of `batch` samples."""

    batch: int
    ms: float
    steps: tuple[StepProfile, ...]

    def __str__(self) -> str:
        """One line a step."""
        lines = [f"{'layer':<24} {'kernel':<14} {'us':>9} {'share':>7} {'GMAC/s':>8}"]
        for s in self.steps:
            if s.within is not None:
                lines.append(f"{s.name[:24]:<24} {s.kernel:<14} in {s.within}")
                continue
            rate = "" if s.gmacs_per_second is None else f"{s.gmacs_per_second:8.1f}"
            lines.append(f"{s.name[:24]:<24} {s.kernel:<14} {s.ms * 1e3:9.2f} {s.share:7.1%} {rate:>8}")
        return "\n".join(lines)

    def chrome_trace(self) -> str:
        """JSON for chrome://tracing or Perfetto (Trace Event Format): one complete event a step, laid end to end."""
        import json  # here, as a service that never asks for it should start without

        events, start = [], 0.0
        for s in self.steps:
            arguments = {"kernel": s.kernel, "macs": s.macs}
            events.append({"name": s.name, "cat": s.op, "ph": "X", "ts": start, "dur": s.ms * 1e3, "pid": 0, "tid": 0,
                           "args": arguments})  # fmt: skip
            start += s.ms * 1e3
        return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"})


class Engine:
    """Runs one binarized network.

    Use `Engine.load`. An Engine may be used from many Python threads at once: `predict` releases the GIL, and each
    caller runs in memory of its own. It may be pickled, and used after a fork. It never prints.

    Attributes:
        inputs: a `TensorSpec` for each input; shapes are without the batch.
        outputs: a `TensorSpec` for each output.
        metadata: what the file says of itself: labels, preprocessing, producer, licence and so on, all strings.
        isa: the instruction set that the plan is bound to: "ref", "avx2", "avx512bw", "avx512" or "neon".
        num_threads: the threads that one call may use.
    """

    def __init__(
        self, data: bytes | bytearray | memoryview, *, num_threads: int | None = None, isa: str | None = None,
        max_bytes: int | None = None, max_macs: int | None = None, fast_math: bool = False,
    ) -> None:  # fmt: skip
        """Use `Engine.load`, which says what the arguments are."""
        # as they were given: what is left to the machine is so again where a pickle arrives
        self._options = {"num_threads": num_threads, "isa": isa, "max_bytes": max_bytes, "max_macs": max_macs,
                         "fast_math": fast_math}  # fmt: skip
        if num_threads is None:
            num_threads = default_num_threads()
        whole = isinstance(num_threads, (int, np.integer)) and not isinstance(num_threads, bool)
        if not whole or not 1 <= num_threads <= 256:
            raise ValueError(f"num_threads: got {num_threads!r}, wanted a whole number from 1 to 256")
        if isa is None:
            isa = os.environ.get("BNNENGINE_ISA") or None
        if isa is not None and not isinstance(isa, str):
            raise IsaError(f"isa: got {isa!r}, wanted the name of an instruction set or None")
        for name, limit in (("max_bytes", max_bytes), ("max_macs", max_macs)):
            if limit is not None and not 1 <= limit < 1 << 64:
                raise ValueError(f"{name}: got {limit!r}, wanted a whole number from 1 to 2**64 - 1, or None")
        self._plan = _core.Plan(data, isa, num_threads, max_bytes or 0, max_macs or 0, fast_math=bool(fast_math))
        self.inputs = tuple(TensorSpec(*value) for value in self._plan.inputs)
        self.outputs = tuple(TensorSpec(*value) for value in self._plan.outputs)
        self.metadata: dict[str, str] = self._plan.metadata
        self.isa: str = self._plan.isa
        self.num_threads: int = self._plan.num_threads
        self._in = [(s.name, np.dtype(s.dtype), s.shape, len(s.shape) + 1) for s in self.inputs]
        self._out = [(s.name, np.dtype(s.dtype), s.shape) for s in self.outputs]

    @classmethod
    def load(
        cls, source: str | os.PathLike[str] | bytes | bytearray | memoryview, *, num_threads: int | None = None,
        isa: str | None = None, max_bytes: int | None = None, max_macs: int | None = None, fast_math: bool = False,
    ) -> Engine:  # fmt: skip
        """Loads a .bnn file, checks all of it, and plans it for this CPU.

        Args:
            source: a path, or the bytes of a file.
            num_threads: threads that one call of `predict` may use; by default BNNENGINE_NUM_THREADS, or else the CPUs
                that this process may use. A small network runs on one thread whatever is given here.
            isa: "ref", "avx2", "avx512bw", "avx512" or "neon"; by default BNNENGINE_ISA, or else the best that the CPU
                has.
            max_bytes: refuse a network that needs more memory than this, for its plan or for one caller (8 GiB).
            max_macs: refuse a network with more multiply-accumulates a sample than this (no limit).
            fast_math: float32 convolutions with rows of 3 taps or more, such as the stem of a binary ResNet, may take
                about half the products (Winograd's minimal filtering, arXiv:1509.09308). Their sums are then rounded
                in other places, with up to two and a half times the error of direct float32 sums; what is binary stays
                exact.

        Raises:
            OSError: the file cannot be read.
            FormatError, VersionError: not a .bnn file, a damaged one, or one of a newer version.
            ModelError: the network in it cannot be.
            LimitError: it needs more than the limits allow.
            IsaError: the instruction set is unknown or cannot run here.
        """
        if isinstance(source, (str, os.PathLike)):
            with open(source, "rb") as file:
                source = file.read()
        return cls(
            source, num_threads=num_threads, isa=isa, max_bytes=max_bytes, max_macs=max_macs, fast_math=fast_math
        )

    def predict(
        self, x: npt.ArrayLike | Sequence[npt.ArrayLike] | Mapping[str, npt.ArrayLike],
        out: Array | Sequence[Array] | None = None,
    ) -> Any:  # fmt: skip
        """Runs the network on a batch.

        Args:
            x: array (N, *input_shape) of the input's dtype, N from 0 up; for a network of several inputs a sequence of
                such arrays, or a mapping by name.
            out: array (N, *output_shape) to write into, C-contiguous (for several outputs, a sequence of them); none of
                it may be memory of an input or of another output.

        Returns:
            Array (N, *output_shape), or `out`; a tuple of arrays for a network of several outputs.

        Raises:
            InputTypeError: an array of the wrong dtype.
            InputError: an array of the wrong shape, or an `out` that cannot be written to.
        """
        xs = self._arrays(x)
        batch = xs[0].shape[0]
        outs = self._buffers(out, batch)
        if batch:
            self._plan.run(xs, outs, batch)
        return outs[0] if len(outs) == 1 else tuple(outs)

    __call__ = predict

    def _arrays(self, x: Any) -> list[Array]:
        if len(self._in) == 1 and not isinstance(x, Mapping):
            return [self._array(x, *self._in[0])]
        if isinstance(x, Mapping):
            names = [name for name, *_ in self._in]
            if set(x) != set(names):
                raise InputError(f"inputs: got {sorted(x)}, wanted {names}")
            x = [x[name] for name in names]
        if not isinstance(x, (list, tuple)) or len(x) != len(self._in):
            raise InputError(f"inputs: wanted a sequence of {len(self._in)} arrays, or a mapping by name")
        xs = [self._array(item, *spec) for item, spec in zip(x, self._in, strict=True)]
        if any(a.shape[0] != xs[0].shape[0] for a in xs):
            raise InputError(f"inputs: batch sizes differ: {[a.shape[0] for a in xs]}")
        return xs

    @staticmethod
    def _array(x: Any, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], rank: int) -> Array:
        if type(x) is not np.ndarray:
            x = np.asarray(x)
        if x.dtype != dtype:
            raise InputTypeError(
                f"input {name!r}: dtype: got {x.dtype}, wanted {dtype}: convert it, or scale it as in training"
            )
        if x.ndim != rank or x.shape[1:] != shape:
            wanted = "(N, " + "".join(f"{n}, " for n in shape).rstrip(" ").rstrip(",") + ")" if shape else "(N,)"
            hint = ": add a batch axis, x[None]" if x.shape == shape else ""
            raise InputError(f"input {name!r}: shape: got {x.shape}, wanted {wanted}{hint}")
        if not (x.flags.c_contiguous and x.flags.aligned):
            x = np.require(x, requirements=["C", "A"])
        return x  # type: ignore[no-any-return]

    def _buffers(self, out: Any, batch: int) -> list[Array]:
        if out is None:
            return [np.empty((batch, *shape), dtype) for _, dtype, shape in self._out]
        outs = list(out) if isinstance(out, (list, tuple)) else [out]
        if len(outs) != len(self._out):
            raise InputError(f"out: got {len(outs)} arrays, wanted {len(self._out)}")
        for array, (name, dtype, shape) in zip(outs, self._out, strict=True):
            if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != (batch, *shape):
                got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
                raise InputError(f"out for {name!r}: got {got}, wanted {dtype} {(batch, *shape)}")
            if not (array.flags.c_contiguous and array.flags.writeable and array.flags.aligned):
                raise InputError(f"out for {name!r}: must be C-contiguous, aligned and writeable")
        return outs

    def warmup(self, batch: int = 1) -> None:
        """Runs once on zeros, so that memory is there and caches are warm before the first request."""
        self.predict([np.zeros((batch, *shape), dtype) for _, dtype, shape, _ in self._in] if len(self._in) > 1 else
                     np.zeros((batch, *self._in[0][2]), self._in[0][1]))  # fmt: skip

    def profile(self, x: Any, *, seconds: float = 0.5) -> Profile:
        """Times each step on the batch `x`, repeatedly for about `seconds`, and takes each step's least time."""
        xs = self._arrays(x)
        batch = xs[0].shape[0]
        if batch == 0:
            raise InputError("profile: wanted at least one sample")
        outs = self._buffers(None, batch)
        least: list[int] = []
        end = time.perf_counter() + seconds
        while not least or time.perf_counter() < end:
            times: list[int] = []
            self._plan.run(xs, outs, batch, times)
            least = times if not least else [min(pair) for pair in zip(least, times, strict=True)]
        total = max(sum(least), 1)
        steps = []
        infos = self._plan.step_infos(batch)
        for number, (info, ns) in enumerate(zip(infos, least, strict=True)):
            macs, kernel = info["macs"] * batch, info["kernel"]
            rate = macs / ns if macs and ns else None
            within = None if info["pass_step"] == number else infos[info["pass_step"]]["name"]
            steps.append(StepProfile(info["name"], info["op"], kernel, ns / 1e6, ns / total, macs, rate, within))
        return Profile(batch, total / 1e6, tuple(steps))

    def summary(self) -> str:
        """The network as text: inputs, steps with their kernels, outputs, memory."""
        info = self._plan.info()
        lines = [f"{self.metadata.get('name', 'network')}: isa {self.isa}, {self.num_threads} thread(s)"]
        lines += [f"  input  {s.name}: {s.dtype} {s.shape}" for s in self.inputs]
        lines += [
            f"  {s['name']:<24} {s['op']:<20} {s['kernel']:<14} {s['macs'] / 1e6:9.3f} MMAC"
            for s in self._plan.step_infos()
        ]
        lines += [f"  output {s.name}: {s.dtype} {s.shape}" for s in self.outputs]
        lines.append(
            f"  memory: tables and packed weights {info['weight_bytes']:,} bytes; values {info['arena_bytes']:,} bytes "
            f"a sample (at least {info['arena_bound']:,}), {info['chunk']} sample(s) at once; "
            f"scratch {info['scratch_bytes']:,} bytes a thread"
        )
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Inputs, outputs and instruction set."""
        shapes = ", ".join(f"{s.name}: {s.dtype} {s.shape}" for s in (*self.inputs, *self.outputs))
        return f"<bnnengine.Engine {shapes}; isa {self.isa}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as the file's bytes and the options; the copy is planned anew for the CPU that it arrives on."""
        return _unpickle, (self._plan.data(), self._options)


def _unpickle(data: bytes, options: dict[str, Any]) -> Engine:
    return Engine(data, **options)
