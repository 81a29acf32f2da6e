/* Binary convolution of each channel by itself, on bits, or of thin groups with as many outputs as channels. Rows of
 * the padded image are made in scratch, a band at a time, or read where they lie. Where windows stride, a row's pixels
 * are put in the order of x % stride, so that the pixels that a tap sees of neighbouring windows are neighbours, and a
 * row of outputs is one call of the kernel. */
#include "binary_sum.h"
#include "bits_copy.h"
#include "padded.h"
#include "../memory.h"

#include <string.h>

enum { BAND_BYTES = 24 << 10, LEAST_ROWS = 8, ALIGNED_WORDS = 8 };

typedef struct state {
    bnn_sum sum;
    bnn_tables tables;
    bnn_padded padded;
    const bnn_bdepth_kernel *kernel;
    size_t taps, planes, words, period; /* taps: of all copies */
    size_t row_words;                   /* from a row that windows read to the next */
    int copied;                         /* such rows are made in scratch */
    size_t copy_words;                  /* from there to the same turned by one channel */
    uint32_t band;                      /* output rows whose input rows are in scratch together */
    uint32_t kinds;        /* of periods of a row, by the border classes of their pixels: the most there may be */
    uint64_t *weights;     /* [taps][period] */
    uint64_t *level;       /* [row classes][kinds][planes + 1][period] */
    uint16_t *kind;        /* [periods in a row] */
    float *base;           /* [classes][padded outputs] */
    size_t *offset;        /* [taps] */
    uint64_t *keep, *wrap; /* [group channels][words], of bnn_bits_turn */
} state;

int bnn_binary_depthwise_fits(const bnn_sum *s, const bnn_choices *choices) {
    return s->in == BNN_BITS && s->groups > 1 && s->group_channels == s->group_outputs &&
           s->group_channels <= choices->thin_channels &&
           (uint64_t)s->window.kernel_h * s->window.kernel_w * s->group_channels <= BNN_BDEPTH_MAX_TAPS;
}

static size_t periods(const state *st) {
    return ((size_t)st->sum.window.out_w * st->words + st->period - 1) / st->period;
}

static void lay_geometry(state *st) {
    const bnn_window *w = &st->sum.window;
    st->padded = bnn_padded_of(&st->sum, st->sum.in_channels, w->stride_w);
    const uint32_t turns = st->sum.group_channels;
    st->copied = (w->pad_top | w->pad_left | w->pad_bottom | w->pad_right) != 0 || w->stride_w > 1 || turns > 1;
    st->taps = (size_t)w->kernel_h * w->kernel_w * turns;
    for (size_t left = st->taps; left; left /= 2) st->planes++;
    st->words = bnn_words(st->sum.in_channels);
    st->period = st->words;
    while (st->period % ALIGNED_WORDS) st->period *= 2;
    st->row_words = st->copied ? bnn_padded_row_words(&st->padded) : w->in_w * st->words;
    uint64_t fit = BAND_BYTES / BNN_WORD_BYTES / st->row_words / w->stride_h / turns;
    st->band = (uint32_t)(fit < LEAST_ROWS ? LEAST_ROWS : fit);
    if (st->band > w->out_h) st->band = w->out_h;
    /* with a word before and behind that bnn_bits_turn may read */
    uint64_t rows = bnn_size_mul(bnn_padded_in_rows(w, st->band), st->row_words);
    st->copy_words = bnn_round_up(bnn_size_add(rows, 2), ALIGNED_WORDS);
}

static void lay(state *st, bnn_carver *carver) {
    bnn_tables_lay(&st->tables, &st->sum, carver);
    /* where classes change, one period may hold both, and the next is of another kind again */
    st->kinds = 2 * st->tables.cols.count - 1;
    if (st->kinds > periods(st)) st->kinds = (uint32_t)periods(st);
    uint64_t table = bnn_size_mul(st->period, BNN_WORD_BYTES), classes = st->tables.rows.count;
    st->weights = bnn_carve(carver, bnn_size_mul(st->taps, table));
    st->level = bnn_carve(carver, st->sum.to_bits ? bnn_size_mul(classes * st->kinds * (st->planes + 1), table) : 0);
    st->kind = bnn_carve(carver, bnn_size_mul(st->sum.to_bits ? periods(st) : 0, sizeof *st->kind));
    classes *= st->sum.to_bits ? 0 : st->tables.cols.count;
    st->base = bnn_carve(carver, bnn_size_mul(classes * st->tables.padded, sizeof *st->base));
    st->offset = bnn_carve(carver, st->taps * sizeof *st->offset);
    st->keep = bnn_carve(carver, bnn_size_mul(st->sum.group_channels, st->words * BNN_WORD_BYTES));
    st->wrap = bnn_carve(carver, bnn_size_mul(st->sum.group_channels, st->words * BNN_WORD_BYTES));
}

/* Of the rows turned by `turn` channels: where taps see them, and which bits come from where. */
static void fill_turn(state *st, uint32_t turn) {
    const bnn_window *w = &st->sum.window;
    const uint32_t group = st->sum.group_channels;
    const uint64_t *from = st->sum.weight->data; /* a word for each tap of each output */
    for (size_t t = turn; t < st->taps; t += group) {
        uint64_t *to = st->weights + t * st->period;
        for (size_t n = 0; n < st->sum.outputs; n++)
            if (from[(n * st->taps + t) / group] >> (n + turn) % group & 1) bnn_bit_set(to, n);
        for (size_t i = st->words; i < st->period; i++) to[i] = to[i - st->words];
        size_t row = t / group / w->kernel_w * w->dilation_h, column = t / group % w->kernel_w * w->dilation_w;
        size_t pixel = column % w->stride_w * bnn_padded_phase(&st->padded) + column / w->stride_w;
        st->offset[t] = turn * st->copy_words + row * st->row_words + pixel * st->words;
    }
    for (size_t n = 0; n < st->sum.outputs; n++)
        bnn_bit_set((n % group + turn < group ? st->keep : st->wrap) + turn * st->words, n);
}

/* The planes of levels for one word of channels in a border class. The kernel's levels are 0 to taps: none that every
 * count is above, which becomes one that none is above, the other way round; so are channels that do not exist. */
static void fill_word(const state *st, uint32_t class_, size_t word, uint64_t *level) {
    for (uint32_t bit = 0; bit < BNN_WORD_BITS; bit++) {
        size_t n = word * BNN_WORD_BITS + bit;
        int64_t most = n < st->sum.outputs ? bnn_tables_most(&st->tables, &st->sum, class_, n) : -1;
        int flip = n < st->sum.outputs && bnn_bit_get(st->tables.flip, n);
        if (most < 0) flip = !flip;
        if (most < 0 || most > (int64_t)st->taps) most = (int64_t)st->taps;
        for (size_t b = 0; b < st->planes; b++) level[b * st->period] |= (uint64_t)(most >> b & 1) << bit;
        level[st->planes * st->period] |= (uint64_t)flip << bit;
    }
}

static uint16_t class_of(const state *st, size_t pixel) {
    const bnn_window *w = &st->sum.window;
    return st->tables.cols.of[pixel < w->out_w ? pixel : w->out_w - 1];
}

static int same_kind(const state *st, size_t a, size_t b, size_t pixels) {
    for (size_t i = 0; i < pixels; i++)
        if (class_of(st, a * pixels + i) != class_of(st, b * pixels + i)) return 0;
    return 1;
}

static void fill_levels(state *st) {
    size_t pixels = st->period / st->words, kind = 0, size = (st->planes + 1) * st->period;
    for (size_t at = 0; at < periods(st); at++) {
        if (at > 0 && same_kind(st, at - 1, at, pixels)) {
            st->kind[at] = (uint16_t)kind;
            continue;
        }
        if (at > 0) kind++;
        st->kind[at] = (uint16_t)kind;
        for (size_t row = 0; row < st->tables.rows.count; row++)
            for (size_t i = 0; i < st->period; i++)
                fill_word(st, (uint32_t)(row * st->tables.cols.count) + class_of(st, at * pixels + i / st->words),
                          i % st->words, st->level + (row * st->kinds + kind) * size + i);
    }
}

/* One row of outputs from the rows that its window begins with. */
static void run_row(const state *st, uint32_t y, const uint64_t *x, void *out) {
    const bnn_tables *t = &st->tables;
    const size_t row_class = t->rows.of[y]; /* counted in classes, cols.count a row */
    st->kernel->run(
        &(bnn_bdepth_run){.x = x,
                          .offset = st->offset,
                          .taps = st->taps,
                          .planes = st->planes,
                          .words = st->words,
                          .period = st->period,
                          .pixels = st->sum.window.out_w,
                          .weights = st->weights,
                          .bits = st->sum.to_bits ? out : NULL,
                          .level = st->level + row_class / t->cols.count * st->kinds * (st->planes + 1) * st->period,
                          .kind = st->kind,
                          .floats = st->sum.to_bits ? NULL : out,
                          .channels = st->sum.outputs,
                          .base = st->base + row_class * t->padded,
                          .class_ = t->cols.of,
                          .scale = t->scale,
                          .bias = t->bias,
                          .factor = (float)t->factor});
}

/* The rows of `count` rows of outputs from y on, in scratch, and their copies. */
static const uint64_t *make_rows(const state *st, const uint64_t *image, uint32_t y, uint32_t count,
                                 uint64_t *scratch) {
    const bnn_window *w = &st->sum.window;
    const uint32_t group = st->sum.group_channels, rows = bnn_padded_in_rows(w, count);
    uint64_t *first = scratch + ALIGNED_WORDS;
    bnn_padded_rows(&st->padded, image, 0, (int64_t)y * w->stride_h - w->pad_top, rows, first);
    for (uint32_t turn = 1; turn < group; turn++)
        bnn_bits_turn(first, rows * st->row_words / st->words, st->words, group, turn, st->keep + turn * st->words,
                      st->wrap + turn * st->words, first + turn * st->copy_words);
    return first;
}

static void run(const bnn_step *step, const bnn_job *job) {
    const state *st = step->state;
    const bnn_window *w = &st->sum.window;
    size_t pixel_bytes = st->sum.to_bits ? st->words * BNN_WORD_BYTES : st->sum.outputs * sizeof(float), begin, end;
    bnn_share(job, (size_t)w->out_h * job->batch, 1, &begin, &end);
    const uint64_t *rows = NULL;
    for (size_t unit = begin, made = begin; unit < end; unit++) {
        const uint32_t y = (uint32_t)(unit % w->out_h);
        const uint64_t *image = (const uint64_t *)job->in[0] + unit / w->out_h * w->in_h * w->in_w * st->words;
        if (!st->copied) {
            rows = image + (size_t)y * w->stride_h * st->row_words;
        } else if (unit == made) {
            size_t left = w->out_h - y < end - unit ? w->out_h - y : end - unit;
            uint32_t count = left < st->band ? (uint32_t)left : st->band;
            rows = make_rows(st, image, y, count, (uint64_t *)(void *)job->scratch), made += count;
        } else {
            rows += w->stride_h * st->row_words;
        }
        size_t pixel = unit * w->out_w;
        run_row(st, y, rows, (unsigned char *)job->out[0] + (step->local_out ? 0 : pixel) * pixel_bytes);
        bnn_follow(job, &(bnn_part){pixel, w->out_w, 0, st->sum.outputs});
    }
}

bnn_status bnn_binary_depthwise_prepare(bnn_prepare *p) {
    bnn_step *step = p->step;
    state st = {.sum = bnn_sum_of(step->node, step->in[0]), .kernel = bnn_bdepth_find(p->isa)}, *kept;
    BNN_TRY(bnn_prepare_fits(p, bnn_tables_least(&st.sum)));
    lay_geometry(&st);
    bnn_carver measure = {0};
    bnn_carve(&measure, sizeof st);
    lay(&st, &measure);
    BNN_TRY(bnn_prepare_state(p, measure.used));
    bnn_carver carver = {.memory = step->state};
    kept = bnn_carve(&carver, sizeof st);
    lay(&st, &carver);
    if (bnn_tables_fill(&st.tables, &st.sum)) return bnn_prepare_no_memory(p);
    for (uint32_t turn = 0; turn < st.sum.group_channels; turn++) fill_turn(&st, turn);
    if (st.sum.to_bits) fill_levels(&st);
    size_t classes = (size_t)st.tables.rows.count * st.tables.cols.count;
    for (size_t i = 0; !st.sum.to_bits && i < classes * st.tables.padded; i++) st.base[i] = (float)st.tables.base[i];
    if (st.copied) {
        uint64_t words = bnn_size_add(bnn_size_mul(st.copy_words, st.sum.group_channels), ALIGNED_WORDS);
        step->scratch_bytes = bnn_size_mul(words, BNN_WORD_BYTES);
    }
    memcpy(kept, &st, sizeof st);
    step->family = "bdepth";
    step->isa = st.kernel->isa;
    step->run = run;
    step->bands = 1;
    step->band_pixels = st.sum.window.out_w;
    return BNN_OK;
}
