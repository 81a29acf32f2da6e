#!/usr/bin/env bash
# The Python package, cross-built for AArch64, with Debian's Python, numpy and pytest for AArch64 under qemu.
#   tests/c/run_aarch64_python.sh [build folder [pytest arguments]]
# Without pytest arguments: the tests of the kernels, the layers and the engine. PYTHON names the interpreter that builds;
# Debian must have the same minor version. A build folder that is used again keeps the emulated tree (about 250 MB).
set -euo pipefail
source "$(dirname "$0")/rig.sh"

need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
need qemu-aarch64 qemu-user
need apt-get apt
need dpkg dpkg
work_folder "${1:-}"
tests=("${@:2}")
[ "${#tests[@]}" -gt 0 ] || tests=(tests/kernels tests/layers tests/engine)
python=${PYTHON:-python3}
minor=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
tag=cp${minor/./}
tree=$work/tree

quietly() { "$@" >"$work/step.log" 2>&1 || { tail -n 40 "$work/step.log" >&2; echo "$(basename "$0"): $1 failed" >&2; exit 1; }; }

# Debian's packages for arm64, through a state of their own: the machine's package database is not touched.
fetch_debian() {
    mkdir -p "$work"/apt/{lists/partial,archives/partial} "$tree"
    : >"$work/apt/status"
    echo "deb http://deb.debian.org/debian $(. /etc/os-release && echo "$VERSION_CODENAME") main" >"$work/apt/sources.list"
    local apt=(apt-get -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State="$work/apt"
        -o Dir::State::lists="$work/apt/lists" -o Dir::State::status="$work/apt/status" -o Dir::Cache="$work/apt"
        -o Dir::Cache::archives="$work/apt/archives" -o Dir::Etc::SourceList="$work/apt/sources.list"
        -o Dir::Etc::SourceParts=/dev/null -o APT::Sandbox::User=root)
    quietly "${apt[@]}" update
    quietly "${apt[@]}" install -y --no-install-recommends --download-only "python$minor" libstdc++6
    for package in "$work"/apt/archives/*.deb; do dpkg -x "$package" "$tree"; done
}

# Wheels for arm64: what the tests need beside the package.
fetch_wheels() {
    quietly "$python" -m pip download -q --only-binary=:all: --implementation cp --python-version "$minor" \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
        -d "$work/downloads" numpy pytest hypothesis
    for wheel in "$work"/downloads/*.whl; do "$python" -m zipfile -e "$wheel" "$tree/site"; done
}

emulated() {
    qemu-aarch64 -cpu neoverse-n1 -L "$tree" -E PYTHONHOME="$tree/usr" -E PYTHONPATH="$tree/site:$work/package" \
        -E PYTHONDONTWRITEBYTECODE=1 -E HYPOTHESIS_STORAGE_DIRECTORY="$work/hypothesis" "$tree/usr/bin/python$minor" "$@"
}

if [ ! -e "$tree/complete" ]; then
    rm -rf "$tree" "$work/apt" "$work/downloads"
    fetch_debian
    fetch_wheels
    # Importing numpy takes a quarter of the time with bytecode at hand, which is the same on every machine. Some files
    # of a standard library are broken on purpose, for its own tests.
    "$python" -m compileall -q "$tree/usr/lib/python$minor" "$tree/site" >"$work/step.log" 2>&1 || true
    touch "$tree/complete"
fi

# An environment of its own to build in, since pip must not take its tools for the target.
rm -rf "$work/package" "$work/wheel"
quietly "$python" -m venv "$work/build-environment"
quietly "$work/build-environment/bin/pip" install -q 'scikit-build-core>=0.10' 'cython>=3.0' cmake ninja
PATH="$work/build-environment/bin:$PATH" _PYTHON_HOST_PLATFORM=linux-aarch64 \
    SETUPTOOLS_EXT_SUFFIX=".cpython-${minor/./}-aarch64-linux-gnu.so" \
    quietly "$work/build-environment/bin/pip" wheel --no-deps --no-build-isolation -C build-dir="$work/extension" \
    -C cmake.define.CMAKE_TOOLCHAIN_FILE="$repository/cmake/aarch64-linux-gnu.cmake" -w "$work/wheel" "$repository"
"$python" -m zipfile -e "$work"/wheel/bnnengine-*-"$tag-$tag"-linux_aarch64.whl "$work/package"

cd "$repository"
bound=$(emulated -c 'import platform; from bnnengine import _core; print(platform.machine(), _core.isas()[-1])')
echo "bound: $bound"
[ "$bound" = "aarch64 neon" ] || { echo "$(basename "$0"): expected aarch64 neon" >&2; exit 1; }
emulated -m pytest -q -p no:cacheprovider "${tests[@]}"
