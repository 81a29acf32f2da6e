/* What a layer kind is to the rest of the core: a name, counts, and what it does at three times.
 *
 *   check    when a file is loaded: attributes, tensors and declared shapes of a node; trusts nothing
 *   prepare  when a plan is built: chooses kernels, packs weights, says how much scratch a thread needs
 *   run      for a batch: this thread's share of the work, from inputs to outputs
 */
#ifndef BNN_OP_H
#define BNN_OP_H

#include "../kernels.h"
#include "../model.h"

typedef struct bnn_op bnn_op;

/* A node's inputs and declared outputs, for check. */
typedef struct bnn_check {
    const bnn_node *node;
    const bnn_spec *in[BNN_NODE_INPUTS], *out[BNN_NODE_OUTPUTS];
    bnn_error *error;
} bnn_check;

typedef struct bnn_step bnn_step;
typedef struct bnn_job bnn_job;
typedef struct bnn_follower bnn_follower;
typedef struct bnn_feed bnn_feed;

/* Some pixels, counted through the whole batch, and some channels of each: from a multiple of BNN_BLOCK to another or
 * to the last. A pixel is everything but the last dimension. */
typedef struct bnn_part {
    size_t pixel, pixels;
    uint32_t channel, channels;
} bnn_part;

/* A node that a plan has prepared. */
struct bnn_step {
    const bnn_node *node;
    const bnn_spec *in[BNN_NODE_INPUTS], *out[BNN_NODE_OUTPUTS];
    void *state;            /* the op's own; one block, of BNN_ALIGN-aligned memory */
    uint64_t scratch_bytes; /* for each thread, whatever the batch */
    uint32_t chunk;         /* the largest batch that run will see */
    int alias;              /* the output is the input's memory: there is nothing to run */
    const char *family;     /* of the kernel that does the work, "" for none */
    const char *family_few; /* the same for batches of up to few_samples, where it is another */
    uint32_t few_samples;
    bnn_isa isa; /* of that kernel's variant */
    uint64_t macs, binary_macs, weight_bytes;
    uint64_t comparisons; /* of pooling, for one sample; they count towards the limit on macs */
    void (*run)(const bnn_step *step, const bnn_job *job);
    /* Set by operators that work on each pixel by itself: they do any part of their output, and run is bnn_run_parts.
     * Such a step runs within the pass of the step before it, part by part, while the numbers are in cache. */
    void (*part)(const bnn_step *step, const bnn_job *job, const bnn_part *part);
    /* A head that does links (kernels.h) to its numbers while it writes them takes over the first steps behind it that
     * can be one: link gives what the step does to input k, beside its other inputs. */
    int links; /* of a head */
    void (*link)(const bnn_step *step, const bnn_job *job, uint32_t k, bnn_link *link);
    uint32_t link_inputs; /* bit k: input k may be what the head makes */
    uint32_t linked;      /* the input that is */
    int link_by_sample;   /* the link is another for each sample: only for heads that take them one by one */
    uint32_t taken;       /* by this head */
    int bands;            /* run calls bnn_follow for each part of its output that it has finished */
    uint32_t followers;   /* how many of the next steps run in this one's pass */
    uint32_t head;        /* the step behind which this one runs part by part, or itself */
    uint32_t pass;        /* the step that begins the pass: the head, or the one that feeds it */
    /* A pool may have its input made a few rows at a time, by the pass before it, in a window of scratch. */
    int by_rows;        /* run's share is of rows of float32 pixels, all images', or the rows that the job asks for */
    size_t window_rows; /* of a pool: how many of its input's rows the window has; 0 where it wants none */
    int feeds;          /* this head's pass is run by the step behind it, a window at a time */
    int in_place;       /* the output is written over this input, counted from 1; 0 for none */
    /* Bands of a value that nobody outside the pass reads are held in scratch, one at a time, so that a part's first
     * pixel is the buffer's. A head that can write its output so says of how many pixels a band has at most. */
    size_t band_pixels;
    uint32_t local_in; /* bit k: input k is such a band */
    int local_out;
};

/* What prepare works with. */
typedef struct bnn_prepare {
    bnn_step *step;
    bnn_isa isa;
    int fast_math;
    const bnn_choices *choices;
    uint64_t max_bytes; /* that the plan may still take */
    bnn_error *error;
} bnn_prepare;

/* One share of one run: number `thread` of `threads` equal ones. Values of a batch follow each other without gaps. */
struct bnn_job {
    const void *in[BNN_NODE_INPUTS];
    void *out[BNN_NODE_OUTPUTS];
    const bnn_link *links; /* what is done to the output on its way */
    uint32_t link_count;
    uint32_t batch;
    uint32_t thread, threads;
    unsigned char *scratch;
    const bnn_follower *followers; /* what runs in this step's pass, in order */
    uint32_t follower_count;
    size_t first, last; /* instead of a share: these rows; no rows where it is a share */
    bnn_feed *feed;     /* the pass that makes the input, or NULL */
};

enum { BNN_MOST_FOLLOWERS = 15, BNN_MOST_LINKS = 4 };
enum { BNN_NO_LINKS, BNN_LINKS_OF_ALL, BNN_LINKS_BY_SAMPLE }; /* step->links */

/* A step in the pass of another. */
struct bnn_follower {
    const bnn_step *step;
    bnn_job job;
};

/* A pass whose rows another asks for. Its last step writes row r of the batch at *out + r * (bytes of a row). */
struct bnn_feed {
    const bnn_step *step;
    bnn_job job;
    void **out;
    unsigned char *window;
    size_t first, last; /* the rows that are there, from the window's beginning on */
};

struct bnn_op {
    const char *name;
    uint8_t inputs, outputs;
    uint32_t tensor_slots;    /* bit t: slot t may hold a tensor */
    uint32_t attribute_count; /* attributes from here on are zero */
    bnn_status (*check)(const bnn_check *check);
    bnn_status (*prepare)(bnn_prepare *prepare); /* sets step->run, unless the output is an alias of the input */
    uint8_t most_inputs;                         /* where the number is free; `inputs` is then the least */
};

/* The operator of that number, or NULL. */
const bnn_op *bnn_op_find(uint32_t number);

/* All of a node's checks: slots, attributes, then the operator's own. */
bnn_status bnn_op_check(const bnn_model *model, const bnn_node *node, bnn_error *error);

/* ---- for the operators ---- */

/* A message that begins with the layer's name and operator. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
bnn_status
bnn_bad_node(const bnn_check *check, const char *format, ...);

/* Whether a tensor slot holds the dtype and dims; a required one must be there. Floats must be finite. */
bnn_status bnn_check_tensor(const bnn_check *check, uint32_t slot, const char *what, int required, bnn_dtype dtype,
                            uint32_t rank, const uint32_t *dims);
/* Whether input 0 has one of the dtypes (a set of 1u << dtype) and, where not negative, the rank. */
bnn_status bnn_check_input(const bnn_check *check, uint32_t dtypes, int rank);
/* Whether output 0 is declared as what the operator makes. */
bnn_status bnn_check_output(const bnn_check *check, bnn_dtype dtype, uint32_t rank, const uint32_t *dims);

/* Refuses what the plan's limit does not allow: for tables whose size takes time to find, before it is spent. */
bnn_status bnn_prepare_fits(bnn_prepare *prepare, uint64_t bytes);
/* Fails for want of memory that is needed only while a layer is prepared. */
bnn_status bnn_prepare_no_memory(const bnn_prepare *prepare);
/* Memory for step->state, zeroed, where it fits. */
bnn_status bnn_prepare_state(bnn_prepare *prepare, uint64_t bytes);

/* Where a part begins in an input of the output's shape, or in the output, in numbers. */
static inline size_t bnn_part_in(const bnn_step *step, uint32_t k, const bnn_part *part) {
    size_t pixel = step->local_in >> k & 1 ? 0 : part->pixel;
    return pixel * step->out[0]->dims[step->out[0]->rank - 1] + part->channel;
}
static inline size_t bnn_part_out(const bnn_step *step, const bnn_part *part) {
    size_t pixel = step->local_out ? 0 : part->pixel;
    return pixel * step->out[0]->dims[step->out[0]->rank - 1] + part->channel;
}
/* A part of a float32 output as rows. */
static inline bnn_rows bnn_part_rows(const bnn_step *step, const bnn_part *part) {
    return (bnn_rows){part->pixels, part->channels, step->out[0]->dims[step->out[0]->rank - 1], 1};
}

/* Tables of one number a channel, laid out over and over until a row of them is long enough for the loops over it to be
 * worth their while. */
static inline size_t bnn_repeat(size_t channels) { return channels < 128 ? 256 / channels : 1; }
void bnn_repeat_fill(float *to, const float *table, size_t channels);
/* The same with tables that bnn_repeat_fill has laid out. */
static inline bnn_rows bnn_part_repeated(const bnn_step *step, const bnn_part *part) {
    bnn_rows r = bnn_part_rows(step, part);
    if (r.n == r.stride) r.repeat = bnn_repeat(r.n);
    return r;
}
/* Rows first .. last-1 of the batch, of row_bytes each; where some are not there yet, those up to `most` are made, and
 * the ones from `first` on that are there stay. Rows are asked for in rising order. */
const void *bnn_feed_rows(bnn_feed *feed, size_t first, size_t last, size_t most, size_t row_bytes);
/* For step->run of an operator that has step->part. */
void bnn_run_parts(const bnn_step *step, const bnn_job *job);
/* Does the followers' part of what the step has just finished. */
static inline void bnn_follow(const bnn_job *job, const bnn_part *part) {
    for (uint32_t i = 0; i < job->follower_count; i++)
        job->followers[i].step->part(job->followers[i].step, &job->followers[i].job, part);
}

/* This thread's part of n equal units, rounded to multiples of `grain`; or the rows asked for. */
static inline void bnn_share(const bnn_job *job, size_t n, size_t grain, size_t *begin, size_t *end) {
    if (job->last) {
        *begin = job->first, *end = job->last;
        return;
    }
    size_t grains = n / grain + (n % grain != 0);
    *begin = grains * job->thread / job->threads * grain;
    *end = grains * (job->thread + 1) / job->threads * grain;
    if (*begin > n) *begin = n;
    if (*end > n) *end = n;
}

#define BNN_TRY(call)                                                                                                  \
    do {                                                                                                               \
        bnn_status status_ = (call);                                                                                   \
        if (status_ != BNN_OK) return status_;                                                                         \
    } while (0)

#endif
