#include "file/json_reader.h"

#include "file/utf8.h"

#include <string.h>

enum { HEX_DIGITS = 4, HIGH_SURROGATE = 0xD800, LOW_SURROGATE = 0xDC00, SURROGATES_END = 0xE000, CONTROLS_END = 0x20 };

static bool fault(JsonReader *reader, const char *what)
{
    if (!reader->fault)
        reader->fault = what;
    return false;
}

/* 0 at the end, as for a NUL, which stands nowhere in JSON. */
static char byte_at(const JsonReader *reader, size_t at) { return at < reader->size ? reader->text[at] : '\0'; }

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static char next(JsonReader *reader)
{
    while (reader->at < reader->size && strchr(" \t\n\r", reader->text[reader->at]) && reader->text[reader->at])
        reader->at++;
    return byte_at(reader, reader->at);
}

char json_reader_peek(JsonReader *reader)
{
    const char c = reader->fault ? '\0' : next(reader);
    if (c == '{' || c == '[' || c == '"')
        return c;
    if (c == '-' || is_digit(c))
        return '0';
    if (c == 't' || c == 'f' || c == 'n')
        return 'w';
    (void)fault(reader, "expected a value");
    return '\0';
}

static bool take(JsonReader *reader, char expected, const char *what)
{
    if (reader->fault || next(reader) != expected || reader->at == reader->size)
        return fault(reader, what);
    reader->at++;
    return true;
}

bool json_reader_enter(JsonReader *reader, char open) { return take(reader, open, open == '{' ? "expected '{'" : "expected '['"); }

bool json_reader_more(JsonReader *reader, char close, bool *first)
{
    const bool begins = *first;
    *first = false;
    if (reader->fault)
        return false;
    if (next(reader) == close && reader->at < reader->size) {
        reader->at++;
        return false;
    }
    return begins || take(reader, ',', close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
}

bool json_reader_end(JsonReader *reader)
{
    (void)next(reader);
    return !reader->fault && (reader->at == reader->size || fault(reader, "expected the end"));
}

/* ---- strings ---- */

static void put(JsonReader *reader, char c) { reader->strings[reader->used++] = c; }

static void put_code(JsonReader *reader, uint32_t code)
{
    if (code < 0x80) {
        put(reader, (char)code);
        return;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char LEADS[] = {0, 0xC0, 0xE0, 0xF0};
    put(reader, (char)(LEADS[more] | code >> 6 * more));
    for (int i = more - 1; i >= 0; i--)
        put(reader, (char)(0x80 | (code >> 6 * i & 0x3F)));
}

/* The four digits after \u. */
static bool hex(JsonReader *reader, uint32_t *code)
{
    *code = 0;
    for (int i = 0; i < HEX_DIGITS; i++) {
        const char c = byte_at(reader, reader->at), lower = (char)(c | 0x20);
        if (!is_digit(c) && !(lower >= 'a' && lower <= 'f'))
            return fault(reader, "expected four hexadecimal digits");
        *code = *code << 4 | (uint32_t)(is_digit(c) ? c - '0' : lower - 'a' + 10);
        reader->at++;
    }
    return true;
}

/* After \u: one code unit, or two that are a pair. */
static bool unicode(JsonReader *reader)
{
    uint32_t code, low;
    if (!hex(reader, &code))
        return false;
    if (code == 0)
        return fault(reader, "\\u0000 is not allowed");
    if (code >= HIGH_SURROGATE && code < SURROGATES_END) {
        if (code >= LOW_SURROGATE || byte_at(reader, reader->at) != '\\' || byte_at(reader, reader->at + 1) != 'u')
            return fault(reader, "half of a surrogate pair");
        reader->at += 2;
        if (!hex(reader, &low))
            return false;
        if (low < LOW_SURROGATE || low >= SURROGATES_END)
            return fault(reader, "half of a surrogate pair");
        code = 0x10000 + ((code - HIGH_SURROGATE) << 10) + (low - LOW_SURROGATE);
    }
    put_code(reader, code);
    return true;
}

static bool escape(JsonReader *reader)
{
    static const char NAMES[] = "\"\\/bfnrt", MEANT[] = "\"\\/\b\f\n\r\t";
    const char c = byte_at(reader, reader->at);
    const char *name = c ? strchr(NAMES, c) : NULL;
    if (!name && c != 'u')
        return fault(reader, "unknown escape");
    reader->at++;
    if (c == 'u')
        return unicode(reader);
    put(reader, MEANT[name - NAMES]);
    return true;
}

const char *json_reader_string(JsonReader *reader)
{
    if (!take(reader, '"', "expected a string"))
        return NULL;
    const char *begin = reader->strings + reader->used;
    while (byte_at(reader, reader->at) != '"') {
        BfmUtf8 kind;
        if (reader->at == reader->size || (unsigned char)reader->text[reader->at] < CONTROLS_END) {
            (void)fault(reader, reader->at == reader->size ? "a string has no end" : "a control character in a string");
            return NULL;
        }
        if (reader->text[reader->at] == '\\') {
            reader->at++;
            if (!escape(reader))
                return NULL;
            continue;
        }
        const size_t bytes = bfm_utf8_next(reader->text + reader->at, reader->size - reader->at, &kind);
        if (kind != BFM_UTF8_WHOLE) {
            (void)fault(reader, "no UTF-8");
            return NULL;
        }
        memcpy(reader->strings + reader->used, reader->text + reader->at, bytes);
        reader->used += bytes;
        reader->at += bytes;
    }
    reader->at++;
    put(reader, '\0');
    return begin;
}

const char *json_reader_key(JsonReader *reader)
{
    const char *key = json_reader_string(reader);
    return key && take(reader, ':', "expected ':'") ? key : NULL;
}

/* ---- numbers ---- */

static bool digits(JsonReader *reader)
{
    const size_t begin = reader->at;
    while (is_digit(byte_at(reader, reader->at)))
        reader->at++;
    return reader->at > begin || fault(reader, "expected a digit");
}

/* A fraction and an exponent, where there are any; `*whole`: neither. */
static bool number_rest(JsonReader *reader, bool *whole)
{
    *whole = true;
    if (byte_at(reader, reader->at) == '.') {
        *whole = false;
        reader->at++;
        if (!digits(reader))
            return false;
    }
    if ((byte_at(reader, reader->at) | 0x20) == 'e') {
        *whole = false;
        reader->at++;
        const char sign = byte_at(reader, reader->at);
        reader->at += sign == '+' || sign == '-';
        return digits(reader);
    }
    return true;
}

bool json_reader_integer(JsonReader *reader, int64_t *value)
{
    if (json_reader_peek(reader) != '0')
        return fault(reader, "expected a number");
    const bool minus = byte_at(reader, reader->at) == '-';
    reader->at += minus;
    const size_t begin = reader->at;
    bool whole;
    if (!digits(reader))
        return false;
    const size_t end = reader->at;
    if (reader->text[begin] == '0' && end > begin + 1)
        return fault(reader, "a number begins with 0");
    if (!number_rest(reader, &whole) || !whole)
        return false;
    *value = 0;
    for (size_t i = begin; i < end; i++) {
        const int64_t digit = reader->text[i] - '0';
        if (__builtin_mul_overflow(*value, 10, value) || __builtin_sub_overflow(*value, digit, value)) /* below zero there is one more */
            return fault(reader, "a whole number beyond 64 bits");
    }
    return minus || !__builtin_sub_overflow(0, *value, value) || fault(reader, "a whole number beyond 64 bits");
}
