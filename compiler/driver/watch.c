#include "driver/watch.h"

#include "opt/passes.h"

#include <stdio.h>

typedef struct Watch {
    PassWatch passes;
    bool times, collects;
    PassId wanted;
    Str text;
} Watch;

static void collect(void *context, PassId pass, const Unit *unit, bool changed, int64_t number)
{
    Watch *watch = context;
    (void)number;
    if (pass != watch->wanted || !changed)
        return;
    const bool whole = !pass_info(pass)->unit && unit == unit->program->main; /* of a stage over the program */
    str_printf(&watch->text, "%s# after %s, %s%s\n", watch->text.length ? "\n" : "", pass_info(pass)->name, whole ? "" : "unit ", whole ? "the program" : unit->name);
    if (whole)
        program_print(unit->program, &watch->text);
    else
        unit_print(unit, &watch->text);
}

static int unknown_pass(Driver *driver, const char *name, bool optional)
{
    Str names = {0};
    for (int p = 0; p < PASS_COUNT; p++)
        if (!optional || pass_info((PassId)p)->optional)
            str_printf(&names, "%s%s", names.length ? ", " : "", pass_info((PassId)p)->name);
    const int code = driver_usage(driver, "there is no %spass `%s`; there are %s", optional ? "optional " : "", name, str_text(&names));
    str_free(&names);
    return code;
}

int watch_open(Driver *driver)
{
    const Options *options = driver->options;
    const OptionValue *without = &options->values[OPT_WITHOUT_PASS];
    const char *after = option_text(options, OPT_AFTER);
    if (!after && without->count == 0 && !option_flag(options, OPT_TIME_PASSES) && !option_flag(options, OPT_VERIFY_PASSES))
        return CODE_OK;
    Watch *watch = ARENA_NEW(driver->context.arena, Watch);
    watch->times = option_flag(options, OPT_TIME_PASSES);
    watch->passes.verify = option_flag(options, OPT_VERIFY_PASSES);
    for (int i = 0; i < without->count; i++) {
        PassId pass;
        if (!pass_find(without->texts[i], &pass) || !pass_info(pass)->optional)
            return unknown_pass(driver, without->texts[i], true);
        watch->passes.off |= (uint64_t)1 << pass;
    }
    if (after) {
        if (!pass_find(after, &watch->wanted))
            return unknown_pass(driver, after, false);
        watch->collects = true;
        watch->passes.after = collect;
        watch->passes.context = watch;
    }
    driver->context.watch = &watch->passes;
    return CODE_OK;
}

static Watch *watch_of(const Driver *driver) { return (Watch *)driver->context.watch; } /* its first member */

void watch_close(Driver *driver)
{
    Watch *watch = watch_of(driver);
    if (!watch)
        return;
    if (watch->times) {
        Str table = {0};
        passes_print(&watch->passes, &table);
        fputs(str_text(&table), stderr);
        str_free(&table);
    }
    str_free(&watch->text);
}

const Str *watch_text(const Driver *driver) { return watch_of(driver) && watch_of(driver)->collects ? &watch_of(driver)->text : NULL; }
