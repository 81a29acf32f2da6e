/* A run wakes the threads once; between the steps of a run they wait by spinning, since steps last microseconds. A
 * thread that has spun for long gives its core away, so that more threads than cores still get on. */
#include "threads.h"

#include <stdatomic.h>
#include <stdlib.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
typedef HANDLE thread_handle;
typedef SRWLOCK lock_type;
typedef CONDITION_VARIABLE signal_type;
#define lock_init(l)      InitializeSRWLock(l)
#define lock_take(l)      AcquireSRWLockExclusive(l)
#define lock_give(l)      ReleaseSRWLockExclusive(l)
#define signal_init(s)    InitializeConditionVariable(s)
#define signal_wait(s, l) SleepConditionVariableSRW(s, l, INFINITE, 0)
#define signal_all(s)     WakeAllConditionVariable(s)
#define lock_end(l)       (void)(l)
#define signal_end(s)     (void)(s)
#define give_way()        SwitchToThread()
#define THREAD_MAIN       static DWORD WINAPI
static int thread_start(thread_handle *t, DWORD(WINAPI *body)(LPVOID), void *argument) {
    *t = CreateThread(NULL, 0, body, argument, 0, NULL);
    return *t ? 0 : -1;
}
static void thread_join(thread_handle t) {
    WaitForSingleObject(t, INFINITE);
    CloseHandle(t);
}
#else
#include <pthread.h>
#include <sched.h>
typedef pthread_t thread_handle;
typedef pthread_mutex_t lock_type;
typedef pthread_cond_t signal_type;
#define lock_init(l)      pthread_mutex_init(l, NULL)
#define lock_take(l)      pthread_mutex_lock(l)
#define lock_give(l)      pthread_mutex_unlock(l)
#define signal_init(s)    pthread_cond_init(s, NULL)
#define signal_wait(s, l) pthread_cond_wait(s, l)
#define signal_all(s)     pthread_cond_broadcast(s)
#define lock_end(l)       pthread_mutex_destroy(l)
#define signal_end(s)     pthread_cond_destroy(s)
#define give_way()        sched_yield()
#define THREAD_MAIN       static void *
static int thread_start(thread_handle *t, void *(*body)(void *), void *argument) {
    return pthread_create(t, NULL, body, argument);
}
static void thread_join(thread_handle t) { pthread_join(t, NULL); }
#endif

enum { SPINS = 4000 };

typedef struct helper {
    bnn_threads *pool;
    uint32_t number;
    thread_handle handle;
} helper;

struct bnn_threads {
    uint32_t count, started;
    lock_type lock;
    signal_type wake;
    uint64_t run; /* number of the run that is on, under the lock */
    int stop;
    void (*work)(void *, uint32_t);
    void *argument;
    atomic_uint here, round; /* of the barrier */
    helper helpers[];
};

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
    __asm__ volatile("yield");
#endif
}

void bnn_threads_meet(bnn_threads *t) {
    unsigned round = atomic_load_explicit(&t->round, memory_order_acquire);
    if (atomic_fetch_add_explicit(&t->here, 1, memory_order_acq_rel) + 1 == t->count) {
        atomic_store_explicit(&t->here, 0, memory_order_relaxed);
        atomic_fetch_add_explicit(&t->round, 1, memory_order_release);
        return;
    }
    for (uint32_t spins = 0; atomic_load_explicit(&t->round, memory_order_acquire) == round; spins++) {
        if (spins < SPINS)
            relax();
        else
            give_way();
    }
}

THREAD_MAIN helper_main(void *argument) {
    helper *self = argument;
    bnn_threads *t = self->pool;
    for (uint64_t seen = 0;;) {
        lock_take(&t->lock);
        while (t->run == seen && !t->stop) signal_wait(&t->wake, &t->lock);
        int stop = t->stop;
        seen = t->run;
        lock_give(&t->lock);
        if (stop) return 0;
        t->work(t->argument, self->number);
        bnn_threads_meet(t);
    }
}

bnn_threads *bnn_threads_new(uint32_t count) {
    bnn_threads *t = calloc(1, sizeof *t + count * sizeof *t->helpers);
    if (!t) return NULL;
    t->count = count;
    lock_init(&t->lock);
    signal_init(&t->wake);
    for (uint32_t i = 1; i < count; i++) {
        helper *h = &t->helpers[i - 1];
        h->pool = t;
        h->number = i;
        if (thread_start(&h->handle, helper_main, h) != 0) {
            bnn_threads_free(t);
            return NULL;
        }
        t->started++;
    }
    return t;
}

void bnn_threads_free(bnn_threads *t) {
    if (!t) return;
    lock_take(&t->lock);
    t->stop = 1;
    signal_all(&t->wake);
    lock_give(&t->lock);
    for (uint32_t i = 0; i < t->started; i++) thread_join(t->helpers[i].handle);
    lock_end(&t->lock);
    signal_end(&t->wake);
    free(t);
}

void bnn_threads_run(bnn_threads *t, void (*work)(void *argument, uint32_t thread), void *argument) {
    lock_take(&t->lock);
    t->work = work;
    t->argument = argument;
    t->run++;
    signal_all(&t->wake);
    lock_give(&t->lock);
    work(argument, 0);
    bnn_threads_meet(t);
}
