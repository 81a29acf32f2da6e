# Shared by the run_*.sh scripts, which source it: tools, the self-test program, and one run of it on an emulated CPU.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# need TOOL PACKAGE: fails where TOOL is not installed.
need() {
    command -v "$1" >/dev/null && return
    echo "$(basename "$0"): $1 is missing (Debian package $2)" >&2
    exit 1
}

# The folder that the script may write to: its first argument, or a new one that goes away with the script.
work_folder() {
    if [ -n "${1:-}" ]; then
        mkdir -p "$1"
        work=$(cd "$1" && pwd)
    else
        work=$(mktemp -d)
        trap 'rm -rf "$work"' EXIT
    fi
}

# build_selftest COMPILER [cmake arguments]: the core as it is shipped and tests/c/selftest_main.c, to $work/selftest.
build_selftest() {
    local compiler=$1
    shift
    cmake -S "$repository" -B "$work/core" -DCMAKE_BUILD_TYPE=Release "$@" >"$work/cmake.log" ||
        { cat "$work/cmake.log" >&2; return 1; }
    cmake --build "$work/core" -j 2 >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; return 1; }
    "$compiler" -std=c11 -O2 -Wall -Wextra -Wpedantic -Werror -static "$repository/tests/c/selftest_main.c" \
        "$work/core/libbnncore.a" -lm -pthread -o "$work/selftest"
}

# selftest_on EMULATOR CPU ISA: the CPU binds ISA, and every kernel that it can run agrees with ref.
selftest_on() {
    echo "== $1 -cpu $2, expecting $3"
    "$1" -cpu "$2" "$work/selftest" "$3" "${BNN_SELFTEST_ROUNDS:-200}" && return
    echo "$(basename "$0"): failed on $2" >&2
    failed=1
}
