#include "support/str.h"

#include "support/bug.h"

#include <stdarg.h>
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

void str_printf(Str *str, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    BFM_ASSERT(length >= 0);
    reserve(str, (size_t)length);
    (void)vsnprintf(str->text + str->length, (size_t)length + 1, format, again);
    va_end(again);
    str->length += (size_t)length;
}

/* Length of the valid UTF-8 sequence at text, 0 if it is not one. */
static size_t utf8_length(const unsigned char *text, size_t left)
{
    static const struct {
        unsigned char mask, lead;
        size_t length;
    } FORMS[] = {{0x80, 0x00, 1}, {0xE0, 0xC0, 2}, {0xF0, 0xE0, 3}, {0xF8, 0xF0, 4}};
    for (size_t i = 0; i < sizeof FORMS / sizeof *FORMS; i++) {
        if ((text[0] & FORMS[i].mask) != FORMS[i].lead || FORMS[i].length > left)
            continue;
        for (size_t k = 1; k < FORMS[i].length; k++)
            if ((text[k] & 0xC0) != 0x80)
                return 0;
        const int overlong = (FORMS[i].length == 2 && text[0] < 0xC2) || (FORMS[i].length == 3 && text[0] == 0xE0 && text[1] < 0xA0) ||
                             (FORMS[i].length == 3 && text[0] == 0xED && text[1] > 0x9F) || (FORMS[i].length == 4 && text[0] == 0xF0 && text[1] < 0x90) ||
                             (FORMS[i].length == 4 && (text[0] > 0xF4 || (text[0] == 0xF4 && text[1] > 0x8F)));
        return overlong ? 0 : FORMS[i].length;
    }
    return 0;
}

void str_json(Str *str, const char *text, size_t length)
{
    str_push(str, '"');
    for (size_t i = 0; i < length;) {
        const unsigned char c = (unsigned char)text[i];
        const size_t bytes = utf8_length((const unsigned char *)text + i, length - i);
        if (c == '"' || c == '\\')
            str_printf(str, "\\%c", c);
        else if (c == '\n')
            str_append(str, "\\n");
        else if (c == '\t')
            str_append(str, "\\t");
        else if (c < 0x20 || c == 0x7F)
            str_printf(str, "\\u%04x", c);
        else if (bytes == 0)
            str_append(str, "\\ufffd");
        else
            str_append_n(str, text + i, bytes);
        i += bytes ? bytes : 1;
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
