/* Binary matrix product, AVX-512: carry-save sums, one output channel a 32-bit lane.
 *
 * A vector holds 32 bits of the weights of 16 channels, and one broadcast brings the same 32 bits of a pixel. The XORed
 * words of a lane pass a carry-save adder before they are counted: with p the parity of the words so far,
 *   odd = p ^ a1 ^ w1,  even = odd ^ a2 ^ w2,  carry = odd ? ~even : p,  twos += popcount(carry),  p = even
 * Each line is one vpternlogd, in which the XOR with the weights costs nothing extra, so two words (1,024 bit pairs)
 * take three vpternlogd, one vpopcntd and one vpaddd: 410 bit-MAC a cycle on two vector ports (Ice Lake, Sapphire
 * Rapids; XOR, vpopcntd and vpaddd alone would give 341), 819 on four (Zen 5), 410 on Zen 4's halves.
 */
#include "../kernels.h"

#include <immintrin.h>
#include <string.h>

#if defined(__GNUC__)
#define UNROLLED static inline __attribute__((always_inline))
#else
#define UNROLLED static __forceinline
#endif

enum {
    WORD = 32,   /* bits of a lane */
    PANEL = 32,  /* output channels in a panel: two vectors */
    TILE = 4,    /* pixels whose sums are in registers at once */
    BATCH = 64,  /* pixels that pass all panels together */
    SLACK = 128, /* bytes that gathering writes past a row */
    VECTOR = 64  /* bytes in a vector */
};

/* ---- the form of the operands ---- */

/* A dot product as `words` words of 32 bits, in which every tap takes `granule` bits. Where the channels of a tap fill
 * 32-bit words well, a pixel's words are read where its cells lie. Where they do not, each pixel's cells are first
 * gathered into one row without gaps (below 8 channels) or with at most 7 pad bits a tap. */
typedef struct form {
    uint32_t granule, words, cell_bytes;
    int gathered;
} form;

static form form_of(const bnn_bgemm_shape *shape) {
    const uint32_t channels = shape->channels, bytes = (channels + 7) / 8;
    const uint32_t tight = channels < 8 ? channels : 8 * bytes, wide = (channels + WORD - 1) / WORD * WORD;
    const uint32_t tight_words = (shape->taps * tight + WORD - 1) / WORD, wide_words = shape->taps * (wide / WORD);
    if (5 * tight_words < 4 * wide_words) return (form){tight, tight_words, bytes, 1};
    return (form){wide, wide_words, wide / 8, 0};
}

/* ---- weights: panels of 32 channels, [word][channel] ---- */

static size_t panel_words(const bnn_bgemm_shape *shape) { return (size_t)form_of(shape).words * PANEL; }

static size_t weights_bytes(const bnn_bgemm_shape *shape) {
    return bnn_round_up(shape->outputs, PANEL) / PANEL * panel_words(shape) * sizeof(uint32_t);
}

/* Where channel c of a panel lies: so that vpackusdw of the two vectors' counts puts them in order. */
static uint32_t lane_of(uint32_t c) { return c / 4 % 2 * 16 + c / 8 * 4 + c % 4; }

static void weights_pack(const bnn_bgemm_shape *shape, const uint64_t *rows, void *packed) {
    const form f = form_of(shape);
    const size_t words = bnn_words(shape->channels);
    memset(packed, 0, weights_bytes(shape));
    for (uint32_t n = 0; n < shape->outputs; n++) {
        uint32_t *lane = (uint32_t *)packed + n / PANEL * panel_words(shape) + lane_of(n % PANEL);
        for (uint32_t tap = 0; tap < shape->taps; tap++, rows += words) {
            for (uint32_t c = 0; c < shape->channels; c += WORD) {
                const size_t bit = (size_t)tap * f.granule + c;
                const uint64_t x = (uint64_t)(uint32_t)(rows[c / 64] >> c % 64) << bit % WORD;
                lane[bit / WORD * PANEL] |= (uint32_t)x;
                if (x >> WORD) lane[(bit / WORD + 1) * PANEL] |= (uint32_t)(x >> WORD);
            }
        }
    }
}

/* ---- cells: the pixel's bytes ---- */

static size_t cell_bytes(const bnn_bgemm_shape *shape) { return form_of(shape).cell_bytes; }

/* The first n bytes, n up to 64. */
static inline __mmask64 first_bytes(size_t n) { return n < VECTOR ? (UINT64_C(1) << n) - 1 : ~UINT64_C(0); }

static void cells_fill(const bnn_bgemm_shape *shape, const uint64_t *pixels, size_t limit, size_t mate, size_t step,
                       void *cells, size_t count) {
    const size_t bytes = cell_bytes(shape), words = bnn_words(shape->channels);
    unsigned char *to = cells;
    (void)limit, (void)mate;
    if (bytes == words * BNN_WORD_BYTES && step == 1) {
        memcpy(cells, pixels, count * bytes);
        return;
    }
    if (bytes == 1 && step == 1) {
        for (size_t i = 0; i < count; i += 8) {
            const __mmask8 lanes = (__mmask8)first_bytes(count - i);
            _mm512_mask_cvtepi64_storeu_epi8(to + i, lanes, _mm512_maskz_loadu_epi64(lanes, pixels + i));
        }
        return;
    }
    for (size_t i = 0; i < count; i++, pixels += step * words, to += bytes) {
        const unsigned char *from = (const unsigned char *)pixels;
        for (size_t at = 0; at < bytes; at += VECTOR) {
            const __mmask64 part = first_bytes(bytes - at);
            _mm512_mask_storeu_epi8(to + at, part, _mm512_maskz_loadu_epi8(part, from + at));
        }
    }
}

/* ---- pixels ---- */

typedef struct pixel {
    const unsigned char *cells;
    size_t at;            /* of its outputs, in elements of out.data */
    const int16_t *level; /* its border class's row */
} pixel;

static size_t gathered_bytes(const bnn_bgemm_shape *shape) {
    return bnn_round_up((size_t)shape->taps * form_of(shape).cell_bytes, VECTOR) + SLACK;
}

/* The pixel's segments, one after the other, and zeros to the end of the last word. */
static void gather(const bnn_bgemm_run *r, const form *f, const unsigned char *cells, unsigned char *row) {
    const size_t run = (size_t)r->segment_taps * f->cell_bytes;
    unsigned char *to = row;
    for (uint32_t s = 0; s < r->segments; s++, to += run)
        for (size_t at = 0; at < run; at += VECTOR)
            _mm512_storeu_si512(to + at, _mm512_maskz_loadu_epi8(first_bytes(run - at), cells + r->segment[s] + at));
    _mm512_storeu_si512(to, _mm512_setzero_si512());
    if (f->granule >= 8) return;
    /* eight bytes with `granule` bits each become `granule` bytes */
    const uint64_t bits = UINT64_C(0x0101010101010101) * ((1u << f->granule) - 1);
    for (uint32_t tap = 0; tap < r->shape->taps + 8; tap += 8) {
        uint64_t x;
        memcpy(&x, row + tap, sizeof x);
        x = _pext_u64(x, bits);
        memcpy(row + tap / 8 * f->granule, &x, sizeof x);
    }
}

/* The byte offsets of the words of a dot product from a pixel's cells. */
static void walk_fill(const bnn_bgemm_run *r, const form *f, size_t *walk) {
    if (f->gathered) {
        for (size_t w = 0; w < f->words; w++) walk[w] = w * sizeof(uint32_t);
        return;
    }
    const size_t run = (size_t)r->segment_taps * f->cell_bytes;
    for (uint32_t s = 0; s < r->segments; s++)
        for (size_t at = 0; at < run; at += sizeof(uint32_t)) *walk++ = r->segment[s] + at;
}

/* ---- the sum over K ---- */

static inline __m512i word_at(const unsigned char *at) {
    int32_t x;
    memcpy(&x, at, sizeof x);
    return _mm512_set1_epi32(x);
}

static inline __m512i xor3(__m512i a, __m512i b, __m512i c) { return _mm512_ternarylogic_epi32(a, b, c, 0x96); }

/* Counts of `pixels` pixels (a constant) and the 32 channels of a panel, 16 bits each, in order. */
UNROLLED void tile(const pixel *p, const int pixels, const size_t *walk, size_t words, const uint32_t *panel,
                   __m512i *count) {
    __m512i parity[TILE][2], twos[TILE][2], rest[TILE][2];
    for (int i = 0; i < pixels; i++)
        for (int v = 0; v < 2; v++) parity[i][v] = twos[i][v] = rest[i][v] = _mm512_setzero_si512();
    size_t w = 0;
    for (; w + 2 <= words; w += 2, panel += 2 * PANEL) {
        const size_t first = walk[w], second = walk[w + 1];
        for (int i = 0; i < pixels; i++) {
            const __m512i a = word_at(p[i].cells + first), b = word_at(p[i].cells + second);
            for (int v = 0; v < 2; v++) {
                const __m512i odd = xor3(parity[i][v], a, _mm512_load_si512(panel + 16 * v));
                const __m512i even = xor3(odd, b, _mm512_load_si512(panel + PANEL + 16 * v));
                const __m512i carry = _mm512_ternarylogic_epi32(odd, even, parity[i][v], 0x3A);
                twos[i][v] = _mm512_add_epi32(twos[i][v], _mm512_popcnt_epi32(carry));
                parity[i][v] = even;
            }
        }
    }
    if (w < words)
        for (int i = 0; i < pixels; i++)
            for (int v = 0; v < 2; v++)
                rest[i][v] = _mm512_popcnt_epi32(
                    _mm512_xor_si512(word_at(p[i].cells + walk[w]), _mm512_load_si512(panel + 16 * v)));
    for (int i = 0; i < pixels; i++) {
        for (int v = 0; v < 2; v++)
            rest[i][v] = _mm512_add_epi32(_mm512_add_epi32(rest[i][v], _mm512_popcnt_epi32(parity[i][v])),
                                          _mm512_slli_epi32(twos[i][v], 1));
        count[i] = _mm512_packus_epi32(rest[i][0], rest[i][1]);
    }
}

/* ---- outputs ---- */

static inline __mmask16 first_lanes(uint32_t n) { return (__mmask16)(n < 16 ? (1u << n) - 1 : 0xffff); }

/* What becomes of the counts of one pixel for channels n to n + 31. */
static inline void put(const bnn_bgemm_run *r, const pixel *p, uint32_t n, __m512i count) {
    const bnn_out *out = &r->out;
    if (out->kind == BNN_OUT_BITS) {
        unsigned char *at = (unsigned char *)((uint64_t *)out->data + p->at) + n / 8;
        uint32_t bits = _mm512_cmple_epi16_mask(count, _mm512_loadu_si512(p->level + n));
        bits ^= (uint32_t)(out->flip[n / 64] >> n % 64);
        memcpy(at, &bits, sizeof bits);
        if (n % 64 == 0 && r->shape->outputs - n <= PANEL) memset(at + sizeof bits, 0, sizeof bits);
        return;
    }
    for (uint32_t half = 0; half < 2 && n < r->n_end; half++, n += 16) {
        const __mmask16 lanes = first_lanes(r->n_end - n);
        __m512i pop = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(count));
        count = _mm512_shuffle_i64x2(count, count, 0xEE);
        if (out->kind == BNN_OUT_COUNTS) {
            int32_t *at = (int32_t *)out->data + p->at + n;
            pop = _mm512_sll_epi32(pop, _mm_cvtsi32_si128((int)out->shift));
            _mm512_mask_storeu_epi32(at, lanes, _mm512_add_epi32(pop, _mm512_maskz_loadu_epi32(lanes, at)));
        } else {
            __m512i level = _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(p->level + n)));
            __m512 dot = _mm512_cvtepi32_ps(_mm512_sub_epi32(level, _mm512_slli_epi32(pop, 1)));
            __m512 x =
                _mm512_add_ps(_mm512_mul_ps(dot, _mm512_loadu_ps(out->scale + n)), _mm512_loadu_ps(out->bias + n));
            _mm512_mask_storeu_ps((float *)out->data + p->at + n, lanes, x);
        }
    }
}

/* ---- all pixels and panels ---- */

static size_t walk_bytes(const form *f) { return bnn_round_up(f->words * sizeof(size_t), BNN_ALIGN); }

static size_t scratch_bytes(const bnn_bgemm_shape *shape, uint32_t rows, uint32_t cols) {
    const form f = form_of(shape);
    (void)rows, (void)cols;
    return walk_bytes(&f) + (f.gathered ? BATCH * gathered_bytes(shape) : 0);
}

static void panel_run(const bnn_bgemm_run *r, const form *f, const pixel *p, size_t pixels, uint32_t n) {
    const uint32_t *panel = (const uint32_t *)r->weights + n / PANEL * (size_t)f->words * PANEL;
    const size_t *walk = r->scratch;
    for (; pixels; p += TILE) {
        __m512i count[TILE];
        size_t now = pixels < TILE ? pixels : TILE;
        if (now == 4)
            tile(p, 4, walk, f->words, panel, count);
        else if (now == 3)
            tile(p, 3, walk, f->words, panel, count);
        else if (now == 2)
            tile(p, 2, walk, f->words, panel, count);
        else
            tile(p, 1, walk, f->words, panel, count);
        for (size_t i = 0; i < now; i++) put(r, p + i, n, count[i]);
        pixels -= now;
    }
}

static void run(const bnn_bgemm_run *r) {
    const form f = form_of(r->shape);
    const size_t padded = bnn_round_up(r->shape->outputs, BNN_BLOCK), row_bytes = gathered_bytes(r->shape);
    const size_t pixels = (size_t)r->rows * r->cols;
    unsigned char *rows = (unsigned char *)r->scratch + walk_bytes(&f);
    walk_fill(r, &f, r->scratch);
    uint32_t y = 0, x = 0;
    for (size_t start = 0; start < pixels; start += BATCH) {
        const size_t count = pixels - start < BATCH ? pixels - start : BATCH;
        pixel batch[BATCH];
        for (size_t i = 0; i < count; i++) {
            const unsigned char *cells = (const unsigned char *)r->cells + y * r->row_bytes + x * r->tile_bytes;
            batch[i] = (pixel){cells, y * r->out.row_stride + x * r->out.stride, NULL};
            if (r->out.kind != BNN_OUT_COUNTS)
                batch[i].level = r->out.level + padded * ((size_t)r->out.row_class[y] + r->out.col_class[x]);
            if (f.gathered) gather(r, &f, cells, rows + i * row_bytes), batch[i].cells = rows + i * row_bytes;
            if (++x == r->cols) x = 0, y++;
        }
        for (uint32_t n = r->n_begin; n < r->n_end; n += PANEL) panel_run(r, &f, batch, count, n);
    }
}

const bnn_bgemm_kernel bnn_bgemm_avx512 = {
    .isa = BNN_ISA_avx512,
    .pixels_per_cell = 1,
    .weights_bytes = weights_bytes,
    .weights_pack = weights_pack,
    .cell_bytes = cell_bytes,
    .cells_fill = cells_fill,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
