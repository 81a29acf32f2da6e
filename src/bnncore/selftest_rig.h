/* What the self-test's cases work with: a random stream, shapes, operands, and a judge. */
#ifndef BNN_SELFTEST_RIG_H
#define BNN_SELFTEST_RIG_H

#include "selftest.h"

#include <string.h>

enum { REGION = 1 << 18, REGIONS = 8, GUARD = 256 };

typedef struct test {
    bnn_isa isa;
    uint64_t state;
    unsigned char *region[REGIONS];
    bnn_selftest_report *report;
} test;

static inline uint64_t draw(test *t) { /* xorshift64*, Vigna 2016 */
    t->state ^= t->state >> 12;
    t->state ^= t->state << 25;
    t->state ^= t->state >> 27;
    return t->state * UINT64_C(0x2545F4914F6CDD1D);
}

static inline uint32_t below(test *t, uint32_t n) { return (uint32_t)((draw(t) >> 32) % n); }

static inline uint32_t between(test *t, uint32_t low, uint32_t high) { return low + below(t, high - low + 1); }

/* A vector of `bits` bits at words, pads 0: random, all -1, all +1 or nearly so, by turns. */
static inline void draw_bits(test *t, uint64_t *words, size_t bits, uint32_t style) {
    for (size_t w = 0; w < bnn_words(bits); w++) {
        uint64_t x = draw(t);
        words[w] = style == 1 ? 0 : style == 2 ? ~UINT64_C(0) : style == 3 ? x | draw(t) | draw(t) : x;
    }
    words[bnn_words(bits) - 1] &= bnn_tail_mask(bits);
}

static inline char *put_text(char *at, const char *end, const char *text) {
    while (*text && at < end) *at++ = *text++;
    *at = 0;
    return at;
}

static inline char *put_number(char *at, const char *end, uint64_t n) {
    char digits[24], *d = digits + sizeof digits - 1;
    *d = 0;
    do *--d = (char)('0' + n % 10);
    while (n /= 10);
    return put_text(at, end, d);
}

/* Counts one comparison of `bytes` written bytes that start GUARD into two equally prepared regions. */
static inline void judge(test *t, const void *expected, const void *got, size_t bytes, const char *what,
                         const uint32_t *sizes, size_t size_count) {
    t->report->cases++;
    if (memcmp(expected, got, bytes + 2 * GUARD) == 0) return;
    if (t->report->mismatches++) return;
    char *at = t->report->first, *end = at + sizeof t->report->first - 1;
    at = put_text(at, end, what);
    at = put_text(at, end, " ");
    at = put_text(at, end, bnn_isa_name(t->isa));
    for (size_t i = 0; i < size_count; i++) at = put_number(put_text(at, end, i ? " x " : " at "), end, sizes[i]);
}

/* Two output regions, filled alike with a pattern that no kernel would write; returns where the kernels write. */
static inline void blank(test *t, unsigned char **expected, unsigned char **got) {
    memset(t->region[0], 0xA5, REGION);
    memset(t->region[1], 0xA5, REGION);
    *expected = t->region[0] + GUARD;
    *got = t->region[1] + GUARD;
}

/* Small numbers mostly, and now and then zeros of either sign, infinities, huge ones and a NaN. */
static inline float any_float(test *t) {
    static const uint32_t odd[] = {0,          0x80000000, 0x7f800000, 0xff800000,
                                   0x7fc00000, 0x7f7fffff, 0x00000001, 0xc2d00000};
    uint32_t bits = odd[below(t, 8)];
    float x;
    memcpy(&x, &bits, sizeof x);
    return below(t, 16) ? ((float)below(t, 20001) - 10000.0f) / 1237.0f : x;
}

/* Which of two NaNs an operation gives is the machine's affair. */
static inline void same_nans(unsigned char *numbers, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float x;
        memcpy(&x, numbers + 4 * i, sizeof x);
        if (x != x) memset(numbers + 4 * i, 0xff, sizeof x);
    }
}

/* A family's cases: `fixed` rounds of chosen shapes, then random ones. */
typedef struct test_family {
    const char *name;
    uint32_t fixed;
    void (*one)(test *t, uint32_t round);
} test_family;

extern const test_family bnn_selftest_gemm[1], bnn_selftest_bits[4], bnn_selftest_floats[4], bnn_selftest_windows[4];

#endif
