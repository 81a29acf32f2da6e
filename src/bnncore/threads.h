/* A few threads that sleep between runs, and within one take shares of what the caller hands out. */
#ifndef BNN_THREADS_H
#define BNN_THREADS_H

#include <stdint.h>

typedef struct bnn_threads bnn_threads;

/* `count` threads, the caller among them; NULL where the system gives none. */
bnn_threads *bnn_threads_new(uint32_t count);
void bnn_threads_free(bnn_threads *threads);

/* Wakes the others, without waiting for them; and lets them sleep again. */
void bnn_threads_begin(bnn_threads *threads);
void bnn_threads_end(bnn_threads *threads);

/* Between begin and end: calls work(argument, thread, share, shares) once for each share = 0 .. shares-1 (shares <
 * 65536), on whichever thread is free, and returns when all have ended. The caller is thread 0. */
void bnn_threads_share(bnn_threads *threads, uint32_t shares,
                       void (*work)(void *argument, uint32_t thread, uint32_t share, uint32_t shares), void *argument);

#endif
