#include "engines.h"

#include "support/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *values_differ(Arena *arena, const char *name, const Value *expected, const Value *found, double tolerance)
{
    if (expected->count != found->count || !expected->real != !found->real)
        return arena_printf(arena, "%s: another shape or type", name);
    double scale = 1;
    for (int64_t i = 0; i < expected->count && expected->real; i++)
        if (isfinite(expected->real[i]) && fabs(expected->real[i]) > scale)
            scale = fabs(expected->real[i]);
    for (int64_t i = 0; i < expected->count; i++) {
        if (expected->integer) {
            if (expected->integer[i] != found->integer[i])
                return arena_printf(arena, "%s[%lld] is %d, expected %d", name, (long long)i, found->integer[i], expected->integer[i]);
        } else if (isfinite(expected->real[i]) && !(fabs(expected->real[i] - found->real[i]) <= tolerance * scale)) {
            return arena_printf(arena, "%s[%lld] is %.17g, expected %.17g", name, (long long)i, found->real[i], expected->real[i]);
        }
    }
    return NULL;
}

Program *program_copy(Arena *arena, Interner *interner, const Program *program)
{
    Str text = {0};
    program_print(program, &text);
    Program *copy = program_read(arena, interner, str_text(&text), NULL);
    str_free(&text);
    return copy;
}

/* ---- integers, replayed ---- */

bool tape_record(void *user, const Unit *unit, int tensor, Value *value)
{
    (void)unit, (void)tensor;
    Tape *tape = user;
    if (tape->count == tape->capacity) {
        tape->capacity = tape->capacity ? 2 * tape->capacity : 16;
        Value *larger = ARENA_ARRAY(tape->arena, Value, tape->capacity);
        if (tape->count)
            memcpy(larger, tape->items, (size_t)tape->count * sizeof *larger);
        tape->items = larger;
    }
    tape->items[tape->count++] = *value;
    return true;
}

bool tape_replay(void *user, const Unit *unit, int tensor, Value *value)
{
    (void)unit, (void)tensor;
    Tape *tape = user;
    if (tape->next == tape->count || tape->items[tape->next].count != value->count) {
        tape->broken = true;
        return false;
    }
    const Value *old = &tape->items[tape->next++];
    for (int64_t i = 0; i < value->count; i++) {
        tape->changed += value->integer[i] != old->integer[i];
        value->integer[i] = old->integer[i];
    }
    return true;
}

/* ---- checks ---- */

static Check failed(const char *message) { return (Check){CHECK_FAILED, message}; }

static Check compare_outputs(const Case *test, const Unit *unit, const Value *found, double tolerance)
{
    for (int i = 0; i < unit->output_count; i++) {
        const char *message = values_differ(test->arena, unit->outputs[i].name, &test->expected[i], &found[i], tolerance);
        if (message)
            return failed(message);
    }
    return (Check){CHECK_PASSED, NULL};
}

Check check_text(const Case *test)
{
    Str first = {0}, second = {0};
    program_print(test->program, &first);
    const char *message = NULL;
    Program *copy = program_read(test->arena, test->interner, str_text(&first), &message);
    if (copy)
        program_print(copy, &second);
    const bool same = copy && strcmp(str_text(&first), str_text(&second)) == 0;
    str_free(&first);
    str_free(&second);
    if (!copy)
        return failed(arena_printf(test->arena, "the text is not read: %s", message));
    if (!same)
        return failed("the text changes when it is read and printed");
    if ((message = program_verify(copy)))
        return failed(message);
    if (program_hash(copy) != program_hash(program_copy(test->arena, test->interner, copy)))
        return failed("the hash changes when the text is read");
    Value *found = ARENA_ARRAY(test->arena, Value, copy->main->output_count + 1);
    if ((message = interp_run(test->arena, copy->main, &test->context, test->inputs, found, NULL)))
        return failed(message);
    return compare_outputs(test, copy->main, found, 0);
}

Check check_interp(const Case *test)
{
    Tape tape = {.arena = test->arena};
    InterpContext context = test->context;
    const Unit *main = test->program->main;
    Value *found = ARENA_ARRAY(test->arena, Value, main->output_count + 1);
    context.replay = tape_record;
    context.user = &tape;
    const char *message = interp_run(test->arena, main, &context, test->inputs, found, NULL);
    if (message)
        return failed(message);
    const Check same = compare_outputs(test, main, found, 0); /* a second run gives the same bits */
    if (same.status != CHECK_PASSED)
        return same;
    context.precision = INTERP_F32;
    context.replay = tape_replay;
    message = interp_run(test->arena, main, &context, test->inputs, found, NULL);
    if (message)
        return failed(message);
    if (tape.changed)
        return (Check){CHECK_SKIPPED, "an integer differs in f32"};
    const Check close = compare_outputs(test, main, found, 2e-3);
    /* Guards and choices on data may turn on a bit: then everything after may differ, and nothing is said. */
    return close.status == CHECK_PASSED ? close : (Check){CHECK_SKIPPED, close.message};
}
