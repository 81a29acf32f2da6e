#include "plan.h"
#include "arena.h"
#include "choices.h"
#include "error.h"
#include "memory.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_STEPS = 16384, MAX_CHUNK = 256, MAX_THREADS = 256 };
/* Samples of one chunk should leave their values in the second-level cache, unless the weights that would be read anew
 * for each of them are four times as much. */
static const uint64_t chunk_bytes = 512 << 10, most_chunk_bytes = 8 << 20;

/* Below these, waking or meeting other threads costs more than it saves: a run of about 0.1 ms, a step of about 10
 * microseconds. */
static const uint64_t default_wake_from = UINT64_C(30000000), default_share_from = UINT64_C(3000000);

static const uint64_t default_max_bytes = UINT64_C(8) << 30;

uint64_t bnn_step_work(const bnn_step *step) {
    uint64_t real = bnn_size_add(step->macs - step->binary_macs, step->comparisons);
    uint64_t bytes = bnn_size_add(bnn_spec_bytes(step->in[0]), bnn_spec_bytes(step->out[0]));
    return bnn_size_add(step->binary_macs, bnn_size_mul(16, bnn_size_add(real, bytes)));
}

static bnn_status choose_isa(const bnn_plan_options *options, bnn_isa *isa, bnn_error *error) {
    *isa = bnn_isa_best();
    if (!options->isa) return BNN_OK;
    int named = bnn_isa_from_name(options->isa);
    if (named < 0)
        return bnn_fail(error, BNN_E_ISA, "isa: got \"%.32s\", which is none of ref, avx2, avx512bw, avx512, neon",
                        options->isa);
    if (!bnn_isa_supported((bnn_isa)named))
        return bnn_fail(error, BNN_E_ISA, "isa: this CPU, or this build, cannot run %s; the best it has is %s",
                        options->isa, bnn_isa_name(*isa));
    *isa = (bnn_isa)named;
    return BNN_OK;
}

static bnn_status prepare_steps(bnn_plan *plan, const bnn_plan_options *options, bnn_error *error) {
    const bnn_limits *limits = &options->limits;
    const bnn_model *m = plan->model;
    uint64_t left = plan->max_bytes, work = 0;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        bnn_step *step = &plan->steps[i];
        step->node = &m->nodes[i];
        step->family = "";
        for (uint32_t v = 0; v < step->node->input_count; v++) step->in[v] = &m->values[step->node->inputs[v]];
        for (uint32_t v = 0; v < step->node->op->outputs; v++) step->out[v] = &m->values[step->node->outputs[v]];
        bnn_prepare prepare = {.step = step,
                               .isa = plan->isa,
                               .fast_math = options->fast_math,
                               .choices = &plan->choices,
                               .max_bytes = left,
                               .error = error};
        bnn_status status = step->node->op->prepare(&prepare);
        if (status != BNN_OK) return status;
        left = prepare.max_bytes;
        plan->weight_bytes += step->weight_bytes;
        work = bnn_size_add(work, bnn_size_add(step->macs, step->comparisons));
        if (limits->max_macs && work > limits->max_macs)
            return bnn_fail(
                error, BNN_E_LIMIT,
                "layer \"%.48s\" (%s): up to here the network has %llu multiply-accumulates and comparisons "
                "a sample, the limit is %llu",
                step->node->name, step->node->op->name, (unsigned long long)work, (unsigned long long)limits->max_macs);
    }
    return BNN_OK;
}

static bnn_status lay_arena(bnn_plan *plan, bnn_error *error) {
    uint32_t n = plan->model->value_count;
    uint32_t *root = calloc(n, sizeof *root), *order = calloc((size_t)n * 3, sizeof *order);
    bnn_lifetime *lives = calloc(n, sizeof *lives);
    uint64_t *alive = calloc((size_t)plan->step_count + 2, sizeof *alive);
    bnn_status status = BNN_E_MEMORY;
    if (root && order && lives && alive)
        bnn_plan_place(plan, root, lives, order, alive), status = BNN_OK;
    else
        bnn_fail(error, BNN_E_MEMORY, "no memory to place %u values", (unsigned)n);
    free(root), free(order), free(lives), free(alive);
    if (status != BNN_OK) return status;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        uint64_t scratch = bnn_size_align(plan->steps[i].scratch_bytes);
        if (scratch > plan->scratch_bytes) plan->scratch_bytes = scratch;
    }
    uint64_t room = plan->weight_bytes / 4;
    if (room > most_chunk_bytes) room = most_chunk_bytes;
    if (room < chunk_bytes) room = chunk_bytes;
    uint64_t fit = plan->arena_bytes ? room / plan->arena_bytes : MAX_CHUNK;
    plan->chunk = fit < 1 ? 1 : fit > MAX_CHUNK ? MAX_CHUNK : (uint32_t)fit;
    uint64_t session =
        bnn_size_add(bnn_size_mul(plan->arena_bytes, plan->chunk), bnn_size_mul(plan->scratch_bytes, plan->threads));
    if (session > plan->max_bytes)
        return bnn_fail(error, BNN_E_LIMIT,
                        "a session needs %llu bytes for values and working memory, the limit is %llu",
                        (unsigned long long)session, (unsigned long long)plan->max_bytes);
    return BNN_OK;
}

bnn_status bnn_plan_build(const bnn_model *model, const bnn_plan_options *options, bnn_plan **out, bnn_error *error) {
    static const bnn_plan_options none;
    if (!options) options = &none;
    *out = NULL;
    bnn_isa isa;
    bnn_status status = choose_isa(options, &isa, error);
    if (status != BNN_OK) return status;
    if (options->threads > MAX_THREADS)
        return bnn_fail(error, BNN_E_ARGUMENT, "threads: got %u, at most %d", (unsigned)options->threads, MAX_THREADS);
    if (model->node_count > MAX_STEPS)
        return bnn_fail(error, BNN_E_LIMIT, "the network has %u layers, at most %d", (unsigned)model->node_count,
                        MAX_STEPS);
    const bnn_choices *choices = options->choices ? options->choices : bnn_choices_of(isa);
    if (!bnn_choices_allowed(choices)) return bnn_fail(error, BNN_E_ARGUMENT, "choices: out of range");
    bnn_plan *plan = calloc(1, sizeof *plan);
    if (!plan) return bnn_fail(error, BNN_E_MEMORY, "no memory for the plan");
    plan->model = model;
    plan->isa = isa;
    plan->choices = *choices;
    plan->threads = options->threads ? options->threads : 1;
    plan->wake_from = options->share_from ? options->share_from : default_wake_from;
    plan->share_from = options->share_from ? options->share_from : default_share_from;
    plan->step_count = model->node_count;
    plan->max_bytes = options->limits.max_bytes ? options->limits.max_bytes : default_max_bytes;
    plan->steps = calloc(plan->step_count, sizeof *plan->steps);
    plan->places = calloc(model->value_count, sizeof *plan->places);
    status = BNN_E_MEMORY;
    if (plan->steps && plan->places) {
        status = prepare_steps(plan, options, error);
        if (status == BNN_OK) bnn_plan_passes(plan), status = lay_arena(plan, error);
    } else {
        bnn_fail(error, BNN_E_MEMORY, "no memory for %u steps", (unsigned)plan->step_count);
    }
    if (status != BNN_OK) {
        bnn_plan_free(plan);
        return status;
    }
    *out = plan;
    return BNN_OK;
}

void bnn_plan_free(bnn_plan *plan) {
    if (!plan) return;
    if (plan->steps)
        for (uint32_t i = 0; i < plan->step_count; i++) bnn_memory_free(plan->steps[i].state);
    free(plan->steps);
    free(plan->places);
    free(plan);
}

void bnn_plan_get_info(const bnn_plan *plan, bnn_plan_info *info) {
    *info = (bnn_plan_info){.isa = bnn_isa_name(plan->isa),
                            .threads = plan->threads,
                            .steps = plan->step_count,
                            .chunk = plan->chunk,
                            .arena_bytes = plan->arena_bytes,
                            .arena_bound = plan->arena_bound,
                            .scratch_bytes = plan->scratch_bytes,
                            .weight_bytes = plan->weight_bytes};
}

bnn_status bnn_plan_step(const bnn_plan *plan, uint32_t i, bnn_step_info *info) {
    if (i >= plan->step_count) return BNN_E_ARGUMENT;
    const bnn_step *step = &plan->steps[i];
    *info = (bnn_step_info){.name = step->node->name,
                            .op = step->node->op->name,
                            .family = step->family,
                            .family_few = step->few_samples ? step->family_few : step->family,
                            .few_samples = step->few_samples,
                            .isa = step->family[0] ? bnn_isa_name(step->isa) : "",
                            .macs = step->macs,
                            .binary_macs = step->binary_macs,
                            .weight_bytes = step->weight_bytes,
                            .pass = step->pass};
    return BNN_OK;
}
