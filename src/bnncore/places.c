/* A place for every value: the caller's memory for what enters and leaves; a band of scratch for what lives and dies
 * within a pass; and one arena for the rest, where values that are never alive together share memory, and a step that
 * works pixel by pixel writes over what it alone still reads.
 */
#include "memory.h"
#include "plan.h"

#include <string.h>

/* When the value is read last, in steps; those that leave the network are read after the last step. */
static void find_last_readers(const bnn_plan *plan, const uint32_t *root, uint32_t *last) {
    const bnn_model *m = plan->model;
    for (uint32_t v = 0; v < m->value_count; v++) last[v] = 0;
    for (uint32_t i = 0; i < plan->step_count; i++)
        for (uint32_t k = 0; k < plan->steps[i].node->input_count; k++) last[root[plan->steps[i].node->inputs[k]]] = i;
    for (uint32_t i = 0; i < m->output_count; i++) last[root[m->outputs[i]]] = UINT32_MAX;
}

/* Whether a step of the pass, but for the given one's head where that works in order, reads the memory of `value`
 * before the given step and out of its order. */
static int read_out_of_order(const bnn_plan *plan, uint32_t i, const uint32_t *root, uint32_t value) {
    const bnn_step *step = &plan->steps[i];
    uint32_t begin = step->pass, end = step->head + (step->head < i && !plan->steps[step->head].part);
    for (uint32_t s = begin; s < end; s++)
        for (uint32_t k = 0; k < plan->steps[s].node->input_count; k++)
            if (root[plan->steps[s].node->inputs[k]] == value) return 1;
    return 0;
}

static int is_fed(const bnn_plan *plan, const bnn_step *step) {
    return step->head != step->pass && step == &plan->steps[step->head];
}

/* Marks what is made and read within one pass, whose head can write it band by band. */
static void find_locals(bnn_plan *plan, const uint32_t *last) {
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const bnn_step *step = &plan->steps[i], *head = &plan->steps[step->head];
        uint32_t v = step->node->outputs[0];
        if (is_fed(plan, step)) plan->places[step->node->inputs[0]].where = BNN_AT_WINDOW;
        if (!head->band_pixels || !head->followers || plan->places[v].where != BNN_AT_ARENA) continue;
        /* the followers stand behind their head, so a last reader among them means that all are; what nobody reads
         * stays in the arena, since a pass without followers writes all of a band at once */
        if (last[v] > i && last[v] <= step->head + head->followers) plan->places[v].where = BNN_AT_SCRATCH;
    }
}

/* The input in memory of this kind, counted from 1, that the step may write its output over; 0 for none. */
static int choose_in_place(const bnn_plan *plan, uint32_t i, bnn_where where, const uint32_t *root,
                           const uint32_t *last) {
    const bnn_step *step = &plan->steps[i];
    const bnn_spec *out = step->out[0];
    for (uint32_t k = 0; k < step->node->input_count; k++) {
        const bnn_spec *in = step->in[k];
        uint32_t memory = root[step->node->inputs[k]];
        if (in->dtype != out->dtype || in->rank != out->rank || memcmp(in->dims, out->dims, sizeof in->dims) != 0)
            continue;
        if (plan->places[memory].where != where || last[memory] != i) continue;
        if (!read_out_of_order(plan, i, root, memory)) return (int)k + 1;
    }
    return 0;
}

/* Which values share one memory: an alias with its input, an output with what it is written over. */
static void find_roots(bnn_plan *plan, uint32_t *root, uint32_t *last) {
    const bnn_model *m = plan->model;
    for (uint32_t v = 0; v < m->value_count; v++) root[v] = v;
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].alias) root[plan->steps[i].node->outputs[0]] = root[plan->steps[i].node->inputs[0]];
    find_last_readers(plan, root, last);
    find_locals(plan, last);
    /* from here on: of steps before i, root is settled, and last[root] is that of everything in its memory */
    for (uint32_t i = 0; i < plan->step_count; i++) {
        bnn_step *step = &plan->steps[i];
        uint32_t out = step->node->outputs[0], old = out;
        if (step->alias) {
            root[out] = root[step->node->inputs[0]]; /* which may have moved meanwhile */
            continue;
        }
        bnn_where where = plan->places[out].where;
        if (!step->part || where == BNN_AT_OUTPUT || where == BNN_AT_WINDOW) continue;
        /* what feeds another pass may make a row twice, and may not change what it is made of */
        if (!plan->steps[step->head].feeds) step->in_place = choose_in_place(plan, i, BNN_AT_ARENA, root, last);
        if (!step->in_place && where == BNN_AT_SCRATCH)
            step->in_place = choose_in_place(plan, i, BNN_AT_SCRATCH, root, last);
        if (!step->in_place) continue;
        root[out] = root[step->node->inputs[step->in_place - 1]];
        last[root[out]] = last[old];
    }
}

/* Passes, not steps, are the time of lifetimes: what one pass touches is alive together. */
static void find_lifetimes(const bnn_plan *plan, const uint32_t *root, bnn_lifetime *lives) {
    const bnn_model *m = plan->model;
    for (uint32_t v = 0; v < m->value_count; v++)
        lives[v] = (bnn_lifetime){.bytes = bnn_size_align(bnn_spec_bytes(&m->values[v]))};
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const bnn_step *step = &plan->steps[i];
        for (uint32_t k = 0; k < step->node->input_count; k++) lives[root[step->node->inputs[k]]].last = step->pass;
        for (uint32_t k = 0; k < step->node->op->outputs; k++) {
            uint32_t v = step->node->outputs[k];
            if (root[v] == v) lives[v].first = step->pass;
            lives[root[v]].last = step->pass;
        }
    }
}

/* The window that a pool is fed through, behind the scratch of the pass that feeds it. */
static void place_window(bnn_plan *plan, bnn_step *pool) {
    bnn_place *place = &plan->places[pool->node->inputs[0]];
    place->at = bnn_size_align(plan->steps[pool->pass].scratch_bytes);
    uint64_t rows = bnn_size_mul(place->bytes / pool->in[0]->dims[0], pool->window_rows);
    pool->scratch_bytes = bnn_size_add(place->at, rows);
}

/* A band for each value of a pass that needs one, behind the head's own scratch. */
static void place_bands(bnn_plan *plan, const uint32_t *root) {
    for (uint32_t i = 0; i < plan->step_count; i++) {
        bnn_step *step = &plan->steps[i], *head = &plan->steps[step->head];
        uint32_t v = step->node->outputs[0];
        if (is_fed(plan, step)) place_window(plan, step);
        if (plan->places[v].where != BNN_AT_SCRATCH || root[v] != v) continue;
        uint64_t pixels = bnn_spec_elements(step->out[0]) / step->out[0]->dims[step->out[0]->rank - 1];
        plan->places[v].at = bnn_size_align(head->scratch_bytes);
        head->scratch_bytes =
            bnn_size_add(plan->places[v].at, bnn_size_mul(plan->places[v].bytes / pixels, head->band_pixels));
    }
}

static void mark_bands(bnn_plan *plan) {
    for (uint32_t i = 0; i < plan->step_count; i++) {
        bnn_step *step = &plan->steps[i];
        for (uint32_t k = 0; k < step->node->input_count; k++)
            step->local_in |= (uint32_t)(plan->places[step->node->inputs[k]].where == BNN_AT_SCRATCH) << k;
        step->local_out = plan->places[step[step->taken].node->outputs[0]].where == BNN_AT_SCRATCH;
    }
}

void bnn_plan_place(bnn_plan *plan, uint32_t *root, bnn_lifetime *lives, uint32_t *order, uint64_t *alive) {
    const bnn_model *m = plan->model;
    for (uint32_t v = 0; v < m->value_count; v++)
        plan->places[v] = (bnn_place){BNN_AT_ARENA, 0, bnn_spec_bytes(&m->values[v])};
    for (uint32_t i = 0; i < m->input_count; i++) plan->places[i].where = BNN_AT_INPUT, plan->places[i].at = i;
    for (uint32_t i = 0; i < m->output_count; i++)
        plan->places[m->outputs[i]].where = BNN_AT_OUTPUT, plan->places[m->outputs[i]].at = i;
    /* what leaves the network cannot share its input's memory */
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (plan->places[plan->steps[i].node->outputs[0]].where == BNN_AT_OUTPUT) plan->steps[i].alias = 0;
    find_roots(plan, root, order);
    place_bands(plan, root);
    find_lifetimes(plan, root, lives);

    uint32_t count = 0; /* lifetimes of the arena, moved to the front; owner remembers whose they are */
    uint32_t *owner = order + 2 * (size_t)m->value_count;
    for (uint32_t v = 0; v < m->value_count; v++)
        if (root[v] == v && plan->places[v].where == BNN_AT_ARENA) lives[count] = lives[v], owner[count++] = v;
    plan->arena_bound = bnn_arena_bound(lives, count, alive, plan->step_count);
    plan->arena_bytes = bnn_arena_place(lives, order, count, plan->arena_bound);
    for (uint32_t i = 0; i < count; i++) plan->places[owner[i]].at = lives[i].offset;
    for (uint32_t v = 0; v < m->value_count; v++)
        if (root[v] != v) plan->places[v] = plan->places[root[v]];
    mark_bands(plan);
}
