#include "ir/dim_internal.h"

#include "support/checked.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void symbol_print(int symbol, Str *out)
{
    if (symbol < DIM_S0)
        str_push(out, "blpn"[symbol]);
    else
        str_printf(out, "s%d", symbol - DIM_S0);
}

static void atom_print(const Atom *atom, Str *out)
{
    static const char *const names[] = {"", "ceil", "floor", "min", "max"};
    if (atom->kind == ATOM_SYMBOL) {
        symbol_print(atom->symbol, out);
        return;
    }
    str_printf(out, "%s(", names[atom->kind]);
    dim_print(atom->a, out);
    if (atom->b) {
        str_append(out, ", ");
        dim_print(atom->b, out);
    }
    str_push(out, ')');
}

/* A coefficient of 0.25 is printed as 1/4: it reads back exactly. */
static void monomial_print(const Monomial *a, bool first, Str *out)
{
    const bool negative = a->coef.num < 0;
    str_append(out, first ? (negative ? "-" : "") : (negative ? " - " : " + "));
    const int64_t num = negative ? -a->coef.num : a->coef.num;
    const bool unit = num == 1 && a->coef.den == 1 && a->count > 0;
    if (!unit) {
        str_printf(out, "%" PRId64, num);
        if (a->coef.den != 1)
            str_printf(out, "/%" PRId64, a->coef.den);
    }
    for (int i = 0; i < a->count; i++) {
        if (i > 0 || !unit)
            str_push(out, '*');
        atom_print(a->powers[i].atom, out);
        if (a->powers[i].power > 1)
            str_printf(out, "^%d", a->powers[i].power);
    }
}

void dim_print(Dim a, Str *out)
{
    if (a->count == 0)
        str_push(out, '0');
    for (int i = 0; i < a->count; i++) {
        if (dim_overflowed(a))
            str_append(out, "(overflow)");
        else
            monomial_print(&a->terms[i], i == 0, out);
    }
}

/* ---- reading: sum = product {(+|-) product}; product = power {(*|/) power}; power = item [^ number] ---- */

enum { NESTING_MAX = 64 };

typedef struct Reader {
    DimTable *table;
    const char *at;
    int depth;
} Reader;

static Dim read_sum(Reader *reader);

static bool take(Reader *reader, char c)
{
    const char *at = reader->at;
    while (*at == ' ')
        at++;
    if (*at != c)
        return false;
    reader->at = at + 1;
    return true;
}

static bool take_word(Reader *reader, const char *word)
{
    const char *at = reader->at;
    while (*at == ' ')
        at++;
    const size_t length = strlen(word);
    if (strncmp(at, word, length) != 0 || isalnum((unsigned char)at[length]) || at[length] == '_')
        return false;
    reader->at = at + length;
    return true;
}

static Dim read_number(Reader *reader)
{
    int64_t value = 0;
    while (isdigit((unsigned char)*reader->at)) {
        if (!checked_mul(value, 10, &value) || !checked_add(value, *reader->at - '0', &value))
            return NULL;
        reader->at++;
    }
    return dim_int(reader->table, value);
}

static Dim read_function(Reader *reader, Dim (*one)(DimTable *, Dim), Dim (*two)(DimTable *, Dim, Dim))
{
    if (!take(reader, '('))
        return NULL;
    const Dim a = read_sum(reader);
    const Dim b = a && two && take(reader, ',') ? read_sum(reader) : NULL;
    if (!a || (two && !b) || !take(reader, ')'))
        return NULL;
    return two ? two(reader->table, a, b) : one(reader->table, a);
}

static Dim read_item(Reader *reader)
{
    while (*reader->at == ' ')
        reader->at++;
    if (isdigit((unsigned char)*reader->at))
        return read_number(reader);
    if (take(reader, '(')) {
        const Dim inner = read_sum(reader);
        return inner && take(reader, ')') ? inner : NULL;
    }
    if (take_word(reader, "ceil"))
        return read_function(reader, dim_ceil, NULL);
    if (take_word(reader, "floor"))
        return read_function(reader, dim_floor, NULL);
    if (take_word(reader, "min"))
        return read_function(reader, NULL, dim_min);
    if (take_word(reader, "max"))
        return read_function(reader, NULL, dim_max);
    for (int symbol = 0; symbol < DIM_SYMBOLS; symbol++) {
        char name[4] = {symbol < DIM_S0 ? "blpn"[symbol] : 's'};
        if (symbol >= DIM_S0)
            name[1] = (char)('0' + symbol - DIM_S0);
        if (take_word(reader, name))
            return dim_symbol(reader->table, symbol);
    }
    return NULL;
}

static Dim read_power(Reader *reader)
{
    const Dim item = read_item(reader);
    if (!item || !take(reader, '^'))
        return item;
    int64_t power;
    const Dim exponent = read_item(reader);
    if (!exponent || !dim_is_int(exponent, &power) || power < 0 || power > DIM_POWER_MAX)
        return NULL;
    Dim product = dim_int(reader->table, 1);
    for (int64_t i = 0; i < power; i++)
        product = dim_mul(reader->table, product, item);
    return product;
}

static Dim read_product(Reader *reader)
{
    Dim product = read_power(reader);
    while (product) {
        const bool times = take(reader, '*');
        if (!times && !take(reader, '/'))
            return product;
        const Dim factor = read_power(reader);
        if (!factor)
            return NULL;
        product = times ? dim_mul(reader->table, product, factor) : dim_div(reader->table, product, factor);
    }
    return NULL;
}

static Dim read_sum(Reader *reader)
{
    if (++reader->depth > NESTING_MAX)
        return NULL;
    const bool negative = take(reader, '-');
    Dim sum = read_product(reader);
    if (sum && negative)
        sum = dim_sub(reader->table, dim_int(reader->table, 0), sum);
    while (sum) {
        const bool plus = take(reader, '+');
        if (!plus && !take(reader, '-'))
            break;
        const Dim term = read_product(reader);
        sum = !term ? NULL : plus ? dim_add(reader->table, sum, term) : dim_sub(reader->table, sum, term);
    }
    reader->depth--;
    return sum;
}

Dim dim_read(DimTable *table, const char **text)
{
    Reader reader = {.table = table, .at = *text};
    const Dim sum = read_sum(&reader);
    if (sum)
        *text = reader.at;
    return sum;
}
