/* Layer normalisation over vectors, for every instruction set that has them: norm_<isa>.c includes its lanes_<isa>.h
 * and then this.
 *
 * Three times over a row that stays in the first cache: its sum, the sum of the squared differences from its mean, and
 * the result. Number i adds to partial sum i % 16 whatever the vectors' length, each step rounded, and the partial sums
 * are added in halves, so that every instruction set gives the same bits. A vector is a load and an addition, or a
 * load, two multiplications and two additions, so the chains of partial sums bound it on x86 (llvm-mca 19: 1.3 to 1.5
 * times what the ports would allow), and the operations on the Arm cores. What counts the rounds keeps cortex-a72 from
 * some of them, so the squares take two rounds at a time (16.0 cycles a round with clang, then 14.5).
 */
#include "../kernels.h"

enum { PARTS = 16, VECTORS = PARTS / LANES };

static inline float add_parts(float *part) {
    for (size_t half = PARTS / 2; half; half /= 2)
        for (size_t i = 0; i < half; i++) part[i] += part[i + half];
    return part[0];
}

static float sum(const float *x, size_t n) {
    lanes found[VECTORS];
    float part[PARTS];
    size_t i = 0;
    UNROLL for (size_t v = 0; v < VECTORS; v++) found[v] = lanes_all(0.0f);
    for (; i + PARTS <= n; i += PARTS)
        UNROLL for (size_t v = 0; v < VECTORS; v++) found[v] = lanes_add(found[v], lanes_load(x + i + v * LANES));
    UNROLL for (size_t v = 0; v < VECTORS; v++) lanes_store(part + v * LANES, found[v]);
    for (; i < n; i++) part[i % PARTS] += x[i];
    return add_parts(part);
}

static float squares(const float *x, size_t n, float mean) {
    const lanes means = lanes_all(mean);
    lanes found[VECTORS];
    float part[PARTS];
    size_t i = 0;
    UNROLL for (size_t v = 0; v < VECTORS; v++) found[v] = lanes_all(0.0f);
    UNROLL_TWICE for (; i + PARTS <= n; i += PARTS) UNROLL for (size_t v = 0; v < VECTORS; v++) {
        const lanes d = lanes_sub(lanes_load(x + i + v * LANES), means);
        found[v] = lanes_add(found[v], lanes_mul(d, d));
    }
    UNROLL for (size_t v = 0; v < VECTORS; v++) lanes_store(part + v * LANES, found[v]);
    for (; i < n; i++) part[i % PARTS] += (x[i] - mean) * (x[i] - mean);
    return add_parts(part);
}

static inline lanes settle(lanes x, lanes mean, lanes deviation, lanes gamma, lanes beta) {
    return lanes_add(lanes_mul(lanes_div(lanes_sub(x, mean), deviation), gamma), beta);
}

static void run(const float *x, size_t rows, size_t n, float epsilon, const float *gamma, const float *beta, float *y) {
    for (size_t row = 0; row < rows; row++, x += n, y += n) {
        const float mean = sum(x, n) / (float)n, variance = squares(x, n, mean) / (float)n;
        const lanes means = lanes_all(mean), deviation = lanes_sqrt(lanes_all(variance + epsilon));
        size_t i = 0;
        for (; i + LANES <= n; i += LANES)
            lanes_store(y + i,
                        settle(lanes_load(x + i), means, deviation, lanes_load(gamma + i), lanes_load(beta + i)));
        if (i < n)
            lanes_store_first(y + i, n - i,
                              settle(lanes_load_first(x + i, n - i), means, deviation,
                                     lanes_load_first(gamma + i, n - i), lanes_load_first(beta + i, n - i)));
    }
}
