/* Passes: a step, and the steps that work on its output pixel by pixel while it is still in the first cache.
 *
 * A convolution that is followed by a residual addition, a PReLU and a sign makes a few rows, and those rows are added
 * to, bent and packed before the next ones are made, so that a float goes to memory once or, where nobody else reads
 * it, not at all. A pool of floats asks the pass before it for a few rows at a time, if that pass leaves nothing else.
 * What is computed, and how it is rounded, stays as it is.
 */
#include "plan.h"

#include <string.h>

static int same_dims(const bnn_spec *a, const bnn_spec *b) {
    return a->rank == b->rank && memcmp(a->dims, b->dims, sizeof a->dims) == 0;
}

/* Whether step i can run part by part behind the others of the pass that `head` begins: it works pixel by pixel on an
 * image of the head's size, and whatever it reads is the same part of what the pass has made, or was there before. */
static int follows(const bnn_plan *plan, uint32_t head, uint32_t i) {
    const bnn_step *first = &plan->steps[head], *step = &plan->steps[i];
    if (!first->bands || !step->part || first->node->op->outputs != 1 || i - head > BNN_MOST_FOLLOWERS) return 0;
    if (!same_dims(first->out[0], step->out[0])) return 0;
    int chained = 0;
    for (uint32_t k = 0; k < step->node->input_count; k++) {
        if (step->node->inputs[k] < first->node->outputs[0]) continue; /* values are numbered as they are made */
        if (!same_dims(step->in[k], first->out[0])) return 0;
        chained = 1;
    }
    return chained;
}

/* The last step that reads what a step made: UINT32_MAX where it leaves the network, 0 where nobody does. */
static uint32_t last_reader(const bnn_plan *plan, uint32_t value) {
    uint32_t last = 0;
    for (uint32_t i = 0; i < plan->model->output_count; i++)
        if (plan->model->outputs[i] == value) return UINT32_MAX;
    for (uint32_t i = 0; i < plan->step_count; i++)
        for (uint32_t k = 0; k < plan->steps[i].node->input_count; k++)
            if (plan->steps[i].node->inputs[k] == value) last = i;
    return last;
}

/* Whether the pass that step `head` begins can be run by the step behind it: a row may be made twice, by two threads,
 * so nothing but windows and bands may be written. A value that nobody reads is no band. */
static int can_feed(const bnn_plan *plan, uint32_t head) {
    const bnn_step *first = &plan->steps[head];
    uint32_t end = head + 1 + first->followers;
    if (!first->by_rows || end >= plan->step_count) return 0;
    const bnn_step *pool = &plan->steps[end];
    uint32_t last = plan->steps[end - 1].node->outputs[0];
    if (!pool->window_rows || pool->node->inputs[0] != last || last_reader(plan, last) != end) return 0;
    for (uint32_t i = head; i + 1 < end; i++) {
        uint32_t reader = last_reader(plan, plan->steps[i].node->outputs[0]);
        if (!reader || reader >= end) return 0;
    }
    return 1;
}

/* The input of the step that is `value`, if a link may take it there; else the number of inputs. */
static uint32_t linked_input(const bnn_step *step, uint32_t value) {
    uint32_t k = 0;
    while (k < step->node->input_count && !(step->node->inputs[k] == value && step->link_inputs >> k & 1)) k++;
    return k;
}

/* How many of the first steps behind `head` it does while it writes its output: each works on what the one before made,
 * which nobody else wants, and on what was there before the pass. */
static uint32_t take_links(bnn_plan *plan, uint32_t head) {
    const bnn_step *first = &plan->steps[head];
    uint32_t count = 0;
    for (; first->links && count < first->followers && count < BNN_MOST_LINKS; count++) {
        bnn_step *step = &plan->steps[head + 1 + count];
        uint32_t made = step[-1].node->outputs[0], k = linked_input(step, made);
        if (k == step->node->input_count || last_reader(plan, made) != head + 1 + count) break;
        if (step->link_by_sample && first->links != BNN_LINKS_BY_SAMPLE) break;
        if (step->node->input_count > 1 && step->node->inputs[1 - k] >= first->node->outputs[0]) break;
        step->linked = k;
    }
    return count;
}

void bnn_plan_passes(bnn_plan *plan) {
    uint32_t head = 0;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        if (i == 0 || !follows(plan, head, i))
            head = i;
        else
            plan->steps[head].followers++;
        plan->steps[i].head = plan->steps[i].pass = head;
    }
    for (head = 0; head < plan->step_count; head += 1 + plan->steps[head].followers) {
        plan->steps[head].taken = take_links(plan, head);
        if (!can_feed(plan, head)) continue;
        uint32_t pool = head + 1 + plan->steps[head].followers;
        plan->steps[head].feeds = 1;
        for (uint32_t i = 0; i <= plan->steps[pool].followers; i++) plan->steps[pool + i].pass = head;
    }
}
