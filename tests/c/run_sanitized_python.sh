#!/usr/bin/env bash
# Python tests over the C core under AddressSanitizer and UndefinedBehaviorSanitizer: graphs, operators, mutated files.
#   tests/c/run_sanitized_python.sh [build folder]
set -euo pipefail
source "$(dirname "$0")/rig.sh"

need gcc gcc
work_folder "${1:-}"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q numpy pytest hypothesis
"$work/venv/bin/pip" install -q -C cmake.define.BNN_SANITIZE=ON "$repository"
cd "$repository"
# Python itself leaks by design, so leaks are for run_sanitizers.sh to find
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
LD_PRELOAD=$(gcc -print-file-name=libasan.so) "$work/venv/bin/python" -m pytest -q -p no:cacheprovider \
    tests/modelfile/test_reader_mutations.py tests/modelfile/test_reader_rules.py \
    tests/engine/test_graphs.py tests/engine/test_links.py tests/engine/test_structural.py \
    tests/engine/test_float_ops.py
