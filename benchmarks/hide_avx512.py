"""Copies the installed OpenVINO, or another package, into DIR and hides AVX-512 from the copy.

    python benchmarks/hide_avx512.py DIR [openvino | onnxruntime | larq_compute_engine]

They ask which registers the system saves (the instruction xgetbv) and have no setting to ask for less. In the copy
that instruction is replaced by one that answers "SSE and AVX, no more", as on an AVX2 machine: push 7; pop rax.
"""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

ASK, ANSWER = b"\x31\xc9\x0f\x01\xd0", b"\x31\xc9\x6a\x07\x58"  # xor ecx, ecx; then xgetbv, or push 7 and pop rax


def main() -> None:
    """Makes the copy."""
    if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    package = sys.argv[2] if len(sys.argv) == 3 else "openvino"
    found = find_spec(package)
    if found is None or found.origin is None:
        sys.exit(f"{package} is not installed: pip install {package}")
    target = Path(sys.argv[1]) / package
    shutil.copytree(Path(found.origin).parent, target)
    changed = 0
    for library in target.glob("**/*.so*"):
        data = library.read_bytes()
        if ASK in data:
            library.write_bytes(data.replace(ASK, ANSWER))
            changed += data.count(ASK)
    print(f"{target}: {changed} places changed; put it before the other with --{package} {sys.argv[1]}")


if __name__ == "__main__":
    main()
