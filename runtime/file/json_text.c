#include "file/json_text.h"

#include "file/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_ROOM = 256, LINE = 128 };

bool json_text_append(JsonText *text, const char *data, size_t length)
{
    if (length > text->room - text->length) {
        const size_t room = 2 * text->room + length + LEAST_ROOM;
        char *grown = realloc(text->data, room);
        if (!grown)
            return false;
        text->data = grown;
        text->room = room;
    }
    memcpy(text->data + text->length, data, length);
    text->length += length;
    return true;
}

bool json_text_print(JsonText *text, const char *format, ...)
{
    char line[LINE];
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return json_text_append(text, line, (size_t)length);
}

bool json_text_holds(const char *string)
{
    BfmUtf8 kind = BFM_UTF8_WHOLE;
    for (size_t left = strlen(string); left > 0 && kind == BFM_UTF8_WHOLE;) {
        const size_t bytes = bfm_utf8_next(string, left, &kind);
        string += bytes;
        left -= bytes;
    }
    return kind == BFM_UTF8_WHOLE;
}

bool json_text_string(JsonText *text, const char *string)
{
    static const char NAMED[] = "\"\\\b\f\n\r\t", NAMES[] = "\"\\bfnrt";
    bool done = json_text_append(text, "\"", 1);
    for (; done && *string; string++) {
        const char *named = strchr(NAMED, *string);
        if (named)
            done = json_text_append(text, (const char[]){'\\', NAMES[named - NAMED]}, 2);
        else if ((unsigned char)*string < ' ')
            done = json_text_print(text, "\\u%04X", (unsigned)(unsigned char)*string);
        else
            done = json_text_append(text, string, 1);
    }
    return done && json_text_append(text, "\"", 1);
}
