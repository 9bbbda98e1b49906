/* Placing buffers with known lifetimes in one block. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "memory/buffer.h"
#include "memory/layout.h"

static void test_apart_in_time(void **state)
{
    (void)state;
    BfmLayoutItem items[] = {{.bytes = 1000, .first = 0, .last = 3}, {.bytes = 1000, .first = 4, .last = 6}, {.bytes = 10, .first = 3, .last = 4}};
    size_t total;
    assert_true(bfm_layout(items, 3, &total));
    assert_int_equal(items[0].offset, items[1].offset);
    assert_int_equal(total, 1024 + 64);
}

/* No two that are alive together overlap, whatever the sizes and lives; the block is no larger than all of them. */
static void test_never_overlap(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    uint32_t random = 1;
    for (int round = 0; round < 20; round++) {
        BfmLayoutItem items[COUNT];
        size_t sum = 0, total;
        for (int i = 0; i < COUNT; i++) {
            random = random * 1664525u + 1013904223u;
            items[i] = (BfmLayoutItem){.bytes = random >> 20, .first = (int32_t)(random >> 8 & 63)};
            items[i].last = items[i].first + (int32_t)(random & 7);
            sum += bfm_align_up(items[i].bytes);
        }
        assert_true(bfm_layout(items, COUNT, &total));
        assert_true(total <= sum);
        for (int i = 0; i < COUNT; i++) {
            assert_int_equal(items[i].offset % BFM_ALIGNMENT, 0);
            assert_true(items[i].offset + items[i].bytes <= total);
            for (int j = 0; j < i; j++) {
                if (items[i].first > items[j].last || items[j].first > items[i].last)
                    continue;
                assert_true(items[i].offset >= items[j].offset + items[j].bytes || items[j].offset >= items[i].offset + items[i].bytes);
            }
        }
    }
}

static void test_nothing(void **state)
{
    (void)state;
    size_t total = 1;
    assert_true(bfm_layout(NULL, 0, &total));
    assert_int_equal(total, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_apart_in_time), cmocka_unit_test(test_never_overlap), cmocka_unit_test(test_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
