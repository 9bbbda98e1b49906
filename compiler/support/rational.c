#include "support/rational.h"

#include "support/checked.h"

#include <inttypes.h>
#include <stdio.h>

__extension__ typedef __int128 Wide; /* products of two 64-bit numbers */
static const Rational INVALID = {0, 0};

static Wide wide_gcd(Wide a, Wide b)
{
    if (a < 0)
        a = -a;
    if (b < 0)
        b = -b;
    while (b) {
        const Wide rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static Rational reduce(Wide num, Wide den)
{
    if (den == 0)
        return INVALID;
    if (den < 0) {
        num = -num;
        den = -den;
    }
    const Wide divisor = wide_gcd(num, den);
    num /= divisor;
    den /= divisor;
    if (num > INT64_MAX || num < -INT64_MAX || den > INT64_MAX)
        return INVALID;
    return (Rational){(int64_t)num, (int64_t)den};
}

Rational rational(int64_t num, int64_t den) { return reduce(num, den); }

Rational rational_add(Rational a, Rational b)
{
    int64_t sum;
    if (!a.den || !b.den)
        return INVALID;
    if (a.den == 1 && b.den == 1 && !__builtin_add_overflow(a.num, b.num, &sum) && sum != INT64_MIN)
        return (Rational){sum, 1};
    Wide left = (Wide)a.num * b.den, right = (Wide)b.num * a.den;
    return reduce(left + right, (Wide)a.den * b.den);
}

Rational rational_sub(Rational a, Rational b) { return rational_add(a, rational_neg(b)); }

Rational rational_mul(Rational a, Rational b)
{
    int64_t product;
    if (a.den == 1 && b.den == 1 && !__builtin_mul_overflow(a.num, b.num, &product) && product != INT64_MIN)
        return (Rational){product, 1};
    return a.den && b.den ? reduce((Wide)a.num * b.num, (Wide)a.den * b.den) : INVALID;
}

Rational rational_div(Rational a, Rational b) { return a.den && b.den ? reduce((Wide)a.num * b.den, (Wide)a.den * b.num) : INVALID; }

Rational rational_neg(Rational a) { return (Rational){-a.num, a.den}; }

Rational rational_floor(Rational a) { return a.den ? rational_int(floor_div(a.num, a.den)) : INVALID; }

Rational rational_ceil(Rational a) { return a.den ? rational_int(ceil_div(a.num, a.den)) : INVALID; }

int rational_compare(Rational a, Rational b)
{
    const Wide left = (Wide)a.num * b.den, right = (Wide)b.num * a.den;
    return (left > right) - (left < right);
}

double rational_double(Rational a) { return (double)a.num / (double)a.den; }

int rational_print(Rational a, char *text, size_t size)
{
    if (!rational_valid(a))
        return snprintf(text, size, "(overflow)");
    if (rational_is_int(a))
        return snprintf(text, size, "%" PRId64, a.num);
    /* A denominator of twos and fives has a finite decimal; up to 15 places are printed so, exactly. */
    Wide scale = 1;
    for (int places = 1; places <= 15; places++) {
        scale *= 10;
        if (scale % a.den)
            continue;
        const Wide digits = (Wide)(a.num < 0 ? -(Wide)a.num : a.num) * (scale / a.den);
        if (digits / scale > INT64_MAX)
            break;
        return snprintf(text, size, "%s%" PRId64 ".%0*" PRId64, a.num < 0 ? "-" : "", (int64_t)(digits / scale), places, (int64_t)(digits % scale));
    }
    return snprintf(text, size, "%" PRId64 "/%" PRId64, a.num, a.den);
}
