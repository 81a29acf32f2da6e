/* Depthwise binary convolution over vectors of channels, for every instruction set that has them: bdepth_<isa>.c
 * says what a vector `wide` of WORDS words can do, and then includes this.
 *
 * A bit lane is a channel. Counts stand upright, plane b holding bit b of every channel's, and full adders (carry-save;
 * Harley and Seal) put three bits of one weight into one of it and one of the next. Eight taps with what stood in the
 * three low planes make seven full adders and one bit of weight 8. Odd square kernels have 8 * n + 1 taps: the one is
 * the low plane's beginning, and the first eight find the other two empty, so that 3x3 takes five full adders and two
 * half ones. A comparison with a level is a full adder's carry for each plane, from the lowest up: where level and
 * count agree, what was before stays. Nine taps are constants, so that planes are registers and weights are loaded
 * once for a row of pixels.
 */
#include "../kernels.h"

#include "unroll.h"

typedef struct planes {
    wide at[BNN_BDEPTH_MAX_PLANES];
} planes;

/* sum += a + b in the plane of their weight; the carry, in the next. */
UNROLLED wide add_two(wide *sum, wide a, wide b) {
    const wide carry = wide_majority(*sum, a, b);
    *sum = wide_xor3(*sum, a, b);
    return carry;
}

UNROLLED wide add_one(wide *sum, wide a) {
    const wide carry = wide_and(*sum, a);
    *sum = wide_xor(*sum, a);
    return carry;
}

/* Eight more taps; `fresh`: planes 1 and 2 hold nothing yet. What carries into plane 3. As a tree, since an adder's
 * result may take two cycles, and a chain of them as long as the schedulers can see. */
UNROLLED wide add_eight(planes *p, const wide *x, const int fresh) {
    wide one[3] = {x[0], x[3], p->at[0]}, two[4], four[2];
    two[0] = add_two(&one[0], x[1], x[2]);
    two[1] = add_two(&one[1], x[4], x[5]);
    two[2] = add_two(&one[2], x[6], x[7]);
    two[3] = add_two(&one[0], one[1], one[2]);
    p->at[0] = one[0];
    four[0] = add_two(&two[0], two[1], two[2]);
    four[1] = fresh ? add_one(&two[0], two[3]) : add_two(&two[0], two[3], p->at[1]);
    p->at[1] = two[0];
    const wide eight = fresh ? add_one(&four[0], four[1]) : add_two(&four[0], four[1], p->at[2]);
    p->at[2] = four[0];
    return eight;
}

UNROLLED wide get(const uint64_t *words, const int whole, size_t some) {
    return whole ? wide_load(words) : wide_load_first(words, some);
}

/* The counts of any number of taps. */
static inline void count_any(const bnn_bdepth_run *r, size_t i, size_t at, const int whole, size_t some, planes *p) {
    const uint64_t *x = r->x + i, *weight = r->weights + at;
    size_t t = 0;
    for (size_t b = 0; b < r->planes || b < 3; b++) p->at[b] = wide_zero();
    for (; t < r->taps % 8; t++, weight += r->period) {
        wide carry = wide_xor(get(x + r->offset[t], whole, some), wide_load(weight));
        for (int b = 0; b < 3; b++) carry = add_one(&p->at[b], carry);
    }
    for (; t < r->taps; t += 8) {
        wide bits[8];
        UNROLL for (int k = 0; k < 8; k++, weight += r->period) bits[k] =
            wide_xor(get(x + r->offset[t + k], whole, some), wide_load(weight));
        wide carry = add_eight(p, bits, 0);
        for (size_t b = 3; b < r->planes; b++) carry = add_one(&p->at[b], carry);
    }
}

UNROLLED void count_nine(const uint64_t *const *x, size_t i, const wide *weight, const int whole, size_t some,
                         planes *p) {
    wide bits[9];
    UNROLL for (int t = 0; t < 9; t++) bits[t] = wide_xor(get(x[t] + i, whole, some), weight[t]);
    p->at[0] = bits[0];
    p->at[3] = add_eight(p, bits + 1, 1);
}

UNROLLED wide compare(const bnn_bdepth_run *r, const uint64_t *level, const size_t count, const planes *p) {
    wide within = wide_ones();
    for (size_t b = 0; b < count; b++, level += r->period) within = wide_within(wide_load(level), p->at[b], within);
    return wide_xor(within, wide_load(level));
}

/* A vector's place: word i of the row, of which it is word `word` of pixel `pixel`; word `at` of the tables, which
 * begin for the period-th time. */
typedef struct place {
    size_t i, at, period, pixel, word;
} place;

/* The words of counts that a vector's planes hold, one by one. */
UNROLLED void settle(const bnn_bdepth_run *r, place to, size_t some, const planes *p, const size_t count) {
    uint64_t plane[BNN_BDEPTH_MAX_PLANES][WORDS];
    for (size_t b = 0; b < count; b++) wide_store(plane[b], p->at[b]);
    const size_t padded = bnn_round_up(r->channels, BNN_BLOCK);
    for (size_t v = 0; v < some; v++) {
        const size_t c = to.word * BNN_WORD_BITS, left = r->channels - c;
        put_floats(r, r->base + r->class_[to.pixel] * padded, c, left < BNN_WORD_BITS ? left : BNN_WORD_BITS,
                   &plane[0][v], count, r->floats + to.pixel * r->channels + c);
        if (++to.word == r->words) to.word = 0, to.pixel++;
    }
}

/* `some` words; `whole`: as many as a vector has. `nine`: so many taps. */
UNROLLED void vector(const bnn_bdepth_run *r, place to, const int whole, size_t some, const uint64_t *const *x,
                     const wide *weight, const int nine, const int bits) {
    const size_t count = nine ? 4 : r->planes;
    planes p;
    if (nine)
        count_nine(x, to.i, weight, whole, some, &p);
    else
        count_any(r, to.i, to.at, whole, some, &p);
    if (!bits) {
        settle(r, to, some, &p, count);
        return;
    }
    const uint64_t *level = r->level + r->kind[to.period] * (count + 1) * r->period + to.at;
    const wide out = compare(r, level, count, &p);
    if (whole)
        wide_store(r->bits + to.i, out);
    else
        wide_store_first(r->bits + to.i, some, out);
}

/* Each vector of the tables in turn over all the row. */
UNROLLED void columns(const bnn_bdepth_run *r, const int nine, const int bits) {
    const uint64_t *x[9];
    if (nine) UNROLL for (int t = 0; t < 9; t++) x[t] = r->x + r->offset[t];
    const size_t n = r->pixels * r->words, pixels = r->period / r->words;
    for (size_t at = 0; at < r->period && at < n; at += WORDS) {
        wide weight[9];
        if (nine) UNROLL for (int t = 0; t < 9; t++) weight[t] = wide_load(r->weights + t * r->period + at);
        place to = {at, at, 0, at / r->words, at % r->words};
        for (; to.i + WORDS <= n; to.i += r->period, to.period++, to.pixel += pixels)
            vector(r, to, 1, WORDS, x, weight, nine, bits);
        if (to.i < n) vector(r, to, 0, n - to.i, x, weight, nine, bits);
    }
}

static void any_to_floats(const bnn_bdepth_run *r) { columns(r, 0, 0); }
static void any_to_bits(const bnn_bdepth_run *r) { columns(r, 0, 1); }
static void nine_to_floats(const bnn_bdepth_run *r) { columns(r, 1, 0); }
static void nine_to_bits(const bnn_bdepth_run *r) { columns(r, 1, 1); }

static void run(const bnn_bdepth_run *r) {
    static void (*const loop[2][2])(const bnn_bdepth_run *) = {{any_to_floats, any_to_bits},
                                                               {nine_to_floats, nine_to_bits}};
    loop[r->taps == 9][r->bits != NULL](r);
}
