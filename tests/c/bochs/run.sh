#!/usr/bin/env bash
# The core's self-test on x86-64 CPUs that Bochs emulates, down to AVX-512, in an image that boots without a system: the
# object files are those that are shipped.
#   tests/c/bochs/run.sh [build folder]
# Each CPU must bind the expected instruction set, run every variant up to it and none above, and find no difference.
# BNN_SELFTEST_ROUNDS sets the random cases of each variant (20).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../rig.sh"

need cmake cmake
need cc gcc
need bochs bochs
need grub-mkrescue grub-common
need xorriso xorriso
need mformat mtools
for file in /usr/share/bochs/BIOS-bochs-latest /usr/share/bochs/VGABIOS-lgpl-latest /usr/lib/grub/i386-pc/multiboot.mod; do
    [ -e "$file" ] || { echo "run.sh: $file is missing (Debian packages bochsbios, vgabios, grub-pc-bin)" >&2; exit 1; }
done
work_folder "${1:-}"

build_image() {
    cmake -S "$repository" -B "$work/core" -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS="-fno-stack-protector -U_FORTIFY_SOURCE"
    cmake --build "$work/core" --target bnncore -j 2
    local flags=(-std=c11 -O2 -Wall -Wextra -Wpedantic -Werror -ffreestanding -fno-pic -mno-red-zone -mgeneral-regs-only
        -fno-stack-protector -fno-tree-loop-distribute-patterns -DROUNDS="${BNN_SELFTEST_ROUNDS:-20}")
    cc "${flags[@]}" -c "$here/main.c" -o "$work/main.o"
    cc -c "$here/start.S" -o "$work/start.o"
    cc -nostdlib -static -no-pie -Wl,-T,"$here/image.ld" -Wl,--build-id=none -Wl,-z,noexecstack \
        "$work/start.o" "$work/main.o" "$work/core/libbnncore.a" -lgcc -o "$work/image.elf64"
    mkdir -p "$work/disc/boot/grub"
    objcopy -O elf32-i386 "$work/image.elf64" "$work/disc/boot/image.elf"
    printf 'set timeout=0\nmenuentry selftest { multiboot /boot/image.elf\n boot }\n' >"$work/disc/boot/grub/grub.cfg"
    grub-mkrescue -o "$work/boot.iso" "$work/disc"
}

# The variants that a CPU with the instruction sets $* runs, as kernels.def lists them.
variants_of() {
    local isa
    for isa in "$@"; do sed -n "s/^BNN_KERNEL(\([a-z]*\), $isa)\$/\1 $isa/p" "$repository/src/bnncore/kernels/kernels.def"; done | sort
}

# check MODEL ISA...: the instruction sets that the model has, the strongest last.
check() {
    local model=$1 serial=$work/$1.serial bound=${*: -1}
    shift
    echo "== Bochs, $model, expecting $bound"
    rm -f "$serial" "$work/boot.iso.lock"
    # its exit status says nothing: 1 after the shutdown that the image asks for
    (cd "$work" && echo c >commands && timeout "${BNN_BOCHS_SECONDS:-300}" bochs -q -f "$here/bochsrc" -rc commands \
        "cpu: model=$model, count=1, ips=200000000, reset_on_triple_fault=0" \
        "ata0-master: type=cdrom, path=boot.iso, status=inserted" \
        "com1: enabled=1, mode=file, dev=$serial" "log: $model.log" </dev/null >"$model.out" 2>&1) || true
    [ -e "$serial" ] || { echo "run.sh: $model wrote nothing" >&2; tail -n 20 "$work/$model.out" >&2; failed=1; return; }
    cat "$serial"
    local good=1
    [ "$(head -n 1 "$serial")" = "bound $bound" ] || { echo "run.sh: $model does not bind $bound" >&2; good=0; }
    [ "$(tail -n 1 "$serial")" = done ] || { echo "run.sh: $model did not come to the end" >&2; good=0; }
    if ! diff <(variants_of "$@") <(sed -n 's/^variant \([a-z]* [a-z0-9]*\): [1-9][0-9]* cases, 0 differ $/\1/p' "$serial" | sort); then
        echo "run.sh: $model: < lacks a good result, > should not have run" >&2
        good=0
    fi
    [ $good = 1 ] || failed=1
}

build_image >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log" >&2; exit 1; }

failed=0
check corei7_icelake_u ref avx2 avx512bw avx512
check corei7_skylake_x ref avx2 avx512bw
check corei7_haswell_4770 ref avx2
check core2_penryn_t9600 ref
exit "$failed"
