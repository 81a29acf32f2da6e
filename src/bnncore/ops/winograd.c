/* Float32 convolutions with half the products or less, by minimal filtering along each row: 4 or 5 neighbouring
 * outputs at once.
 *
 * A row of the padded image with stride s is s rows of every s-th pixel; each kernel row is then ceil(kernel_w / s)
 * taps on groups of s pixels, all of which one matrix product a point sums up, over kernel rows and channels. The
 * values of a band of input rows at the points are made once, [point][tile][row][group], so that the rows of a window
 * are one run.
 *
 * The sums are rounded in other places than direct ones, with errors of the same size: for a 7x7 stem of stride 2, root
 * mean squares of 5.5e-7 and 2.2e-7 where outputs are about 1. Whole numbers do not give exact sums, and an infinity
 * spreads over its tiles. So this is the road of plans with fast_math alone.
 */
#include "float_out.h"
#include "../memory.h"

#include <math.h>
#include <string.h>

enum {
    POINTS = BNN_WINOGRAD_MOST_POINTS,
    CHUNK = 12,              /* tiles whose products stay in the first-level cache */
    VALUES_BYTES = 128 << 10 /* of a band */
};

typedef struct state {
    bnn_sum sum;
    const bnn_fgemm_form *gemm;
    const bnn_winograd_kernel *winograd;
    bnn_float_out out;
    uint32_t taps, tile, points, tiles; /* tile: outputs at once */
    uint32_t band, band_rows;           /* output rows, and the input rows that they see */
    size_t group, depth;                /* numbers of s pixels, and of a kernel's rows of them */
    size_t row_floats;                  /* of a padded row */
    float *packed;                      /* [points], each packed_floats apart */
    size_t packed_floats;
    uint64_t values_at, products_at, sums_at; /* in scratch, behind a padded row */
} state;

static uint32_t taps_of(const bnn_window *w) { return (w->kernel_w + w->stride_w - 1) / w->stride_w; }

/* Narrow rows have tiles that stand over their end, short sums are not worth storing, and all points' weights are read
 * by every chunk: the choices say where that ends. */
int bnn_winograd_fits(const bnn_sum *s, const bnn_choices *choices) {
    const bnn_window *w = &s->window;
    if (s->in != BNN_FLOAT32 || s->groups != 1) return 0;
    uint32_t taps = taps_of(w);
    if (w->dilation_h != 1 || w->dilation_w != 1 || taps < 3 || taps > BNN_WINOGRAD_MOST_TAPS) return 0;
    uint64_t depth = (uint64_t)w->kernel_h * w->stride_w * s->in_channels;
    if (w->out_w < choices->winograd_width || depth < choices->winograd_depth) return 0;
    /* products saved: kernel_w an output become stride_w * points / tile */
    uint32_t tile = bnn_winograd_tile(taps), points = bnn_winograd_points(taps);
    if ((uint64_t)w->stride_w * points * 10 > (uint64_t)w->kernel_w * tile * 7) return 0;
    return bnn_size_mul(bnn_size_mul(depth, s->outputs), points * sizeof(float)) <= (uint64_t)choices->winograd_kib
                                                                                        << 10;
}

/* Row p of G: the values of taps at a point, divided by the product of its differences to the others. */
static void tap_factors(uint32_t taps, uint32_t p, double *g) {
    static const double at[POINTS] = {0, 1, -1, 2, -2, INFINITY, 0.5, -0.5};
    uint32_t points = bnn_winograd_points(taps);
    double divisor = 1, power = 1;
    for (uint32_t q = 0; q < points; q++)
        if (q != p && isfinite(at[q]) && isfinite(at[p])) divisor *= at[p] - at[q];
    for (uint32_t j = 0; j < taps; j++, power *= at[p])
        g[j] = isfinite(at[p]) ? (j ? power : 1) / divisor : j == taps - 1;
}

/* weights: [outputs][kernel_h][kernel_w][channels]; rows: room for [outputs][depth] */
static void pack_point(state *st, uint32_t p, const float *weights, float *rows) {
    const bnn_sum *s = &st->sum;
    const bnn_window *w = &s->window;
    size_t channels = s->in_channels;
    double g[BNN_WINOGRAD_MOST_TAPS];
    tap_factors(st->taps, p, g);
    float *to = rows;
    for (size_t row = 0; row < (size_t)s->outputs * w->kernel_h; row++) {
        const float *from = weights + row * w->kernel_w * channels;
        for (size_t i = 0; i < st->group; i++) { /* i: phase * channels + channel */
            double sum = 0;
            for (uint32_t j = 0; j < st->taps; j++)
                if (j * st->group + i < w->kernel_w * channels) sum += g[j] * from[j * st->group + i];
            *to++ = (float)sum;
        }
    }
    /* the outputs' rows of the point 1 are all ones, so its sums may begin with the bias */
    const float *begin = p == 1 ? bnn_float_out_begin(s, 0) : NULL;
    st->gemm->pack(rows, begin, st->depth, s->outputs, st->packed + p * st->packed_floats);
}

static void lay_geometry(state *st) {
    const bnn_sum *s = &st->sum;
    const bnn_window *w = &s->window;
    st->taps = taps_of(w);
    st->tile = bnn_winograd_tile(st->taps);
    st->points = bnn_winograd_points(st->taps);
    st->tiles = (w->out_w + st->tile - 1) / st->tile;
    st->group = (size_t)w->stride_w * s->in_channels;
    st->depth = w->kernel_h * st->group;
    st->row_floats = ((size_t)st->tiles * st->tile + st->taps - 1) * st->group;
    st->packed_floats = (size_t)bnn_size_align(st->gemm->bytes(st->depth, s->outputs)) / sizeof(float);
    uint64_t row_bytes = bnn_size_mul((uint64_t)st->points * st->tiles, st->group * sizeof(float));
    st->band = 1;
    st->band_rows = w->kernel_h;
    while (st->band < w->out_h && bnn_size_mul(st->band_rows + w->stride_h, row_bytes) <= VALUES_BYTES)
        st->band++, st->band_rows += w->stride_h;
}

static uint64_t lay_scratch(state *st) {
    bnn_carver scratch = {0};
    bnn_carve(&scratch, bnn_size_mul(st->row_floats, sizeof(float)));
    st->values_at = scratch.used;
    bnn_carve(&scratch,
              bnn_size_mul(bnn_size_mul((uint64_t)st->points * st->tiles, st->band_rows), st->group * sizeof(float)));
    st->products_at = scratch.used;
    bnn_carve(&scratch, bnn_size_mul((uint64_t)st->points * CHUNK * sizeof(float), st->sum.outputs));
    st->sums_at = scratch.used;
    if (st->sum.to_bits) bnn_carve(&scratch, bnn_size_mul((uint64_t)CHUNK * st->tile * sizeof(float), st->sum.outputs));
    return scratch.used;
}

static void run(const bnn_step *step, const bnn_job *job);

bnn_status bnn_winograd_prepare(bnn_prepare *p) {
    bnn_step *step = p->step;
    state st = {.sum = bnn_sum_of(step->node, step->in[0]),
                .gemm = &bnn_fgemm_find(p->isa)->floats,
                .winograd = bnn_winograd_find(p->isa)};
    const bnn_sum *s = &st.sum;
    lay_geometry(&st);
    uint64_t packed_bytes = bnn_size_mul(st.points, st.packed_floats * sizeof(float));
    bnn_carver measure = {0};
    bnn_carve(&measure, sizeof st);
    bnn_carve(&measure, packed_bytes);
    bnn_float_out_lay(&st.out, s, p->isa, &measure);
    BNN_TRY(bnn_prepare_state(p, measure.used));
    bnn_carver carver = {.memory = step->state};
    state *kept = bnn_carve(&carver, sizeof st);
    st.packed = bnn_carve(&carver, packed_bytes);
    bnn_float_out_lay(&st.out, s, p->isa, &carver);
    size_t taps = (size_t)s->outputs * s->window.kernel_h * s->window.kernel_w, numbers = taps * s->in_channels;
    float *weights = bnn_memory_new((numbers + st.depth * s->outputs) * sizeof *weights);
    if (!weights) return bnn_prepare_no_memory(p);
    bnn_sum_weights(s, 0, taps, weights);
    for (uint32_t point = 0; point < st.points; point++) pack_point(&st, point, weights, weights + numbers);
    bnn_memory_free(weights);
    step->scratch_bytes = lay_scratch(&st);
    memcpy(kept, &st, sizeof st);
    step->family = "winograd";
    step->isa = st.winograd->isa;
    step->run = run;
    step->bands = 1;
    step->by_rows = 1;
    step->band_pixels = CHUNK * st.tile;
    return BNN_OK;
}

/* Row y of the image with its border, and behind it what the last tile sees and no output needs. */
static void pad_row(const state *st, const float *image, int64_t y, float *to) {
    const bnn_window *w = &st->sum.window;
    const float pad = bnn_sum_pad(&st->sum);
    size_t channels = st->sum.in_channels, left = w->pad_left * channels, inside = w->in_w * channels;
    if (y < 0 || y >= w->in_h) left = st->row_floats;
    if (left > st->row_floats) left = st->row_floats;
    if (inside > st->row_floats - left) inside = st->row_floats - left;
    for (size_t i = 0; i < left; i++) to[i] = pad;
    if (inside) memcpy(to + left, image + (size_t)y * w->in_w * channels, inside * sizeof *to);
    for (size_t i = left + inside; i < st->row_floats; i++) to[i] = pad;
}

/* The values at the points of the input rows that output rows y .. y+rows-1 see. */
static void make_values(const state *st, const bnn_job *job, const float *image, uint32_t y, uint32_t rows) {
    const bnn_window *w = &st->sum.window;
    float *row = (float *)(void *)job->scratch, *values = (float *)(void *)(job->scratch + st->values_at);
    size_t tile = st->band_rows * st->group;
    uint32_t count = (rows - 1) * w->stride_h + w->kernel_h;
    for (uint32_t i = 0; i < count; i++) {
        pad_row(st, image, (int64_t)y * w->stride_h + i - w->pad_top, row);
        st->winograd->input(st->taps, row, st->group, st->tiles, values + i * st->group, tile, st->tiles * tile);
    }
}

/* Output row number `row` of the batch, whose windows begin `skip` rows below the band's first. */
static void run_row(const state *st, const bnn_step *step, const bnn_job *job, size_t row, size_t skip) {
    const bnn_sum *s = &st->sum;
    const float *values = (const float *)(const void *)(job->scratch + st->values_at) + skip * st->group;
    float *products = (float *)(void *)(job->scratch + st->products_at);
    static const size_t here = 0;
    size_t tile = st->band_rows * st->group, most = CHUNK * st->tile;
    for (size_t t = 0; t < st->tiles; t += CHUNK) {
        size_t tiles = st->tiles - t < CHUNK ? st->tiles - t : CHUNK, x = t * st->tile;
        size_t pixels = s->window.out_w - x < most ? s->window.out_w - x : most, pixel = row * s->window.out_w + x;
        size_t point = tiles * s->outputs;
        for (uint32_t p = 0; p < st->points; p++) {
            bnn_fgemm_rows rows = {values + (p * st->tiles + t) * tile, tile, tiles, &here, 1, st->depth};
            st->gemm->run(&rows, st->packed + p * st->packed_floats, s->outputs, products + p * point, s->outputs);
        }
        unsigned char *out = (unsigned char *)job->out[0];
        if (!step->local_out) out += pixel * bnn_float_out_pixel_bytes(&st->out);
        float *sums = (float *)(void *)(s->to_bits ? job->scratch + st->sums_at : out);
        st->winograd->output(st->taps, products, point, s->outputs, pixels, sums, s->outputs);
        bnn_float_out_finish(&st->out, 0, s->outputs, sums, s->outputs, pixels, out);
        bnn_follow(job, &(bnn_part){pixel, pixels, 0, s->outputs});
    }
}

/* Threads share the rows of all images. */
static void run(const bnn_step *step, const bnn_job *job) {
    const state *st = step->state;
    const bnn_window *w = &st->sum.window;
    size_t image_floats = (size_t)bnn_spec_elements(step->in[0]), row, end;
    bnn_share(job, (size_t)w->out_h * job->batch, 1, &row, &end);
    while (row < end) {
        size_t image = row / w->out_h, y = row % w->out_h, rows = w->out_h - y;
        if (rows > st->band) rows = st->band;
        if (rows > end - row) rows = end - row;
        make_values(st, job, (const float *)job->in[0] + image * image_floats, (uint32_t)y, (uint32_t)rows);
        for (size_t i = 0; i < rows; i++, row++) run_row(st, step, job, row, i * w->stride_h);
    }
}
