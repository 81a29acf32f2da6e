#!/usr/bin/env bash
# The core's self-test on emulated AArch64 cores, old and new: NEON is bound and its kernels agree with ref.
#   tests/c/run_aarch64.sh [build folder]
set -euo pipefail
source "$(dirname "$0")/rig.sh"

need cmake cmake
need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
need qemu-aarch64 qemu-user
work_folder "${1:-}"
build_selftest aarch64-linux-gnu-gcc -DCMAKE_TOOLCHAIN_FILE="$repository/cmake/aarch64-linux-gnu.cmake"

failed=0
for cpu in cortex-a53 cortex-a72 neoverse-n1 max; do
    selftest_on qemu-aarch64 "$cpu" neon
done
exit "$failed"
