/* Where a plan runs: one arena, each thread's scratch, and the loop over the steps. */
#include "error.h"
#include "memory.h"
#include "plan.h"
#include "threads.h"

#include <stdlib.h>
#include <time.h>

struct bnn_session {
    const bnn_plan *plan;
    bnn_threads *threads; /* NULL for one */
    unsigned char *arena, *scratch;
    uint64_t work; /* of one sample, all steps */
};

/* One chunk of a run, as all threads see it. */
typedef struct chunk {
    bnn_session *session;
    const void *const *inputs;
    void *const *outputs;
    size_t first; /* sample */
    uint32_t batch;
    uint32_t threads;
    uint64_t *step_ns;
    const bnn_step *step; /* that begins the pass that is on */
} chunk;

bnn_status bnn_session_new(const bnn_plan *plan, bnn_session **out, bnn_error *error) {
    *out = NULL;
    bnn_session *s = calloc(1, sizeof *s);
    if (!s) return bnn_fail(error, BNN_E_MEMORY, "no memory for a session");
    s->plan = plan;
    s->arena = bnn_memory_new_unset(bnn_size_mul(plan->arena_bytes, plan->chunk));
    s->scratch = bnn_memory_new(bnn_size_mul(plan->scratch_bytes, plan->threads));
    if (plan->threads > 1) s->threads = bnn_threads_new(plan->threads);
    for (uint32_t i = 0; i < plan->step_count; i++) s->work = bnn_size_add(s->work, bnn_step_work(&plan->steps[i]));
    if (!s->arena || !s->scratch || (plan->threads > 1 && !s->threads)) {
        bnn_session_free(s);
        return bnn_fail(error, BNN_E_MEMORY, "no memory, or no threads, for a session: %llu bytes, %u threads",
                        (unsigned long long)(plan->arena_bytes * plan->chunk), (unsigned)plan->threads);
    }
    *out = s;
    return BNN_OK;
}

void bnn_session_free(bnn_session *s) {
    if (!s) return;
    bnn_threads_free(s->threads);
    bnn_memory_free(s->arena);
    bnn_memory_free(s->scratch);
    free(s);
}

static uint64_t now_ns(void) {
    struct timespec t;
#ifdef CLOCK_MONOTONIC
    clock_gettime(CLOCK_MONOTONIC, &t);
#else
    timespec_get(&t, TIME_UTC);
#endif
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *locate(const chunk *c, uint32_t value, uint32_t thread) {
    const bnn_place *p = &c->session->plan->places[value];
    if (p->where == BNN_AT_INPUT) return (unsigned char *)(uintptr_t)c->inputs[p->at] + c->first * p->bytes;
    if (p->where == BNN_AT_OUTPUT) return (unsigned char *)c->outputs[p->at] + c->first * p->bytes;
    if (p->where == BNN_AT_SCRATCH || p->where == BNN_AT_WINDOW)
        return c->session->scratch + c->session->plan->scratch_bytes * thread + p->at;
    return c->session->arena + p->at * c->batch;
}

/* The step that the pass which begins with this one is run by: behind those that feed it, or itself. */
static const bnn_step *runner_of(const bnn_step *step) { return step->feeds ? step + 1 + step->followers : step; }

static uint32_t steps_of(const bnn_step *step) {
    const bnn_step *runner = runner_of(step);
    return (uint32_t)(runner - step) + 1 + runner->followers;
}

/* Into how many shares the pass that begins with this step is cut: 1 where others are no help; more than there are
 * threads where the work is worth it, so that a thread that is held up keeps little from the others. */
static uint32_t shares_of(const chunk *c, const bnn_step *step) {
    const bnn_plan *plan = c->session->plan;
    uint64_t work = 0;
    if (c->threads == 1) return 1;
    for (uint32_t i = 0; i < steps_of(step); i++) work = bnn_size_add(work, bnn_step_work(step + i));
    work = bnn_size_mul(work, c->batch);
    return work < plan->share_from ? 1 : work / 8 < plan->share_from ? c->threads : 2 * c->threads;
}

static bnn_job job_of(const chunk *c, const bnn_step *step, uint32_t thread, uint32_t share, uint32_t shares) {
    bnn_job job = {.batch = c->batch,
                   .thread = share,
                   .threads = shares,
                   .scratch = c->session->scratch + c->session->plan->scratch_bytes * thread};
    for (uint32_t k = 0; k < step->node->input_count; k++) job.in[k] = locate(c, step->node->inputs[k], thread);
    for (uint32_t k = 0; k < step->node->op->outputs; k++) job.out[k] = locate(c, step->node->outputs[k], thread);
    return job;
}

/* The step's job, with those of its followers; what it takes over of them becomes links. */
static bnn_job job_with(const chunk *c, const bnn_step *step, uint32_t thread, uint32_t share, uint32_t shares,
                        bnn_follower *followers, bnn_link *links) {
    bnn_job job = job_of(c, step, thread, share, shares);
    for (uint32_t i = 0; i < step->followers; i++)
        followers[i] = (bnn_follower){step + 1 + i, job_of(c, step + 1 + i, thread, share, shares)};
    for (uint32_t i = 0; i < step->taken; i++) {
        const bnn_step *link = step + 1 + i;
        link->link(link, &followers[i].job, link->linked, &links[i]);
        job.out[0] = followers[i].job.out[0];
    }
    job.links = links;
    job.link_count = step->taken;
    job.followers = followers + step->taken;
    job.follower_count = step->followers - step->taken;
    return job;
}

static void run_share(void *argument, uint32_t thread, uint32_t share, uint32_t shares) {
    const chunk *c = argument;
    const bnn_step *step = runner_of(c->step);
    bnn_follower followers[BNN_MOST_FOLLOWERS], feeding[BNN_MOST_FOLLOWERS];
    bnn_link links[2][BNN_MOST_LINKS];
    bnn_job job = job_with(c, step, thread, share, shares, followers, links[0]);
    bnn_feed feed;
    if (c->step->feeds) {
        feed = (bnn_feed){.step = c->step, .job = job_with(c, c->step, thread, 0, 1, feeding, links[1])};
        feed.out = c->step->followers ? &feeding[c->step->followers - 1].job.out[0] : &feed.job.out[0];
        feed.window = *feed.out;
        job.feed = &feed;
    }
    step->run(step, &job);
}

static void walk(chunk *c) {
    const bnn_plan *plan = c->session->plan;
    for (uint32_t i = 0; i < plan->step_count; i += steps_of(&plan->steps[i])) {
        c->step = &plan->steps[i];
        if (c->step->alias) continue;
        uint64_t start = c->step_ns ? now_ns() : 0;
        uint32_t shares = shares_of(c, c->step);
        if (shares > 1)
            bnn_threads_share(c->session->threads, shares, run_share, c);
        else
            run_share(c, 0, 0, 1);
        if (c->step_ns) c->step_ns[i] += now_ns() - start;
    }
}

void bnn_session_run(bnn_session *s, size_t batch, const void *const *inputs, void *const *outputs, uint64_t *step_ns) {
    const bnn_plan *plan = s->plan;
    if (step_ns)
        for (uint32_t i = 0; i < plan->step_count; i++) step_ns[i] = 0;
    for (size_t first = 0; first < batch; first += plan->chunk) {
        chunk c = {.session = s,
                   .inputs = inputs,
                   .outputs = outputs,
                   .first = first,
                   .step_ns = step_ns,
                   .batch = (uint32_t)(batch - first < plan->chunk ? batch - first : plan->chunk)};
        c.threads = s->threads && bnn_size_mul(s->work, c.batch) >= plan->wake_from ? plan->threads : 1;
        if (c.threads > 1) bnn_threads_begin(s->threads);
        walk(&c);
        if (c.threads > 1) bnn_threads_end(s->threads);
    }
}
