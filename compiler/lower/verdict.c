/* Effects in words, and the warning about leaks. */
#include "lower/verdict.h"

#include <inttypes.h>

Verdict verdict_of(Arena *arena, const Lowered *lowered)
{
    Verdict verdict = {.effects = effects_analyse(arena, lowered->program)};
    const Unit *main = lowered->program->main;
    verdict.effect = effects_of(verdict.effects, main)->outputs[lowered->result];
    if (effect_causal(verdict.effect))
        return verdict;
    verdict.effect.future = effects_future(verdict.effects, main, lowered->result, &verdict.read);
    verdict.step_count = effects_path(arena, verdict.effects, main, lowered->result, true, verdict.steps, VERDICT_STEPS_MAX);
    return verdict;
}

Leak verdict_leak(const Lowered *lowered, const Verdict *verdict)
{
    if (lowered->cross_entropy < 0 || effect_causal(verdict->effect))
        return LEAK_NONE;
    return verdict->effect.future ? LEAK_SHOWN : LEAK_POSSIBLE;
}

/* W0509: what is not shown, and what would show it. */
static void warn_possible(const Module *module, const Lowered *lowered, const EffectStep *line, const EffectStep *leak)
{
    Diagnostic *diag = diag_add(module->diags, DIAG_W0509, line->span, "the language model `%s` cannot be shown to be causal%s%s%s", lowered->model->name,
                                line->call ? ", because of `" : "", line->call ? line->call : "", line->call ? "`" : "");
    if (leak != line && leak->span.file >= 0)
        diag_label(module->diags, diag, leak->span, "nothing bounds the positions read here by the one written");
    diag_note(module->diags, diag, "no read of a later position was found either; if there is one, its loss is leaky, and without the proof it cannot generate text");
    diag_fix(module->diags, diag,
             "bound the subscript by the position written: with indices that a condition compares, such as `sum[j | j <= l]`, or with a constant distance, such as `l - s`");
}

void verdict_warn(const Module *module, const Lowered *lowered, const Verdict *verdict)
{
    const Leak found = verdict_leak(lowered, verdict);
    if (found == LEAK_NONE || verdict->step_count == 0)
        return;
    const EffectStep *line = &verdict->steps[0], *leak = &verdict->steps[verdict->step_count - 1];
    if (found == LEAK_POSSIBLE) {
        warn_possible(module, lowered, line, leak);
        return;
    }
    Diagnostic *diag = diag_add(module->diags, DIAG_W0501, line->span, "the language model `%s` reads the future%s%s%s", lowered->model->name, line->call ? " through `" : "",
                                line->call ? line->call : "", line->call ? "`" : "");
    if (leak != line && leak->span.file >= 0)
        diag_label(module->diags, diag, leak->span, leak->targets ? "`targets` of position l is the token at l + 1" : "positions later than the one written are read here");
    diag_note(module->diags, diag, "its loss counts on what it should predict: the perplexity will be marked as leaky, and it cannot generate text");
    diag_fix(module->diags, diag,
             leak->targets ? "leave `targets` to losses and metrics: at a position it holds the next token, which the model is to predict"
                           : "use attributes under which this line reads earlier positions only");
}

void verdict_print_short(Effect effect, Str *out)
{
    if (!effect_causal(effect))
        str_append(out, effect.future ? "future" : "not shown causal");
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
        str_append(out, effect.future ? "reads the future" : "cannot be shown to be causal");
    else if (effect.own.empty || effect.own.low >= 0)
        str_append(out, "token-local: every position for itself");
    else if (effect.own.low > -EFFECT_INFINITY)
        str_printf(out, "causal: every position sees itself and %" PRId64 " before it", -effect.own.low);
    else
        str_append(out, "causal: no position sees a later one");
    str_append(out, effect_batch_independent(effect) ? "; rows do not see each other" : "; depends on the other rows of the batch");
    str_append(out, effect_length_dependent(effect) ? "; depends on the length" : "; the length does not matter");
}
