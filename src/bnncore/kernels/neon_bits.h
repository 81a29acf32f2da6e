/* Byte masks to bits: the move-mask that NEON lacks. */
#ifndef BNN_NEON_BITS_H
#define BNN_NEON_BITS_H

#include <arm_neon.h>
#include <stdint.h>

/* Bit i % 8 of byte i. */
static inline uint8x16_t neon_bit_of_lane(void) {
    return vreinterpretq_u8_u64(vdupq_n_u64(UINT64_C(0x8040201008040201)));
}

/* Adds neighbouring bytes until the 64 bytes, each with its own bit or 0, are the 64 bits of a word. */
static inline uint64_t neon_join_64(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d) {
    uint8x16_t x = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(c, d));
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(x, x)), 0);
}

/* Bit i is set where byte i of a, b, c, d, in this order, is 0xFF rather than 0. */
static inline uint64_t neon_bits_64(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d) {
    const uint8x16_t bit = neon_bit_of_lane();
    return neon_join_64(vandq_u8(a, bit), vandq_u8(b, bit), vandq_u8(c, bit), vandq_u8(d, bit));
}

#endif
