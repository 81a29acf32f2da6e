"""Copies the installed OpenVINO into DIR and hides AVX-512 from the copy, so that it takes its AVX2 kernels.

    python benchmarks/hide_avx512.py DIR

OpenVINO asks which registers the system saves (the instruction xgetbv) and has no setting to ask for less. In the copy
that instruction is replaced by one that answers "SSE and AVX, no more", as on an AVX2 machine: push 7; pop rax.
"""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

ASK, ANSWER = b"\x31\xc9\x0f\x01\xd0", b"\x31\xc9\x6a\x07\x58"  # xor ecx, ecx; then xgetbv, or push 7 and pop rax


def main() -> None:
    """Makes the copy."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = find_spec("openvino")
    if found is None or found.origin is None:
        sys.exit("openvino is not installed: pip install openvino")
    target = Path(sys.argv[1]) / "openvino"
    shutil.copytree(Path(found.origin).parent, target)
    changed = 0
    for library in target.glob("libs/*.so*"):
        data = library.read_bytes()
        if ASK in data:
            library.write_bytes(data.replace(ASK, ANSWER))
            changed += data.count(ASK)
    print(
        f"{target}: {changed} places changed; run conv3x3.py --openvino {sys.argv[1]} and look at the kernel it names"
    )


if __name__ == "__main__":
    main()
