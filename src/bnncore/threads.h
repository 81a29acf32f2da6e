/* A few threads that sleep between runs and meet at barriers within one. */
#ifndef BNN_THREADS_H
#define BNN_THREADS_H

#include <stdint.h>

typedef struct bnn_threads bnn_threads;

/* `count` threads, the caller of bnn_threads_run among them; NULL where the system gives none. */
bnn_threads *bnn_threads_new(uint32_t count);
void bnn_threads_free(bnn_threads *threads);

/* Calls work(argument, t) once on every thread, t = 0 on the caller's, and returns when all have ended. */
void bnn_threads_run(bnn_threads *threads, void (*work)(void *argument, uint32_t thread), void *argument);

/* Within work: waits until every thread has come here. */
void bnn_threads_meet(bnn_threads *threads);

#endif
