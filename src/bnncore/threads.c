/* A run wakes the threads once; within it they look for work by spinning, since passes last microseconds. Nobody waits
 * for a thread that has not come: the shares of a pass go to whoever takes them, so where other programs have the
 * cores, the caller does all of them itself. A thread that has spun for long gives its core away. */
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

/* The ticket is what is to be done: a number that no other piece of work has (32 bits), how many shares it has (16),
 * and how many of them are taken (16). Whoever raises the last by one has taken that share, and may then read work and
 * argument, which stay until all shares are done. */
struct bnn_threads {
    uint32_t count, started;
    lock_type lock;
    signal_type wake;
    int stop; /* under the lock, as are changes of `awake` from 0 */
    atomic_int awake;
    atomic_uint_least64_t ticket;
    atomic_uint done;
    void (*work)(void *, uint32_t, uint32_t, uint32_t);
    void *argument;
    helper helpers[];
};

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
    __asm__ volatile("yield");
#endif
}

/* Spins, and after a while lets others have the core. */
static void linger(uint32_t *spins) {
    if (*spins < SPINS)
        ++*spins, relax();
    else
        give_way();
}

static int take_share(bnn_threads *t, uint32_t thread) {
    uint_least64_t v = atomic_load_explicit(&t->ticket, memory_order_acquire);
    uint32_t taken = v & 0xffff, shares = v >> 16 & 0xffff;
    if (taken >= shares) return 0;
    if (atomic_compare_exchange_weak_explicit(&t->ticket, &v, v + 1, memory_order_acq_rel, memory_order_relaxed)) {
        t->work(t->argument, thread, taken, shares);
        atomic_fetch_add_explicit(&t->done, 1, memory_order_release);
    }
    return 1;
}

THREAD_MAIN helper_main(void *argument) {
    helper *self = argument;
    bnn_threads *t = self->pool;
    for (;;) {
        lock_take(&t->lock);
        while (!atomic_load_explicit(&t->awake, memory_order_relaxed) && !t->stop) signal_wait(&t->wake, &t->lock);
        int stop = t->stop;
        lock_give(&t->lock);
        if (stop) return 0;
        for (uint32_t spins = 0; atomic_load_explicit(&t->awake, memory_order_relaxed);) {
            if (take_share(t, self->number))
                spins = 0;
            else
                linger(&spins);
        }
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

void bnn_threads_begin(bnn_threads *t) {
    lock_take(&t->lock);
    atomic_store_explicit(&t->awake, 1, memory_order_relaxed);
    signal_all(&t->wake);
    lock_give(&t->lock);
}

void bnn_threads_end(bnn_threads *t) { atomic_store_explicit(&t->awake, 0, memory_order_relaxed); }

void bnn_threads_share(bnn_threads *t, uint32_t shares,
                       void (*work)(void *argument, uint32_t thread, uint32_t share, uint32_t shares), void *argument) {
    uint_least64_t number = (atomic_load_explicit(&t->ticket, memory_order_relaxed) >> 32) + 1;
    t->work = work;
    t->argument = argument;
    atomic_store_explicit(&t->done, 0, memory_order_relaxed);
    atomic_store_explicit(&t->ticket, number << 32 | (uint_least64_t)shares << 16, memory_order_release);
    while (take_share(t, 0)) {
    }
    for (uint32_t spins = 0; atomic_load_explicit(&t->done, memory_order_acquire) < shares;) linger(&spins);
}
