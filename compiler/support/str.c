#include "support/str.h"

#include "support/bug.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reserve(Str *str, size_t extra)
{
    if (str->length + extra + 1 <= str->capacity)
        return;
    size_t capacity = str->capacity ? str->capacity * 2 : 64;
    while (capacity < str->length + extra + 1)
        capacity *= 2;
    str->text = realloc(str->text, capacity);
    if (!str->text)
        bfm_out_of_memory("a text", capacity);
    str->capacity = capacity;
}

void str_append_n(Str *str, const char *text, size_t length)
{
    reserve(str, length);
    if (length)
        memcpy(str->text + str->length, text, length);
    str->length += length;
    str->text[str->length] = 0;
}

void str_append(Str *str, const char *text) { str_append_n(str, text, strlen(text)); }

void str_push(Str *str, char c) { str_append_n(str, &c, 1); }

void str_repeat(Str *str, char c, int count)
{
    for (int i = 0; i < count; i++)
        str_push(str, c);
}

void str_vprintf(Str *str, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    const int length = vsnprintf(NULL, 0, format, args);
    BFM_ASSERT(length >= 0);
    reserve(str, (size_t)length);
    (void)vsnprintf(str->text + str->length, (size_t)length + 1, format, again);
    va_end(again);
    str->length += (size_t)length;
}

void str_printf(Str *str, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    str_vprintf(str, format, args);
    va_end(args);
}

/* Bytes of the character at text, or of the maximal subpart of one (Unicode, 3.9) where that is no character: at least 1. */
static size_t utf8_part(const unsigned char *text, size_t left, bool *whole)
{
    const unsigned char lead = text[0];
    const size_t length = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80, high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF; /* of the second byte */
    size_t at = 1;
    for (; at < length && at < left && text[at] >= low && text[at] <= high; at++) {
        low = 0x80;
        high = 0xBF;
    }
    *whole = at == length;
    return at;
}

void str_json(Str *str, const char *text, size_t length)
{
    str_push(str, '"');
    for (size_t i = 0; i < length;) {
        const unsigned char c = (unsigned char)text[i];
        bool whole;
        const size_t bytes = utf8_part((const unsigned char *)text + i, length - i, &whole);
        if (c == '"' || c == '\\')
            str_printf(str, "\\%c", c);
        else if (c == '\n')
            str_append(str, "\\n");
        else if (c == '\t')
            str_append(str, "\\t");
        else if (c < 0x20 || c == 0x7F)
            str_printf(str, "\\u%04x", c);
        else if (!whole)
            str_append(str, "\\ufffd");
        else
            str_append_n(str, text + i, bytes);
        i += bytes;
    }
    str_push(str, '"');
}

const char *str_text(const Str *str) { return str->text ? str->text : ""; }

char *str_take(Str *str)
{
    reserve(str, 0);
    str->text[str->length] = 0;
    char *text = str->text;
    *str = (Str){0};
    return text;
}

void str_free(Str *str)
{
    free(str->text);
    *str = (Str){0};
}
