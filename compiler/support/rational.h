/* Exact rationals of 64-bit parts, always reduced, denominator > 0. Overflow gives the invalid value (den 0), which every operation passes on. */
#ifndef BFM_SUPPORT_RATIONAL_H
#define BFM_SUPPORT_RATIONAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Rational {
    int64_t num, den;
} Rational;

Rational rational(int64_t num, int64_t den); /* den 0 gives the invalid value */
static inline Rational rational_int(int64_t value) { return (Rational){value, 1}; }
static inline bool rational_valid(Rational a) { return a.den != 0; }
static inline bool rational_is_int(Rational a) { return a.den == 1; }
Rational rational_add(Rational a, Rational b);
Rational rational_sub(Rational a, Rational b);
Rational rational_mul(Rational a, Rational b);
Rational rational_div(Rational a, Rational b);
Rational rational_neg(Rational a);
Rational rational_floor(Rational a);
Rational rational_ceil(Rational a);
int rational_compare(Rational a, Rational b); /* -1, 0, 1; both valid */
static inline bool rational_equal(Rational a, Rational b) { return a.num == b.num && a.den == b.den; }
double rational_double(Rational a);
/* The shortest exact text: 3, 0.25, 1/3. Returns the length, as snprintf does. */
int rational_print(Rational a, char *text, size_t size);

#endif
