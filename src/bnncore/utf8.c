#include "modelfile.h"

int bnn_utf8_valid(const unsigned char *text, uint64_t bytes, int allow_control) {
    const unsigned char *end = text + bytes;
    while (text < end) {
        unsigned c = *text++;
        if (c < 0x80) {
            if (!allow_control && (c < 0x20 || c == 0x7f)) return 0;
            continue;
        }
        int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        if (c < 0xc2 || c > 0xf4 || end - text < more) return 0;
        uint32_t code = c & (0x3fu >> more);
        for (int i = 0; i < more; i++) {
            if ((text[i] & 0xc0) != 0x80) return 0;
            code = code << 6 | (text[i] & 0x3fu);
        }
        static const uint32_t least[4] = {0, 0x80, 0x800, 0x10000};
        if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return 0;
        if (!allow_control && code < 0xa0) return 0; /* U+0080 to U+009F */
        text += more;
    }
    return 1;
}
