/* Words, numbers and strings: from their text to their value. */
#include "parse/context.h"

#include "bfm_parser.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct WordRow {
    const char *text;
    int token;
    WordKind kind;
} WordRow;

#define WORD(token, text, kind) {text, TOKEN_##token, WORD_##kind},
static const WordRow WORDS[] = {
#include "tokens.def"
};
#undef WORD

static const WordRow *find_word(const char *text, size_t length)
{
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        if (strlen(WORDS[i].text) == length && memcmp(WORDS[i].text, text, length) == 0)
            return &WORDS[i];
    return NULL;
}

int lexer_word(const char *text, size_t length)
{
    const WordRow *row = find_word(text, length);
    return row ? row->token : 0;
}

WordKind parse_word(const char *text, size_t length)
{
    const WordRow *row = find_word(text, length);
    return row ? row->kind : WORD_NONE;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool parse_is_name(const char *text)
{
    if (!is_letter(*text))
        return false;
    for (const char *c = text; *c; c++)
        if (!is_letter(*c) && !is_digit(*c))
            return false;
    return parse_word(text, strlen(text)) != WORD_HARD;
}

/* ---- numbers ---- */

static Rational power_of(int64_t base, int exponent)
{
    Rational power = rational_int(1);
    for (int i = 0; i < exponent && rational_valid(power); i++)
        power = rational_mul(power, rational_int(base));
    return power;
}

/* K M G T with an optional i, at the end of the text; *end is moved before it. */
static Rational suffix_scale(const char *begin, const char **end)
{
    const char *last = *end - 1;
    int64_t base = 1000;
    if (last > begin && *last == 'i') {
        base = 1024;
        last--;
    }
    const char *found = *last ? strchr("KMGT", *last) : NULL;
    if (!found)
        return rational_int(1);
    *end = last;
    return power_of(base, 1 + (int)(found - "KMGT"));
}

typedef struct Scan {
    Rational mantissa;
    int exponent;    /* power of ten */
    bool fractional; /* has a point or an exponent */
} Scan;

static Scan scan_decimal(const char *c, const char *end)
{
    Scan scan = {rational_int(0), 0, false};
    bool after_point = false;
    for (; c < end && *c != 'e' && *c != 'E'; c++) {
        if (*c == '.')
            after_point = scan.fractional = true;
        if (!is_digit(*c))
            continue;
        scan.mantissa = rational_add(rational_mul(scan.mantissa, rational_int(10)), rational_int(*c - '0'));
        if (after_point)
            scan.exponent--;
    }
    if (c < end) {
        scan.fractional = true;
        long written = strtol(c + 1, NULL, 10);
        scan.exponent += (int)(written > 100000 ? 100000 : written < -100000 ? -100000 : written);
    }
    return scan;
}

static Rational scaled(Scan scan, Rational scale)
{
    Rational value = rational_mul(scan.mantissa, scale);
    if (rational_valid(value) && value.num == 0)
        return value;
    Rational ten = power_of(10, scan.exponent < 0 ? -scan.exponent : scan.exponent);
    return scan.exponent < 0 ? rational_div(value, ten) : rational_mul(value, ten);
}

bool lexer_number(ParseContext *parse, Token *token, const char *begin, const char *end)
{
    Str plain = {0};
    const char *last = end;
    Rational scale = suffix_scale(begin, &last);
    for (const char *c = begin; c < last; c++)
        if (*c != '_')
            str_push(&plain, *c);
    Scan scan = scan_decimal(plain.text, plain.text + plain.length);
    token->text = intern_n(parse->interner, begin, (size_t)(end - begin));
    token->value = scaled(scan, scale);
    token->real = rational_valid(token->value) ? rational_double(token->value) : strtod(plain.text, NULL) * rational_double(scale);
    bool zero = rational_valid(scan.mantissa) && scan.mantissa.num == 0;
    bool good = rational_valid(token->value) || (scan.fractional && isfinite(token->real) && (zero || fabs(token->real) >= 2.2250738585072014e-308));
    if (!good) {
        diag_add(parse->diags, DIAG_E0104, token->span, "`%s` is outside what a number can hold", token->text);
        token->value = rational_int(0);
        token->real = 0;
    }
    str_free(&plain);
    return good;
}

/* ---- strings ---- */

Symbol lexer_string(ParseContext *parse, Span span, const char *begin, const char *end)
{
    Str content = {0};
    str_append(&content, "");
    for (const char *c = begin; c < end; c++) {
        if ((unsigned char)*c < 0x20) {
            diag_add(parse->diags, DIAG_E0103, span, "a string holds no control characters");
            break;
        }
        if (*c != '\\') {
            str_push(&content, *c);
            continue;
        }
        c++;
        if (*c == 'n' || *c == 't') {
            str_push(&content, *c == 'n' ? '\n' : '\t');
        } else if (*c == '"' || *c == '\\') {
            str_push(&content, *c);
        } else {
            diag_add(parse->diags, DIAG_E0103, span, "unknown escape `\\%c`: \\\" \\\\ \\n \\t are known", *c);
        }
    }
    Symbol symbol = intern_n(parse->interner, content.text, content.length);
    str_free(&content);
    return symbol;
}
