/* The bit contract: where bit i lives and what it means. Every other file takes it from here.
 *
 *   meaning    bit 1 is +1, bit 0 is -1; a real x becomes the bit (x >= 0), so +0.0 and -0.0 are +1 and NaN is -1
 *   words      bit i of a vector is bit i % 64 of 64-bit word i / 64, little-endian
 *   images     NHWC; the channels of one pixel fill whole words, and every pixel starts a new word
 *   padding    the bits past the last channel are 0 in every operand, so that XOR leaves them out:
 *              dot(a, b) = K - 2 * popcount(a XOR b), exact for every K from 1 up
 *   weights    one row an output channel: [outputs][kernel_h][kernel_w][words of the group's input channels]
 */
#ifndef BNN_LAYOUT_H
#define BNN_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

enum { BNN_WORD_BITS = 64, BNN_WORD_BYTES = 8 };

/* Output channels come in blocks of one word, so per-channel tables are padded to whole blocks. */
enum { BNN_BLOCK = 64 };

/* Every buffer that a kernel reads or writes starts on this boundary. */
enum { BNN_ALIGN = 64 };

static inline size_t bnn_words(size_t bits) { return bits / 64 + (bits % 64 != 0); }

static inline size_t bnn_round_up(size_t n, size_t to) { return n / to * to + (n % to != 0 ? to : 0); }

/* The valid bits of the last word of a vector of `bits` bits (all of them when it is full). */
static inline uint64_t bnn_tail_mask(size_t bits) { return bits % 64 ? (UINT64_C(1) << bits % 64) - 1 : ~UINT64_C(0); }

static inline int bnn_bit_get(const uint64_t *words, size_t i) { return (int)(words[i / 64] >> i % 64 & 1); }

/* Bit i as +1 or -1, without a branch, since bits of weights are as good as random. */
static inline float bnn_bit_sign(const uint64_t *words, size_t i) { return (float)(2 * bnn_bit_get(words, i) - 1); }

static inline void bnn_bit_set(uint64_t *words, size_t i) { words[i / 64] |= UINT64_C(1) << i % 64; }

#endif
