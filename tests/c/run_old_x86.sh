#!/usr/bin/env bash
# The core's self-test on emulated x86-64 CPUs: those without AVX2 bind ref and meet no instruction that they lack.
#   tests/c/run_old_x86.sh [build folder]
set -euo pipefail
source "$(dirname "$0")/rig.sh"

need cmake cmake
need cc gcc
need qemu-x86_64 qemu-user
work_folder "${1:-}"
build_selftest cc

failed=0
for cpu in core2duo Nehalem SandyBridge; do
    selftest_on qemu-x86_64 "$cpu" ref
done
selftest_on qemu-x86_64 Haswell avx2
exit "$failed"
