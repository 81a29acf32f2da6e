/* CRC32C (Castagnoli), reflected polynomial 0x82F63B78, as in RFC 3720. Eight bytes a step through eight tables
 * (Kounavis and Berry, 2005); the tables are made for each call, a few microseconds, so that there is no global state.
 */
#include "bnncore.h"

uint32_t bnn_crc32c(const void *bytes, size_t size) {
    uint32_t table[8][256];
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c >> 1 ^ (c & 1 ? 0x82F63B78u : 0);
        table[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int t = 1; t < 8; t++) table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 255];
    const unsigned char *p = bytes;
    uint32_t crc = ~0u;
    for (; size >= 8; size -= 8, p += 8) {
        uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
        crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^ table[4][low >> 24] ^
              table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    }
    while (size--) crc = crc >> 8 ^ table[0][(crc ^ *p++) & 255];
    return ~crc;
}
