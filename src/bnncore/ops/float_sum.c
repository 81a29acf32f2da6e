/* Float32 sums: a float input, or float weights. A window reads the image where it lies, a kernel row a segment of
 * fgemm; only a border, or an input that is no float, is first copied, a band of rows at a time. The sums, still in
 * cache, are scaled or packed. */
#include "float_out.h"
#include "../memory.h"

#include <math.h>
#include <string.h>

/* Pixels at once, so that their sums stay in the first-level cache, and so many that weights are seldom read for a few
 * pixels that are left over; bytes of copied rows. */
enum { PIXELS = 48, MOST_PIXELS = PIXELS + PIXELS / 2, BAND_BYTES = 64 << 10 };
enum { ROWS_BYTES = 64 << 20 }; /* of weights as floats while they are packed, for which no limit need have room */

typedef struct state {
    bnn_sum sum;
    const bnn_fgemm_form *gemm;
    bnn_float_out out;
    size_t depth;          /* of one group's row */
    unsigned char *packed; /* [groups], each packed_bytes apart */
    uint64_t packed_bytes;
    int flat;             /* each output sees one pixel, so all pixels are one row */
    int copied;           /* rows are copied to scratch, as floats and with their border */
    uint32_t pitch, band; /* pixels from a row to the next; output rows, or flat pixels, copied at once */
    size_t *segment;
    uint32_t segments, segment_k;
    uint64_t sums_at; /* in scratch, behind the rows */
} state;

static void expand_bits(const uint64_t *words, size_t first, size_t n, float *x) {
    for (size_t i = 0; i < n; i++) x[i] = bnn_bit_sign(words, first + i);
}

/* rows: room for a block of outputs' weights as floats, where the file has them otherwise */
static void pack_group(state *st, uint32_t group, float *rows) {
    const bnn_sum *s = &st->sum;
    size_t taps = (size_t)s->window.kernel_h * s->window.kernel_w;
    for (size_t n = 0; n < s->group_outputs; n += BNN_BLOCK) {
        size_t count = s->group_outputs - n < BNN_BLOCK ? s->group_outputs - n : BNN_BLOCK;
        size_t output = (size_t)group * s->group_outputs + n;
        const float *from = (const float *)s->weight->data + output * st->depth;
        if (rows) bnn_sum_weights(s, output * taps, count * taps, rows), from = rows;
        st->gemm->pack(from, bnn_float_out_begin(s, output), st->depth, count,
                       st->packed + group * st->packed_bytes + st->gemm->bytes(st->depth, n));
    }
}

/* Rows of the input that `rows` rows of the output see. */
static uint64_t in_rows(const bnn_window *w, uint64_t rows) {
    return bnn_size_add(bnn_size_mul(rows - 1, w->stride_h), (uint64_t)(w->kernel_h - 1) * w->dilation_h + 1);
}

static void lay_geometry(state *st) {
    const bnn_sum *s = &st->sum;
    const bnn_window *w = &s->window;
    int padded = (w->pad_top | w->pad_left | w->pad_bottom | w->pad_right) != 0;
    int whole = w->dilation_w == 1 && s->groups == 1; /* a kernel row is one segment, else each tap is */
    st->flat = bnn_window_is_point(w);
    st->copied = padded || s->in != BNN_FLOAT32;
    st->pitch = st->copied ? (w->out_w - 1) * w->stride_w + (w->kernel_w - 1) * w->dilation_w + 1 : w->in_w;
    st->segments = whole ? w->kernel_h : w->kernel_h * w->kernel_w;
    st->segment_k = whole ? w->kernel_w * s->in_channels : s->group_channels;
    st->band = PIXELS;
    if (st->flat) return;
    uint64_t row_bytes = bnn_size_mul(st->pitch, (uint64_t)s->in_channels * sizeof(float)), rows = 1;
    while (rows < w->out_h && bnn_size_mul(in_rows(w, rows + 1), row_bytes) <= BAND_BYTES) rows++;
    st->band = st->copied ? (uint32_t)rows : w->out_h;
}

static void lay(state *st, bnn_isa isa, bnn_carver *carver) {
    const bnn_sum *s = &st->sum;
    st->packed = bnn_carve(carver, bnn_size_mul(s->groups, st->packed_bytes));
    st->segment = bnn_carve(carver, (uint64_t)st->segments * sizeof *st->segment);
    bnn_float_out_lay(&st->out, s, isa, carver);
}

static uint64_t lay_scratch(state *st) {
    const bnn_sum *s = &st->sum;
    bnn_carver scratch = {0};
    uint64_t pixels = st->flat ? PIXELS : bnn_size_mul(in_rows(&s->window, st->band), st->pitch);
    if (st->copied) bnn_carve(&scratch, bnn_size_mul(pixels, (uint64_t)s->in_channels * sizeof(float)));
    st->sums_at = scratch.used;
    if (s->to_bits) bnn_carve(&scratch, (uint64_t)s->outputs * MOST_PIXELS * sizeof(float));
    return scratch.used;
}

static void run(const bnn_step *step, const bnn_job *job);

/* Groups of few outputs leave half of each AVX-512 vector empty, and AVX2's are then the faster ones. */
static const bnn_fgemm_kernel *choose(const bnn_sum *s, bnn_isa isa) {
    enum { FEW = 8, PIXELS_FROM = 8 };
    int few = s->group_outputs <= FEW && (uint64_t)s->window.out_h * s->window.out_w >= PIXELS_FROM;
    return bnn_fgemm_find(few && (isa == BNN_ISA_avx512bw || isa == BNN_ISA_avx512) ? BNN_ISA_avx2 : isa);
}

bnn_status bnn_float_sum_prepare(bnn_prepare *p) {
    bnn_step *step = p->step;
    state st = {.sum = bnn_sum_of(step->node, step->in[0])};
    const bnn_fgemm_kernel *kernel = choose(&st.sum, p->isa);
    const bnn_sum *s = &st.sum;
    st.gemm = s->weight->spec.dtype == BNN_BITS ? &kernel->signs : &kernel->floats;
    const bnn_window *w = &s->window;
    st.depth = (size_t)w->kernel_h * w->kernel_w * s->group_channels;
    st.packed_bytes = bnn_size_align(st.gemm->bytes(st.depth, s->group_outputs));
    lay_geometry(&st);
    int expand = s->weight->spec.dtype != BNN_FLOAT32;
    uint32_t block = s->group_outputs < BNN_BLOCK ? s->group_outputs : BNN_BLOCK;
    uint64_t rows_bytes = expand ? (uint64_t)st.depth * block * sizeof(float) : 0;
    if (rows_bytes > ROWS_BYTES) BNN_TRY(bnn_prepare_fits(p, rows_bytes));
    bnn_carver measure = {0};
    bnn_carve(&measure, sizeof st);
    lay(&st, p->isa, &measure);
    BNN_TRY(bnn_prepare_state(p, measure.used));
    bnn_carver carver = {.memory = step->state};
    state *kept = bnn_carve(&carver, sizeof st);
    lay(&st, p->isa, &carver);

    float *rows = expand ? bnn_memory_new(rows_bytes) : NULL;
    if (expand && !rows) return bnn_prepare_no_memory(p);
    for (uint32_t group = 0; group < s->groups; group++) pack_group(&st, group, rows);
    bnn_memory_free(rows);
    uint32_t runs = st.segments / w->kernel_h;
    for (uint32_t i = 0; i < st.segments; i++)
        st.segment[i] =
            ((size_t)(i / runs) * w->dilation_h * st.pitch + (size_t)(i % runs) * w->dilation_w) * s->in_channels;
    step->scratch_bytes = lay_scratch(&st);
    memcpy(kept, &st, sizeof st);
    step->family = "fgemm";
    step->isa = kernel->isa;
    step->run = run;
    step->bands = 1;
    step->by_rows = !st.flat;
    step->band_pixels = MOST_PIXELS;
    return BNN_OK;
}

/* `count` pixels of the input, from number `pixel` on, as floats. */
static void convert(const bnn_sum *s, const void *image, size_t pixel, size_t count, float *to) {
    size_t channels = s->in_channels;
    if (s->in == BNN_BITS) {
        for (size_t i = 0; i < count; i++, to += channels)
            expand_bits((const uint64_t *)image + (pixel + i) * bnn_words(channels), 0, channels, to);
    } else if (s->in == BNN_UINT8) {
        const uint8_t *x = (const uint8_t *)image + pixel * channels;
        for (size_t i = 0; i < count * channels; i++) to[i] = x[i];
    } else {
        memcpy(to, (const float *)image + pixel * channels, count * channels * sizeof *to);
    }
}

static void fill(float *to, size_t n, float value) {
    for (size_t i = 0; i < n; i++) to[i] = value;
}

/* Rows first .. first+count-1 of the padded image. */
static void copy_rows(const state *st, const void *image, int64_t first, uint64_t count, float *to) {
    const bnn_sum *s = &st->sum;
    const bnn_window *w = &s->window;
    const float pad = bnn_sum_pad(s);
    size_t channels = s->in_channels, left = w->pad_left < st->pitch ? w->pad_left : st->pitch;
    size_t inside = st->pitch - left < w->in_w ? st->pitch - left : w->in_w;
    for (int64_t y = first; y < first + (int64_t)count; y++, to += st->pitch * channels) {
        if (y < 0 || y >= w->in_h) {
            fill(to, st->pitch * channels, pad);
            continue;
        }
        fill(to, left * channels, pad);
        convert(s, image, (size_t)y * w->in_w, inside, to + left * channels);
        fill(to + (left + inside) * channels, (st->pitch - left - inside) * channels, pad);
    }
}

/* A share of the output channels, n0 .. n1-1; all of them where pixels are shared. */
typedef struct share {
    size_t n0, n1;
    int local; /* each block of pixels takes the place of the one before */
} share;

/* `count` pixels whose windows begin at x, each x_stride floats behind the one before; `pixel` is the first's number.
 */
static void run_pixels(const state *st, const bnn_job *job, const share *n, const float *x, size_t x_stride,
                       size_t pixel, size_t count) {
    const bnn_sum *s = &st->sum;
    size_t channels = n->n1 - n->n0, out_pixel = bnn_float_out_pixel_bytes(&st->out);
    for (size_t at = 0, m; at < count; at += m) {
        m = count - at <= MOST_PIXELS ? count - at : PIXELS;
        size_t stride = s->to_bits ? channels : s->outputs;
        unsigned char *out = (unsigned char *)job->out[0] + (n->local ? 0 : (pixel + at) * out_pixel);
        float *sums = s->to_bits ? (float *)(void *)(job->scratch + st->sums_at) : (float *)(void *)out + n->n0;
        for (uint32_t group = 0; group < s->groups; group++) {
            bnn_fgemm_rows rows = {x + at * x_stride + (size_t)group * s->group_channels,
                                   x_stride,
                                   m,
                                   st->segment,
                                   st->segments,
                                   st->segment_k};
            size_t outputs = s->groups == 1 ? channels : s->group_outputs;
            st->gemm->run(&rows, st->packed + group * st->packed_bytes + st->gemm->bytes(st->depth, n->n0), outputs,
                          sums + (size_t)group * s->group_outputs, stride);
        }
        bnn_float_out_finish(&st->out, n->n0, n->n1, sums, stride, m, out);
        bnn_follow(job, &(bnn_part){pixel + at, m, (uint32_t)n->n0, (uint32_t)channels});
    }
}

static void run_flat(const state *st, const bnn_job *job, const share *n, size_t begin, size_t end) {
    size_t channels = st->sum.in_channels;
    if (!st->copied) {
        run_pixels(st, job, n, (const float *)job->in[0] + begin * channels, channels, begin, end - begin);
        return;
    }
    float *rows = (float *)(void *)job->scratch;
    for (size_t at = begin; at < end; at += PIXELS) {
        size_t count = end - at < PIXELS ? end - at : PIXELS;
        convert(&st->sum, job->in[0], at, count, rows);
        run_pixels(st, job, n, rows, channels, at, count);
    }
}

/* Output rows y0 .. y1-1 of the batch's image number `number`. */
static void run_rows(const state *st, const bnn_job *job, const share *n, const void *image, size_t number, uint32_t y0,
                     uint32_t y1) {
    const bnn_window *w = &st->sum.window;
    size_t channels = st->sum.in_channels, row = st->pitch * channels * w->stride_h;
    for (uint32_t y = y0; y < y1; y += st->band) {
        uint32_t rows = y1 - y < st->band ? y1 - y : st->band;
        const float *x = (const float *)image + y * row;
        if (st->copied) {
            copy_rows(st, image, (int64_t)y * w->stride_h - w->pad_top, in_rows(w, rows),
                      (float *)(void *)job->scratch);
            x = (const float *)(const void *)job->scratch;
        }
        for (uint32_t i = 0; i < rows; i++)
            run_pixels(st, job, n, x + i * row, w->stride_w * channels, (number * w->out_h + y + i) * w->out_w,
                       w->out_w);
    }
}

/* Threads share rows of all images, or blocks of outputs where there are few rows and many outputs. */
static void run(const bnn_step *step, const bnn_job *job) {
    const state *st = step->state;
    const bnn_window *w = &st->sum.window;
    size_t units = (st->flat ? (size_t)w->out_h * w->out_w : w->out_h) * job->batch, begin = 0, end = units;
    share n = {0, st->sum.outputs, step->local_out};
    if (!job->last && units < 4 * (size_t)job->threads && st->sum.groups == 1 && n.n1 >= 2 * BNN_BLOCK)
        bnn_share(job, st->sum.outputs, BNN_BLOCK, &n.n0, &n.n1);
    else
        bnn_share(job, units, 1, &begin, &end);
    if (begin == end || n.n0 == n.n1) return;
    if (st->flat) {
        run_flat(st, job, &n, begin, end);
        return;
    }
    size_t in_bytes = (size_t)bnn_spec_bytes(step->in[0]);
    for (size_t image = begin / w->out_h; image * w->out_h < end; image++) {
        size_t first = image * w->out_h, y0 = begin > first ? begin - first : 0,
               y1 = end - first < w->out_h ? end - first : w->out_h;
        run_rows(st, job, &n, (const unsigned char *)job->in[0] + image * in_bytes, image, (uint32_t)y0, (uint32_t)y1);
    }
}
