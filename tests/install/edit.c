/* Parses a file, changes an attribute, checks, prints cost and canonical text. */
#include <bfm/check.h>
#include <bfm/cost.h>
#include <bfm/tree.h>

#include <stdio.h>
#include <stdlib.h>

static int fail(const BfmModule *module, const BfmError *error)
{
    char *text = module ? bfm_diagnostics_text(module) : NULL;
    fprintf(stderr, "%s%s\n", error->message, text ? text : "");
    bfm_text_free(text);
    return 1;
}

int main(int argc, char **argv)
{
    BfmError error = {BFM_OK, ""};
    BfmCost cost;
    BfmContext *context = bfm_context_new(NULL, &error);
    BfmModule *module = context && argc > 4 ? bfm_module_load(context, argv[1], &error) : NULL;
    if (!module || !bfm_module_set(module, argv[2], argv[3], &error) || !bfm_check(module, argv[4]) || !bfm_cost(module, argv[4], 8, 16, BFM_COST_PLAN, &cost, &error))
        return fail(module, &error);
    char *text = bfm_module_text(module, NULL), *value = bfm_module_get(module, argv[2]);
    printf("parameters %lld\nforward %.0f\nplanned %.0f\n%s = %s\n%s", (long long)cost.parameters, cost.forward, cost.planned_bytes, argv[2], value, text);
    bfm_text_free(text);
    bfm_text_free(value);
    bfm_module_free(module);
    bfm_context_free(context);
    return 0;
}
