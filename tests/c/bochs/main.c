/* The core's self-test without an operating system: what it finds goes to the serial line.
 *
 * Every line of kernels.def that this CPU can run is compared with ref. The last line says "done"; a fault resets the
 * machine before it.
 */
#include "../../../src/bnncore/selftest.h"

#ifndef ROUNDS
#define ROUNDS 20
#endif

enum { SERIAL = 0x3F8, LINE_CONTROL = SERIAL + 3, LINE_STATUS = SERIAL + 5, POWER = 0x8900 };
enum { EIGHT_BITS = 3, READY = 0x20, IDLE = 0x40 };

static inline void out(uint16_t port, uint8_t value) { __asm__ volatile("outb %1, %0" : : "Nd"(port), "a"(value)); }

static inline uint8_t in(uint16_t port) {
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void print(const char *text) {
    for (; *text; text++) {
        while (!(in(LINE_STATUS)&READY)) {
        }
        out(SERIAL, (uint8_t)*text);
    }
}

static void print_number(uint32_t n) {
    char digits[12], *d = digits + sizeof digits - 1;
    *d = 0;
    do *--d = (char)('0' + n % 10);
    while (n /= 10);
    print(d);
}

/* What compilers take for granted, and what the core calls. The string instructions are much faster in an emulator. */
void *memcpy(void *to, const void *from, size_t n) {
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
    return to;
}

void *memset(void *to, int value, size_t n) {
    void *at = to;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(value) : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t n) {
    const unsigned char *x = a, *y = b;
    while (n >= 8 && *(const uint64_t *)(const void *)x == *(const uint64_t *)(const void *)y) x += 8, y += 8, n -= 8;
    for (; n; n--, x++, y++)
        if (*x != *y) return *x < *y ? -1 : 1;
    return 0;
}

int strcmp(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

static const struct {
    const char *family, *isa;
} variants[] = {
#define BNN_KERNEL(family, isa) {#family, #isa},
#include "../../../src/bnncore/kernels/kernels.def"
#undef BNN_KERNEL
};

static _Alignas(BNN_ALIGN) unsigned char memory[16 << 20];

static void compare(const char *family, bnn_isa isa) {
    bnn_selftest_report report;
    print("variant ");
    print(family);
    print(" ");
    print(bnn_isa_name(isa));
    if (bnn_selftest_run(family, isa, ROUNDS, 1, memory, &report) != 0) {
        print(": the self-test does not know it\n");
        return;
    }
    print(": ");
    print_number(report.cases);
    print(" cases, ");
    print_number(report.mismatches);
    print(" differ ");
    print(report.first);
    print("\n");
}

void kernel_main(void) {
    out(LINE_CONTROL, EIGHT_BITS);
    print("bound ");
    print(bnn_isa_name(bnn_isa_best()));
    print("\n");
    if (bnn_selftest_bytes() > sizeof memory) {
        print("too little memory\n");
    } else {
        for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
            int isa = bnn_isa_from_name(variants[i].isa);
            if (bnn_isa_supported((bnn_isa)isa)) compare(variants[i].family, (bnn_isa)isa);
        }
        print("done\n");
    }
    while (!(in(LINE_STATUS)&IDLE)) {
    }
    for (const char *word = "Shutdown"; *word; word++) out(POWER, (uint8_t)*word); /* Bochs ends on this */
}
