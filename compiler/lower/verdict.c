/* Effects in words, and the warning about leaks. */
#include "lower/verdict.h"

#include <inttypes.h>

Verdict verdict_of(Arena *arena, const Lowered *lowered)
{
    Verdict verdict = {.effects = effects_analyse(arena, lowered->program)};
    const Unit *main = lowered->program->main;
    verdict.effect = effects_of(verdict.effects, main)->outputs[lowered->result];
    if (!effect_causal(verdict.effect))
        verdict.step_count = effects_path(arena, verdict.effects, main, lowered->result, true, verdict.steps, VERDICT_STEPS_MAX);
    return verdict;
}

bool verdict_is_leaky(const Lowered *lowered, const Verdict *verdict) { return lowered->cross_entropy >= 0 && !effect_causal(verdict->effect); }

void verdict_warn(const Module *module, const Lowered *lowered, const Verdict *verdict)
{
    if (!verdict_is_leaky(lowered, verdict) || verdict->step_count == 0)
        return;
    const EffectStep *line = &verdict->steps[0], *leak = &verdict->steps[verdict->step_count - 1];
    Diagnostic *diag = diag_add(module->diags, DIAG_W0501, line->span, "the language model `%s` reads the future%s%s%s", lowered->model->name, line->call ? " through `" : "",
                                line->call ? line->call : "", line->call ? "`" : "");
    if (leak != line && leak->span.file >= 0)
        diag_label(module->diags, diag, leak->span, "positions later than the one written are read here");
    diag_note(module->diags, diag, "its loss counts on what it should predict: the perplexity will be marked as leaky, and it cannot generate text");
    diag_fix(module->diags, diag, "use attributes under which this line reads earlier positions only");
}

void verdict_print_short(Effect effect, Str *out)
{
    if (!effect_causal(effect))
        str_append(out, "future");
    else if (effect.own.empty || effect.own.low >= 0)
        str_append(out, "token-local");
    else if (effect.own.low > -EFFECT_INFINITY)
        str_printf(out, "causal, %" PRId64 " back", -effect.own.low);
    else
        str_append(out, "causal");
    if (!effect_batch_independent(effect))
        str_append(out, ", other rows");
    if (effect_length_dependent(effect))
        str_append(out, ", length");
}

void verdict_print(Effect effect, Str *out)
{
    if (!effect_causal(effect))
        str_append(out, "reads the future");
    else if (effect.own.empty || effect.own.low >= 0)
        str_append(out, "token-local: every position for itself");
    else if (effect.own.low > -EFFECT_INFINITY)
        str_printf(out, "causal: every position sees itself and %" PRId64 " before it", -effect.own.low);
    else
        str_append(out, "causal: no position sees a later one");
    str_append(out, effect_batch_independent(effect) ? "; rows do not see each other" : "; depends on the other rows of the batch");
    str_append(out, effect_length_dependent(effect) ? "; depends on the length" : "; the length does not matter");
}
