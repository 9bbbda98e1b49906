/* Schoolbook arithmetic: the numbers have tens of digits. */
#include "support/natural.h"

#include "support/bug.h"

#include <math.h>

static Natural trimmed(const uint32_t *digits, int count)
{
    while (count > 0 && digits[count - 1] == 0)
        count--;
    return (Natural){count, digits};
}

Natural natural(Arena *arena, uint64_t value)
{
    uint32_t *digits = ARENA_ARRAY(arena, uint32_t, 2);
    digits[0] = (uint32_t)value;
    digits[1] = (uint32_t)(value >> 32);
    return trimmed(digits, 2);
}

Natural natural_copy(Arena *arena, Natural a) { return (Natural){a.count, arena_memdup(arena, a.digits, (size_t)a.count * sizeof *a.digits)}; }

static uint64_t digit(Natural a, int i) { return i < a.count ? a.digits[i] : 0; }

Natural natural_add(Arena *arena, Natural a, Natural b)
{
    const int count = (a.count > b.count ? a.count : b.count) + 1;
    uint32_t *digits = ARENA_ARRAY(arena, uint32_t, count);
    uint64_t carry = 0;
    for (int i = 0; i < count; i++) {
        carry += digit(a, i) + digit(b, i);
        digits[i] = (uint32_t)carry;
        carry >>= 32;
    }
    return trimmed(digits, count);
}

Natural natural_mul(Arena *arena, Natural a, Natural b)
{
    uint32_t *digits = ARENA_ARRAY(arena, uint32_t, a.count + b.count + 1);
    for (int i = 0; i < a.count; i++) {
        uint64_t carry = 0;
        for (int k = 0; k < b.count || carry; k++) {
            carry += digits[i + k] + digit(a, i) * digit(b, k);
            digits[i + k] = (uint32_t)carry;
            carry >>= 32;
        }
    }
    return trimmed(digits, a.count + b.count);
}

bool natural_fits(Natural a, uint64_t *value)
{
    *value = digit(a, 0) | digit(a, 1) << 32;
    return a.count <= 2;
}

double natural_log10(Natural a)
{
    double leading = 0;
    for (int i = a.count - 1; i >= 0 && i >= a.count - 3; i--)
        leading = leading * 0x1p32 + a.digits[i];
    return log10(leading) + (a.count > 3 ? (double)(a.count - 3) * 32 * log10(2) : 0);
}

const char *natural_text(Arena *arena, Natural a)
{
    enum { PLACES = 9 };
    const size_t size = (size_t)a.count * 10 + PLACES + 2; /* 32 bits are fewer than 10 decimal places */
    char *text = ARENA_ARRAY(arena, char, size), *at = text + size - 1;
    uint32_t *rest = ARENA_ARRAY(arena, uint32_t, a.count + 1);
    int count = a.count;
    for (int i = 0; i < count; i++)
        rest[i] = a.digits[i];
    do {
        uint64_t remainder = 0;
        for (int i = count - 1; i >= 0; i--) {
            remainder = remainder << 32 | rest[i];
            rest[i] = (uint32_t)(remainder / 1000000000);
            remainder %= 1000000000;
        }
        while (count > 0 && rest[count - 1] == 0)
            count--;
        for (int i = 0; i < PLACES && (count > 0 || remainder > 0 || (i == 0 && at == text + size - 1)); i++, remainder /= 10)
            *--at = (char)('0' + remainder % 10);
    } while (count > 0);
    return at;
}
