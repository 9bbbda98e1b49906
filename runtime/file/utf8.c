#include "file/utf8.h"

static size_t length_of(unsigned char lead) { return lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0; }

size_t bfm_utf8_next(const char *text, size_t length, BfmUtf8 *kind)
{
    const unsigned char *s = (const unsigned char *)text;
    const size_t bytes = length_of(s[0]);
    unsigned char low = s[0] == 0xE0 ? 0xA0 : s[0] == 0xF0 ? 0x90 : 0x80, high = s[0] == 0xED ? 0x9F : s[0] == 0xF4 ? 0x8F : 0xBF; /* of the second byte */
    *kind = BFM_UTF8_BAD;
    if (bytes == 0)
        return 1;
    for (size_t i = 1; i < bytes; i++) {
        if (i == length)
            *kind = BFM_UTF8_OPEN;
        if (i == length || s[i] < low || s[i] > high)
            return i;
        low = 0x80;
        high = 0xBF;
    }
    *kind = BFM_UTF8_WHOLE;
    return bytes;
}

int32_t bfm_utf8_code(const char *text, size_t bytes)
{
    static const unsigned char LEAD_BITS[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    int32_t code = (unsigned char)text[0] & LEAD_BITS[bytes];
    for (size_t i = 1; i < bytes; i++)
        code = code << 6 | ((unsigned char)text[i] & 0x3F);
    return code;
}

size_t bfm_utf8_open_tail(const char *text, size_t length)
{
    for (size_t tail = length < 3 ? length : 3; tail > 0; tail--) {
        BfmUtf8 kind;
        if (bfm_utf8_next(text + length - tail, tail, &kind) == tail && kind == BFM_UTF8_OPEN)
            return tail;
    }
    return 0;
}
