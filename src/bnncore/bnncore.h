/* bnncore: runs a binarized neural network from a packed .bnn file. The only public header.
 *
 *   bytes --bnn_model_load--> model --bnn_plan_build--> plan --bnn_session_new--> session --bnn_session_run--> numbers
 *
 * A model is what the network is; a plan is how this CPU will run it, immutable once built and free to be shared
 * between threads; a session is where it runs, one for each caller that runs at the same time. Nothing here prints,
 * aborts or keeps global state. A function that can fail returns a status and fills the error that it is given (which
 * may be NULL).
 */
#ifndef BNNCORE_H
#define BNNCORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum bnn_status {
    BNN_OK = 0,
    BNN_E_ARGUMENT, /* the caller asked for something that is not there */
    BNN_E_MEMORY,   /* the system gave no memory */
    BNN_E_FORMAT,   /* not a .bnn file, or a damaged one */
    BNN_E_VERSION,  /* a .bnn file of a version that this library does not know */
    BNN_E_MODEL,    /* a sound file of a network that cannot be: shapes, types, attributes */
    BNN_E_LIMIT,    /* more memory or work than the limits allow */
    BNN_E_ISA,      /* an instruction set that is unknown, or that this CPU lacks */
} bnn_status;

typedef struct bnn_error {
    bnn_status status;
    char message[384];
} bnn_error;

/* int32 and int8 are for tensors only. */
typedef enum bnn_dtype {
    BNN_BITS = 1,
    BNN_UINT8 = 2,
    BNN_INT32 = 3,
    BNN_INT64 = 4,
    BNN_FLOAT32 = 5,
    BNN_INT8 = 6
} bnn_dtype;

enum { BNN_MAX_RANK = 6 };

/* A value or a tensor: for values, dims are without the batch. */
typedef struct bnn_spec {
    const char *name; /* UTF-8; a tensor has none */
    bnn_dtype dtype;
    uint32_t rank;
    uint32_t dims[BNN_MAX_RANK];
} bnn_spec;

typedef struct bnn_model bnn_model;
typedef struct bnn_plan bnn_plan;
typedef struct bnn_session bnn_session;

/* What one network may cost; 0 stands for the default. */
typedef struct bnn_limits {
    uint64_t max_bytes; /* memory of a plan and of a session, each; default 8 GiB */
    uint64_t max_macs;  /* multiply-accumulates, and comparisons of pooling, for one sample; default no limit */
} bnn_limits;

/* Checks all of the file and copies it, so that the caller's bytes are free afterwards. */
bnn_status bnn_model_load(const void *bytes, size_t size, bnn_model **model, bnn_error *error);
void bnn_model_free(bnn_model *model);
/* The file as it was loaded; it lives as long as the model. */
const void *bnn_model_bytes(const bnn_model *model, size_t *size);

uint32_t bnn_model_input_count(const bnn_model *model);
uint32_t bnn_model_output_count(const bnn_model *model);
uint32_t bnn_model_value_count(const bnn_model *model);
uint32_t bnn_model_node_count(const bnn_model *model);
uint32_t bnn_model_metadata_count(const bnn_model *model);
/* Inputs are the values 0 .. input_count-1. */
uint32_t bnn_model_output(const bnn_model *model, uint32_t i);
const bnn_spec *bnn_model_value(const bnn_model *model, uint32_t id);
void bnn_model_metadata(const bnn_model *model, uint32_t i, const char **key, size_t *key_bytes, const char **value,
                        size_t *value_bytes);

/* One node as the file has it. Slots that are not used are UINT32_MAX in inputs and outputs, NULL in tensor_data. */
typedef struct bnn_node_info {
    const char *name, *op;
    uint32_t inputs[8], outputs[4], attributes[16];
    bnn_spec tensors[8];
    const void *tensor_data[8];
    size_t tensor_bytes[8];
} bnn_node_info;

bnn_status bnn_model_node(const bnn_model *model, uint32_t i, bnn_node_info *info);

/* Where two roads lead to the same result, which one is taken (choices.h). */
typedef struct bnn_choices {
    uint32_t vector_rows;    /* dense layers on bits: samples up to which bgemv takes one by one, not bgemm all; */
    uint32_t narrow_rows;    /* more where there are few outputs, */
    uint32_t narrow_outputs; /* that is, up to so many; */
    uint32_t vector_words;   /* else none where a sample has fewer words */
    uint32_t matmul_rows;    /* products of two activations: rows of the first up to which bgemv takes one by one */
    uint32_t byte_depth;     /* convolutions of uint8: sums up to this long go through igemm, others by bit planes */
    uint32_t winograd_width; /* with fast_math, float32 rows of fewer outputs are summed directly, */
    uint32_t winograd_depth; /* products of fewer terms too, */
    uint32_t winograd_kib;   /* and weights that would take more KiB */
    uint32_t thin_channels; /* on bits, groups of as many outputs as channels go through bdepth up to so many, and those
                               that are wider through bgemm */
} bnn_choices;

typedef struct bnn_plan_options {
    const char *isa;     /* "ref", "avx2", "avx512bw", "avx512", "neon"; NULL for the best that the CPU has */
    uint32_t threads;    /* threads of one session, the caller's among them; 0 for 1 */
    uint64_t share_from; /* work, about in binary multiply-accumulates, from which a step is shared; 0 for the default,
                            1 for all */
    int fast_math;       /* float32 sums may be rounded in other places, where that is faster */
    const bnn_choices *choices; /* NULL for those that were measured */
    bnn_limits limits;
} bnn_plan_options;

/* The plan keeps what it needs of the model, which must outlive it. */
bnn_status bnn_plan_build(const bnn_model *model, const bnn_plan_options *options, bnn_plan **plan, bnn_error *error);
void bnn_plan_free(bnn_plan *plan);

typedef struct bnn_plan_info {
    const char *isa;
    uint32_t threads, steps;
    uint32_t chunk;         /* samples that a session works on at once */
    uint64_t arena_bytes;   /* values of one sample, after sharing memory by lifetime */
    uint64_t arena_bound;   /* the most that is alive at once, for one sample: no arena is smaller */
    uint64_t scratch_bytes; /* one thread's working memory */
    uint64_t weight_bytes;  /* weights and tables in the form that the kernels read, beside the file's */
} bnn_plan_info;

typedef struct bnn_step_info {
    const char *name, *op;
    const char *family, *isa; /* of the kernel that does the work; both "" where none is used */
    const char *family_few;   /* of the kernel for batches of up to few_samples */
    uint32_t few_samples;
    uint64_t macs;        /* multiply-accumulates for one sample */
    uint64_t binary_macs; /* of which on single bits */
    uint64_t weight_bytes;
    uint32_t pass; /* the step in whose pass this one runs, and whose time has its own; itself where it begins one */
} bnn_step_info;

void bnn_plan_get_info(const bnn_plan *plan, bnn_plan_info *info);
bnn_status bnn_plan_step(const bnn_plan *plan, uint32_t i, bnn_step_info *info);

bnn_status bnn_session_new(const bnn_plan *plan, bnn_session **session, bnn_error *error);
void bnn_session_free(bnn_session *session);

/* Runs `batch` samples. inputs[i] points to batch * input i, outputs[i] to room for batch * output i, both dense and in
 * row-major order, and no output overlaps an input or another output; bits are never among them. step_ns, where not
 * NULL, receives each step's time in nanoseconds. Allocates nothing and cannot fail. One call at a time on a session;
 * sessions of one plan run at the same time. */
void bnn_session_run(bnn_session *session, size_t batch, const void *const *inputs, void *const *outputs,
                     uint64_t *step_ns);

/* CRC32C (Castagnoli), as the file's checksums. */
uint32_t bnn_crc32c(const void *bytes, size_t size);

#ifdef __cplusplus
}
#endif

#endif
