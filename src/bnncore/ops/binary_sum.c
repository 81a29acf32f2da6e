/* Exact integer sums: binary weights on bits, or on uint8 taken apart into eight planes of bits. Prepares either the
 * direct road (direct.h) or, for grouped layers and very long sums, the gathered one (gathered.c). */
#include "direct.h"
#include "../error.h"
#include "../memory.h"

#include <string.h>

/* PIECE_PIXELS is a multiple of every kernel's pixels_per_cell. */
enum { PIECE_BYTES = 24 << 10, PIECE_PIXELS = 64 };
enum { BAND_BYTES = 192 << 10, COUNT_BYTES = 64 << 10, FLAT_PIXELS = 1024, PLANES = 8 };

static void lay_geometry(bnn_direct *st) {
    const bnn_window *w = &st->sum.window;
    int padded = w->pad_top | w->pad_left | w->pad_bottom | w->pad_right;
    st->planes = st->sum.in == BNN_UINT8 ? PLANES : 1;
    st->words = bnn_words(st->sum.in_channels);
    st->cell = st->gemm->cell_bytes(&st->shape);
    st->flat = bnn_window_is_point(w);
    st->shared = w->kernel_w > 1;
    st->down = st->shared && st->gemm->cells_fill && w->out_w % st->gemm->pixels_per_cell;
    st->copied = padded || st->planes > 1;
    /* a copied row holds just the columns that some window reads */
    st->pitch = st->copied ? (w->out_w - 1) * w->stride_w + (w->kernel_w - 1) * w->dilation_w + 1 : w->in_w;
}

static void lay_band(bnn_direct *st) {
    const bnn_window *w = &st->sum.window;
    uint64_t row_bytes = bnn_size_mul(bnn_direct_row_cells(st, st->pitch, w->out_w), st->cell), limit = BAND_BYTES,
             rows = w->out_h;
    uint64_t per_out = bnn_size_mul(row_bytes, w->stride_h);
    if (st->flat) {
        row_bytes = per_out = (st->cell + st->gemm->pixels_per_cell - 1) / st->gemm->pixels_per_cell;
        rows = FLAT_PIXELS, limit = 4 * BAND_BYTES;
    }
    uint64_t fit = per_out ? limit / per_out : rows;
    if (st->planes > 1) {
        uint64_t counts = bnn_size_mul(st->flat ? 1 : w->out_w, (uint64_t)st->tables.padded * 4);
        if (fit > COUNT_BYTES / counts) fit = COUNT_BYTES / counts;
    }
    if (st->down) fit -= fit % st->gemm->pixels_per_cell;
    st->band = (uint32_t)(fit < 4 ? 4 : fit);
    if (st->band > rows) st->band = (uint32_t)rows;
}

/* What followers have at once: floats that fit in the first-level cache, but not so few pixels that the weights are
 * read too often. */
static void lay_pieces(bnn_direct *st) {
    uint32_t cols = st->flat ? st->band : st->sum.window.out_w, rows = st->flat ? 1 : st->band;
    size_t fit = PIECE_BYTES / sizeof(float) / st->sum.outputs / PIECE_PIXELS * PIECE_PIXELS;
    if (fit < PIECE_PIXELS) fit = PIECE_PIXELS;
    st->piece_cols = st->flat && cols > fit ? (uint32_t)fit : cols;
    st->piece_rows = (uint32_t)((fit + cols - 1) / cols);
    if (st->down) st->piece_rows = (uint32_t)bnn_round_up(st->piece_rows, st->gemm->pixels_per_cell);
    if (st->piece_rows > rows) st->piece_rows = rows;
}

static uint64_t lay_scratch(bnn_direct *st) {
    const bnn_window *w = &st->sum.window;
    bnn_carver scratch = {0};
    uint64_t rows = st->flat ? 1 : bnn_direct_in_rows(w, st->band), pitch = st->flat ? st->band : st->pitch;
    uint32_t cols = st->flat ? st->band : w->out_w;
    uint64_t pixels = bnn_size_mul(rows, pitch);
    st->rows_at = scratch.used;
    if (st->copied) bnn_carve(&scratch, bnn_size_mul(pixels, st->words * BNN_WORD_BYTES * st->planes));
    st->cells_at = scratch.used;
    if (st->gemm->cells_fill)
        bnn_carve(&scratch, bnn_size_mul(rows * bnn_direct_row_cells(st, (uint32_t)pitch, cols), st->cell));
    st->kernel_at = scratch.used;
    if (st->gemm->scratch_bytes)
        bnn_carve(&scratch, st->gemm->scratch_bytes(&st->shape, st->flat ? 1 : st->band, cols));
    st->counts_at = scratch.used;
    uint64_t counted = st->planes > 1 ? (st->flat ? st->band : (uint64_t)st->band * w->out_w) : st->gemv ? 1 : 0;
    bnn_carve(&scratch, bnn_size_mul(counted, (uint64_t)st->tables.padded * 4));
    return scratch.used;
}

static void fill_segments(bnn_direct *st) {
    const bnn_window *w = &st->sum.window;
    uint32_t runs = w->dilation_w == 1 ? 1 : w->kernel_w;
    size_t row = bnn_direct_row_cells(st, st->pitch, w->out_w) * st->cell;
    for (uint32_t i = 0; i < st->segments; i++)
        st->segment[i] = i / runs * w->dilation_h * row + i % runs * w->dilation_w * st->cell;
}

/* bgemm's levels: bits compare acc = base - 2 * pop with a threshold, so pop <= (base - threshold) / 2; floats need
 * base. Where bits count as 0 and 1, acc = base - pop, and the kernel's floats are twice that, for half the scale. */
static void fill_levels(bnn_direct *st) {
    const bnn_tables *t = &st->tables;
    size_t rows = (size_t)t->rows.count * t->cols.count;
    for (size_t i = 0; i < rows * t->padded; i++) {
        size_t n = i % t->padded;
        int64_t level = (int64_t)t->base[i] * (st->sum.zero_one ? 2 : 1);
        if (st->sum.to_bits) {
            int64_t most = (int64_t)t->base[i] - t->threshold[n]; /* factor * pop */
            level = st->sum.zero_one ? most : (most - (most & 1)) / 2;
            if (level > BNN_BGEMM_MAX_K) level = BNN_BGEMM_MAX_K;
            if (level < -1 || n >= st->sum.outputs) level = -1;
        }
        st->level[i] = (int16_t)level;
    }
    if (!st->sum.zero_one) st->scale = t->scale;
    for (size_t n = 0; st->sum.zero_one && !st->sum.to_bits && n < t->padded; n++) st->scale[n] = t->scale[n] * 0.5f;
}

static void lay(bnn_direct *st, bnn_carver *carver) {
    bnn_tables_lay(&st->tables, &st->sum, carver);
    if (st->gathered || !st->gemm) return;
    uint64_t classes = (uint64_t)st->tables.rows.count * st->tables.cols.count;
    uint32_t cols = st->sum.window.out_w > FLAT_PIXELS ? st->sum.window.out_w : FLAT_PIXELS;
    st->packed = bnn_carve(carver, st->gemm->weights_bytes(&st->shape));
    st->level = bnn_carve(carver, bnn_size_mul(classes, (uint64_t)st->tables.padded * sizeof *st->level));
    st->scale = bnn_carve(carver, st->sum.zero_one && !st->sum.to_bits ? st->tables.padded * sizeof(float) : 0);
    st->no_class = bnn_carve(carver, (uint64_t)cols * sizeof *st->no_class);
    st->segment = bnn_carve(carver, (uint64_t)st->segments * sizeof *st->segment);
}

/* Batches of up to so many samples go through bgemv. */
static uint32_t vector_samples(const bnn_step *step, const bnn_choices *c) {
    const bnn_tensor *weight = step->node->tensors[0];
    if (weight->spec.rank != 2 || step->in[0]->dtype != BNN_BITS) return 0;
    if (weight->spec.dims[0] <= c->narrow_outputs && c->narrow_rows > c->vector_rows) return c->narrow_rows;
    return bnn_words(weight->spec.dims[1]) < c->vector_words ? 0 : c->vector_rows;
}

bnn_status bnn_binary_sum_prepare(bnn_prepare *p) {
    bnn_step *step = p->step;
    bnn_direct st = {.sum = bnn_sum_of(step->node, step->in[0])}, *kept;
    const bnn_window *w = &st.sum.window;
    uint64_t depth = (uint64_t)w->kernel_h * w->kernel_w * st.sum.group_channels;
    int gather = st.sum.groups > 1 || depth > BNN_BGEMM_MAX_K;
    const bnn_bgemm_kernel *gemm = bnn_bgemm_find(p->isa);
    st.gemm = gemm;
    st.pack = bnn_pack_find(p->isa);
    st.finish = bnn_settle_find(p->isa);
    st.few_samples = vector_samples(step, p->choices);
    if (st.few_samples) st.gemv = bnn_bgemv_find(p->isa);
    st.shape = (bnn_bgemm_shape){st.sum.group_channels, w->kernel_h * w->kernel_w, st.sum.outputs};
    st.segments = w->dilation_w == 1 ? w->kernel_h : w->kernel_h * w->kernel_w;
    st.segment_taps = w->dilation_w == 1 ? w->kernel_w : 1;

    BNN_TRY(bnn_prepare_fits(p, bnn_tables_least(&st.sum)));
    bnn_carver measure = {0};
    bnn_carve(&measure, sizeof st);
    uint64_t gathered = gather ? bnn_gathered_bytes(&st.sum, gemm) : 0;
    bnn_carve(&measure, gathered);
    if (gather) st.gemm = NULL;
    lay(&st, &measure);
    if ((uint64_t)st.tables.rows.count * st.tables.cols.count > UINT16_MAX)
        return bnn_fail(p->error, BNN_E_LIMIT, "layer \"%.48s\" (%s): padding makes more than 65535 kinds of border",
                        step->node->name, step->node->op->name);
    BNN_TRY(bnn_prepare_state(p, measure.used));

    bnn_carver carver = {.memory = step->state};
    kept = bnn_carve(&carver, sizeof st);
    void *gathered_memory = bnn_carve(&carver, gathered);
    lay(&st, &carver);
    if (bnn_tables_fill(&st.tables, &st.sum))
        return bnn_fail(p->error, BNN_E_MEMORY, "layer \"%.48s\": no memory to prepare it", step->node->name);
    if (gather) {
        st.gathered = bnn_gathered_new(&st.sum, gemm, st.pack, gathered_memory);
        step->scratch_bytes = bnn_gathered_scratch(st.gathered);
    } else {
        gemm->weights_pack(&st.shape, st.sum.weight->data, st.packed);
        lay_geometry(&st);
        lay_band(&st);
        lay_pieces(&st);
        if (st.planes == 1) step->band_pixels = (size_t)st.piece_rows * st.piece_cols;
        step->scratch_bytes = lay_scratch(&st);
        fill_segments(&st);
        fill_levels(&st);
    }
    memcpy(kept, &st, sizeof st);
    step->family = "bgemm";
    if (st.gemv && !gather) step->family_few = "bgemv", step->few_samples = st.few_samples;
    step->isa = gemm->isa;
    step->run = bnn_direct_run;
    step->bands = 1;
    if (!gather && st.planes == 1 && !st.gemv && !st.sum.to_bits)
        step->links = st.flat ? BNN_LINKS_OF_ALL : BNN_LINKS_BY_SAMPLE;
    return BNN_OK;
}
