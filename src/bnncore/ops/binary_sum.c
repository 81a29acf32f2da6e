/* Exact integer sums: binary weights on bits, or on uint8 taken apart into eight planes of bits. Prepares either the
 * direct road (direct.h) or, for very long sums and for groups of uint8, the gathered one (gathered.c). */
#include "direct.h"
#include "../error.h"
#include "../memory.h"

#include <string.h>

/* PIECE_PIXELS is a multiple of every kernel's pixels_per_cell. */
enum { PIECE_BYTES = 24 << 10, PIECE_PIXELS = 64 };
enum { BAND_BYTES = 192 << 10, COUNT_BYTES = 64 << 10, FLAT_PIXELS = 1024 };

static void lay_geometry(bnn_direct *st) {
    const bnn_window *w = &st->sum.window;
    int padded = w->pad_top | w->pad_left | w->pad_bottom | w->pad_right;
    st->padded = bnn_padded_of(&st->sum, st->sum.group_channels, 1);
    st->padded.pack = st->pack;
    st->planes = st->padded.planes;
    st->words = bnn_words(st->sum.group_channels);
    st->cell = st->gemm->cell_bytes(&st->shape);
    st->flat = bnn_window_is_point(w);
    st->shared = w->kernel_w > 1;
    st->down = st->shared && st->gemm->cells_fill && w->out_w % st->gemm->pixels_per_cell;
    st->copied = padded || st->planes > 1 || st->sum.groups > 1;
    st->pitch = st->copied ? st->padded.pitch : w->in_w;
    st->merged = st->sum.to_bits && st->sum.groups > 1 && st->sum.group_outputs % BNN_WORD_BITS;
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
    per_out = bnn_size_mul(per_out, st->sum.groups);
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
    uint64_t rows = st->flat ? 1 : bnn_padded_in_rows(w, st->band), pitch = st->flat ? st->band : st->pitch;
    uint32_t cols = st->flat ? st->band : w->out_w;
    uint64_t pixels = bnn_size_mul(rows, pitch), out_pixels = st->flat ? st->band : (uint64_t)st->band * w->out_w;
    uint64_t made = bnn_size_align(bnn_size_mul(pixels, st->words * BNN_WORD_BYTES * st->planes));
    uint64_t cells = bnn_size_mul(rows * bnn_direct_row_cells(st, (uint32_t)pitch, cols), st->cell);
    /* rows that become cells are needed for one group at a time */
    st->group_rows = st->gemm->cells_fill ? 0 : made;
    st->group_cells = bnn_size_align(cells);
    st->rows_at = scratch.used;
    if (st->copied) bnn_carve(&scratch, bnn_size_mul(made, st->gemm->cells_fill ? 1 : st->sum.groups));
    st->cells_at = scratch.used;
    if (st->gemm->cells_fill) bnn_carve(&scratch, bnn_size_mul(st->group_cells, st->sum.groups));
    st->kernel_at = scratch.used;
    if (st->gemm->scratch_bytes)
        bnn_carve(&scratch, st->gemm->scratch_bytes(&st->shape, st->flat ? 1 : st->band, cols));
    st->counts_at = scratch.used;
    uint64_t counted = st->planes > 1 ? out_pixels : st->gemv ? 1 : 0;
    bnn_carve(&scratch, bnn_size_mul(counted, (uint64_t)st->tables.padded * 4));
    st->bits_at = scratch.used;
    bnn_carve(&scratch, bnn_size_mul(st->merged ? out_pixels : 0, st->group_padded / 8));
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
static int16_t level_of(const bnn_direct *st, uint32_t class_, size_t n) {
    const bnn_tables *t = &st->tables;
    if (!st->sum.to_bits) return (int16_t)(t->base[(size_t)class_ * t->padded + n] * (st->sum.zero_one ? 2 : 1));
    int64_t level = bnn_tables_most(t, &st->sum, class_, n);
    if (level > BNN_BGEMM_MAX_K) level = BNN_BGEMM_MAX_K;
    return (int16_t)(level < -1 ? -1 : level);
}

/* The tables of a group: output `first` of the layer is its first. */
static void fill_group(bnn_direct *st, uint32_t group) {
    const bnn_tables *t = &st->tables;
    size_t padded = st->group_padded, first = (size_t)group * st->sum.group_outputs;
    uint32_t classes = t->rows.count * t->cols.count;
    int16_t *level = st->level + group * classes * padded;
    for (uint32_t class_ = 0; class_ < classes; class_++)
        for (size_t n = 0; n < padded; n++) *level++ = n < st->sum.group_outputs ? level_of(st, class_, first + n) : -1;
    for (size_t n = 0; n < st->sum.group_outputs; n++) {
        size_t at = group * padded + n;
        if (!st->sum.to_bits) {
            st->scale[at] = t->scale[first + n] * (st->sum.zero_one ? 0.5f : 1.0f);
            st->bias[at] = t->bias[first + n];
        } else if (bnn_bit_get(t->flip, first + n)) {
            bnn_bit_set(st->flip, at);
        }
    }
}

static void lay(bnn_direct *st, bnn_carver *carver) {
    bnn_tables_lay(&st->tables, &st->sum, carver);
    if (st->gathered || !st->gemm) return;
    uint64_t classes = (uint64_t)st->tables.rows.count * st->tables.cols.count;
    uint32_t cols = st->sum.window.out_w > FLAT_PIXELS ? st->sum.window.out_w : FLAT_PIXELS;
    uint64_t padded = bnn_size_mul(st->group_padded, st->sum.groups), floats = st->sum.to_bits ? 0 : padded;
    st->packed_bytes = bnn_size_align(st->gemm->weights_bytes(&st->shape));
    st->packed = bnn_carve(carver, bnn_size_mul(st->packed_bytes, st->sum.groups));
    st->level = bnn_carve(carver, bnn_size_mul(classes, bnn_size_mul(padded, sizeof *st->level)));
    st->flip = bnn_carve(carver, st->sum.to_bits ? padded / 8 : 0);
    st->scale = bnn_carve(carver, bnn_size_mul(floats, sizeof *st->scale));
    st->bias = bnn_carve(carver, bnn_size_mul(floats, sizeof *st->bias));
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
    int gather = (st.sum.groups > 1 && st.sum.in != BNN_BITS) || depth > BNN_BGEMM_MAX_K;
    const bnn_bgemm_kernel *gemm = bnn_bgemm_find(p->isa);
    st.gemm = gemm;
    st.pack = bnn_pack_find(p->isa);
    st.finish = bnn_settle_find(p->isa);
    st.few_samples = vector_samples(step, p->choices);
    if (st.few_samples) st.gemv = bnn_bgemv_find(p->isa);
    st.shape = (bnn_bgemm_shape){st.sum.group_channels, w->kernel_h * w->kernel_w, st.sum.group_outputs};
    st.group_padded = (uint32_t)bnn_round_up(st.sum.group_outputs, BNN_BLOCK);
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
    if (bnn_tables_fill(&st.tables, &st.sum)) return bnn_prepare_no_memory(p);
    if (gather) {
        st.gathered = bnn_gathered_new(&st.sum, gemm, st.pack, gathered_memory);
        if (!st.gathered) return bnn_prepare_no_memory(p);
        st.words = bnn_words(st.sum.group_channels);
        uint64_t counts = st.gemv ? (uint64_t)st.tables.padded * sizeof(int32_t) : 0; /* at 0 */
        step->scratch_bytes = bnn_gathered_scratch(st.gathered);
        if (step->scratch_bytes < counts) step->scratch_bytes = counts;
    } else {
        size_t group_words = (size_t)st.shape.outputs * st.shape.taps * bnn_words(st.sum.group_channels);
        for (uint32_t g = 0; g < st.sum.groups; g++) {
            gemm->weights_pack(&st.shape, (const uint64_t *)st.sum.weight->data + g * group_words,
                               st.packed + g * st.packed_bytes);
            fill_group(&st, g);
        }
        lay_geometry(&st);
        lay_band(&st);
        lay_pieces(&st);
        if (st.planes == 1) step->band_pixels = (size_t)st.piece_rows * st.piece_cols;
        step->scratch_bytes = lay_scratch(&st);
        fill_segments(&st);
    }
    memcpy(kept, &st, sizeof st);
    step->family = "bgemm";
    if (st.gemv) step->family_few = "bgemv", step->few_samples = st.few_samples;
    step->isa = gemm->isa;
    step->run = bnn_direct_run;
    step->bands = 1;
    if (!gather && st.planes == 1 && !st.gemv && !st.sum.to_bits)
        step->links = st.flat ? BNN_LINKS_OF_ALL : BNN_LINKS_BY_SAMPLE;
    return BNN_OK;
}
