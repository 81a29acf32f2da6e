# From GRUB's 32-bit protected mode (Multiboot 1) to C in 64-bit mode, with every vector state that the CPU has enabled.

.section .multiboot, "a"
.balign 4
    .long 0x1BADB002, 0, -0x1BADB002        # magic, flags, checksum

.section .bss
.balign 4096
level4:  .skip 4096
level3:  .skip 4096
level2:  .skip 4096
         .skip 65536
stack:

.section .rodata
.balign 8
segments:
    .quad 0
    .quad 0x00209A0000000000                # 8: 64-bit code
    .quad 0x0000920000000000                # 16: data
segments_at:
    .word segments_at - segments - 1
    .long segments

.text
.code32
.globl _start
_start:
    cli
    mov $stack, %esp

    # the first GiB, mapped to itself in pages of 2 MiB: present, writable, large
    movl $(level3 + 3), level4
    movl $(level2 + 3), level3
    xor %ecx, %ecx
map:
    mov %ecx, %eax
    shl $21, %eax
    or $0x83, %eax
    mov %eax, level2(, %ecx, 8)
    inc %ecx
    cmp $512, %ecx
    jne map
    mov $level4, %eax
    mov %eax, %cr3

    mov $1, %eax                            # does the CPU have XSAVE?
    cpuid
    mov %ecx, %edi
    and $(1 << 26), %edi

    mov %cr4, %eax
    or $0x620, %eax                         # PAE, OSFXSR, OSXMMEXCPT
    test %edi, %edi
    jz old
    or $0x40000, %eax                       # OSXSAVE
old:
    mov %eax, %cr4
    mov $0xC0000080, %ecx                   # EFER: LME
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    and $~0xC, %eax                         # no EM, no TS
    or $0x80000003, %eax                    # PG, MP, PE
    mov %eax, %cr0
    lgdt segments_at
    ljmp $8, $long_mode

.code64
long_mode:
    mov $16, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    test %edi, %edi
    jz go
    mov $0xD, %eax                          # what XCR0 can hold: x87, SSE, AVX, AVX-512 are wanted
    xor %ecx, %ecx
    cpuid
    and $0xE7, %eax
    xor %edx, %edx
    xor %ecx, %ecx
    xsetbv
go:
    mov $stack, %rsp
    call kernel_main
stop:
    hlt
    jmp stop
