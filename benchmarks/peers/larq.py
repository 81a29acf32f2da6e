"""Larq Compute Engine in a process of its own, with its own Python; this file is also that process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


class Larq:
    """A network in that process; time(seconds) gives the least time of a run."""

    def __init__(self, python: str, copy: str | None, model: Path, threads: int, indirect: bool) -> None:
        """Starts it.

        Args:
            python: has larq-compute-engine installed.
            copy: a folder of hide_avx512.py to take the package from instead.
            model: a .tflite file.
            threads: that it may use.
            indirect: the setting of its binary GEMM.
        """
        command = [python, __file__, str(model), str(threads), str(int(indirect))]
        environment = {**os.environ, **({} if copy is None else {"PYTHONPATH": copy})}
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if self._answer() != "ready":
            raise RuntimeError(f"{' '.join(command)} did not start")

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def time(self, seconds: float) -> float:
        """The least time of one run, in seconds, over about `seconds`."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Answers each number of seconds on standard input with a least time."""
    import importlib.util
    import time

    import numpy as np

    # the interpreter alone: the package itself would import TensorFlow
    folder = importlib.util.find_spec("larq_compute_engine").submodule_search_locations[0]
    path = next(Path(folder).glob("tflite/python/interpreter_wrapper_lite*.so"))
    spec = importlib.util.spec_from_file_location("interpreter_wrapper_lite", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model, threads, indirect = Path(sys.argv[1]).read_bytes(), int(sys.argv[2]), bool(int(sys.argv[3]))
    use_reference, use_xnnpack = False, True
    interpreter = module.LiteInterpreter(model, threads, use_reference, indirect, use_xnnpack)
    shape = interpreter.input_shapes[0]
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    interpreter.predict([x])
    print("ready", flush=True)
    for line in sys.stdin:
        best, end = float("inf"), time.perf_counter() + float(line)
        while time.perf_counter() < end:
            start = time.perf_counter()
            interpreter.predict([x])
            best = min(best, time.perf_counter() - start)
        print(best, flush=True)


if __name__ == "__main__":
    main()
