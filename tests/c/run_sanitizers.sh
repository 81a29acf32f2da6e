#!/usr/bin/env bash
# The C core under AddressSanitizer, UndefinedBehaviorSanitizer, LeakSanitizer and ThreadSanitizer: its promises, its
# numbers, every allocation failing, 100,000 mutated files, and a fuzzer for a minute. Fails on the first finding.
#   tests/c/run_sanitizers.sh [build folder]
set -euo pipefail
source "$(dirname "$0")/rig.sh"

need cmake cmake
need clang-19 clang-19
kept=${1:-}
work_folder "$kept"
tests=$repository/tests/c
started=$SECONDS

# library FOLDER FLAGS: the core, instrumented.
library() {
    cmake -S "$repository" -B "$work/$1" -DCMAKE_C_COMPILER=clang-19 -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS="$2" \
        >"$work/cmake.log" || { cat "$work/cmake.log" >&2; return 1; }
    cmake --build "$work/$1" --target bnncore -j 2 >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; return 1; }
}

# program NAME LIBRARY FLAGS: tests/c/NAME.c with what it shares with the others.
program() {
    # shellcheck disable=SC2086
    clang-19 -std=c11 -O1 -Wall -Wextra -Wpedantic -Wshadow -Werror -ffp-contract=off -D_POSIX_C_SOURCE=200809L $3 \
        -I"$repository/src/bnncore" -I"$tests" "$tests/$1.c" "$tests"/support/*.c "$work/$2/libbnncore.a" -lm -pthread \
        -o "$work/$1" || { echo "run_sanitizers.sh: $1 was not built; is libclang-rt-19-dev there?" >&2; return 1; }
}

# watch SECONDS PROGRAM [arguments]: runs in the build folder, where findings leave their files.
watch() {
    local limit=$1
    shift
    echo "== $* ($((SECONDS - started)) s)"
    (cd "$work" && timeout --signal=QUIT "$limit" "./$@") ||
        { echo "run_sanitizers.sh: $1 failed, or took more than $limit s; see $work" >&2; return 1; }
}

export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1

common="-g -fno-omit-frame-pointer"
address="$common -fsanitize=address,undefined,float-cast-overflow,fuzzer-no-link -fno-sanitize-recover=all"
thread="$common -fsanitize=thread"
wrapped=malloc,calloc,realloc,aligned_alloc,free,pthread_create

echo "== build"
library address "$address"
program fuzz_model address "$address -fsanitize=fuzzer"
program mutate_model address "$address"
for name in test_core test_limits test_exact test_graphs; do program "$name" address "$address"; done
program test_memory address "$address -Wl,--wrap=${wrapped//,/,--wrap=}"

# The fuzzer has a core to itself while the rest goes on.
rm -rf "$work/corpus"
mkdir -p "$work/corpus"
watch 60 mutate_model --seeds corpus 400
fuzz_log=$work/fuzz.log
(cd "$work" && timeout 150 ./fuzz_model -max_total_time=60 -max_len=8192 -timeout=10 -rss_limit_mb=2048 \
    -print_final_stats=1 -artifact_prefix=fuzz- corpus >"$fuzz_log" 2>&1) &
fuzzer=$!
trap 'kill "$fuzzer" 2>/dev/null || true; [ -n "$kept" ] || rm -rf "$work"' EXIT

library thread "$thread"
program test_threads thread "$thread"
watch 120 test_threads 100
watch 120 test_core
watch 60 test_limits
watch 120 test_memory 150
watch 120 test_exact 2000
watch 180 test_graphs 1500
watch 180 mutate_model 100000

echo "== fuzz_model, for 60 s ($((SECONDS - started)) s)"
wait "$fuzzer" || { tail -n 60 "$fuzz_log" >&2; echo "run_sanitizers.sh: fuzz_model found something; see $work" >&2; exit 1; }
runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$fuzz_log")
grep '^stat::' "$fuzz_log"
[ "${runs:-0}" -ge 5000 ] || { echo "run_sanitizers.sh: only ${runs:-0} runs of fuzz_model: too few to tell" >&2; exit 1; }
echo "run_sanitizers.sh: nothing found in $((SECONDS - started)) s"
