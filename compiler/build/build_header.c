/* The header beside a shared object: what it offers, in words and in names that a C compiler checks. */
#include "build/build.h"

#include <ctype.h>
#include <string.h>

/* ---- names ---- */

/* "blk[2].w" is BLK_2__W. */
static void upper(Str *out, const char *text)
{
    for (; *text; text++)
        str_push(out, isalnum((unsigned char)*text) && (unsigned char)*text < 128 ? (char)toupper((unsigned char)*text) : '_');
}

static const BfmPlanPort *port_of(const BfmPlan *plan, bool output, int i) { return output ? &bfm_plan_outputs(plan)[i] : &bfm_plan_formals(plan)[i]; }

/* What a port is called: gradients and next values by their formal's name. */
static const char *port_name(const BfmPlan *plan, bool output, int i)
{
    const BfmPlanPort *port = port_of(plan, output, i);
    if (output && port->formal >= 0 && (port->kind == BFM_OUTPUT_GRAD || port->kind == BFM_OUTPUT_NEXT))
        port = &bfm_plan_formals(plan)[port->formal];
    return bfm_plan_text(plan, port->name);
}

static const char *port_class(const BfmPlan *plan, bool output, int i)
{
    if (!output)
        return "";
    switch ((BfmOutputKind)port_of(plan, output, i)->kind) {
    case BFM_OUTPUT_RESULT: return "OUT_";
    case BFM_OUTPUT_LOSS: return "LOSS_";
    case BFM_OUTPUT_METRIC: return "METRIC_";
    case BFM_OUTPUT_NEXT: return "NEXT_";
    case BFM_OUTPUT_SAVED: return "SAVED_";
    case BFM_OUTPUT_GRAD: return "GRAD_";
    }
    return "";
}

/* Two paths may read alike once spelt as identifiers: the later one gets its number. */
static void enumerator(const Build *build, const BuildEntry *entry, bool output, int i, Str *out)
{
    const BfmPlan *plan = entry->compiled->plan;
    Str mine = {0}, other = {0};
    upper(&mine, port_name(plan, output, i));
    bool taken = false;
    for (int k = 0; k < i && !taken; k++) {
        other.length = 0;
        upper(&other, port_name(plan, output, k));
        taken = strcmp(str_text(&mine), str_text(&other)) == 0 && strcmp(port_class(plan, output, i), port_class(plan, output, k)) == 0;
    }
    upper(out, build->prefix);
    str_push(out, '_');
    upper(out, entry->name);
    str_printf(out, "_%s%s", port_class(plan, output, i), str_text(&mine));
    if (taken)
        str_printf(out, "_%d", i);
    str_free(&mine);
    str_free(&other);
}

/* ---- ports ---- */

static void shape_text(const Build *build, const Tensor *tensor, const char *path, bool parameter, Str *out)
{
    str_append(out, tensor->type == T_INT ? "int32_t [" : "float [");
    const StoreEntry *entry = NULL;
    for (int i = 0; parameter && i < build->store->count && !entry; i++)
        entry = strcmp(build->store->entries[i].path, path) == 0 ? &build->store->entries[i] : NULL;
    for (int a = 0; a < (entry ? entry->rank : tensor->rank); a++) {
        if (a > 0)
            str_append(out, ", ");
        if (entry)
            str_printf(out, "%lld", (long long)entry->shape[a]);
        else
            dim_print(tensor->extent[a], out);
    }
    str_push(out, ']');
    if (tensor->type == T_INT && tensor->bound) {
        str_append(out, ", each -1 (none) or 0 … ");
        dim_print(tensor->bound, out);
        str_append(out, " - 1");
    }
}

static const char *role_text(const BfmPlanPort *port, bool output)
{
    if (output)
        return port->kind == BFM_OUTPUT_LOSS   ? ", a loss"
               : port->kind == BFM_OUTPUT_GRAD ? ", of the sum of all losses"
               : port->kind == BFM_OUTPUT_NEXT ? ", for the next run"
                                               : "";
    return port->kind == BFM_PORT_PARAM ? ", a parameter" : port->kind == BFM_PORT_STATE ? ", a state" : ", an input";
}

static void ports(const Build *build, const BuildEntry *entry, bool output, Str *out)
{
    const BfmPlan *plan = entry->compiled->plan;
    const Unit *unit = entry->compiled->unit;
    const int count = (int)(output ? plan->outputs.count : plan->formals.count);
    if (count == 0)
        return;
    str_printf(out, "/* %s of %s: positions for bfm_instance_%s. */\nenum {\n", output ? "Outputs" : "Formals", entry->name, output ? "output" : "set_formal");
    for (int i = 0; i < count; i++) {
        const BfmPlanPort *port = port_of(plan, output, i);
        const bool unread = !output && bfm_plan_buffers(plan)[port->buffer].first < 0;
        str_append(out, "    ");
        enumerator(build, entry, output, i, out);
        str_printf(out, " = %d, /* %s: ", i, port_name(plan, output, i));
        const Tensor *tensor = &unit->tensors[output ? unit->outputs[i].tensor : unit->formals[i]];
        shape_text(build, tensor, port_name(plan, output, i), output ? port->kind == BFM_OUTPUT_GRAD : port->kind == BFM_PORT_PARAM, out);
        str_printf(out, "%s%s */\n", role_text(port, output), unread ? "; not read, needs no memory" : "");
    }
    str_append(out, "};\n\n");
}

/* ---- the text ---- */

static const char *entry_says(const char *name)
{
    if (strcmp(name, "forward") == 0)
        return "The model's result for all positions at once, as in evaluation.";
    if (strcmp(name, "backward") == 0)
        return "Losses, and the gradient of their sum by every parameter, as in training. A cross_entropy is in nats per target; targets of -1 do not count.";
    return "The incremental decoder: use it through bfm_tensors_decoder (model/model.h), which keeps its caches.";
}

static bool has_entry(const Build *build, const char *name)
{
    for (int e = 0; e < build->entries.count; e++)
        if (strcmp(build->entries.items[e].name, name) == 0)
            return true;
    return false;
}

static void introduction(const Build *build, Str *out)
{
    const char *x = build->prefix, *slash = strrchr(build->base, '/'), *stem = slash ? slash + 1 : build->base;
    str_printf(out,
               "/* %s, compiled by bfmc %s. Written by `bfmc build`; do not edit.\n\n"
               "   A program that runs it is compiled like this, in this folder (a program elsewhere needs libbfm_runtime.so where its loader looks):\n"
               "       cc main.c %s.so %s -L%s -lbfm_runtime -Wl,-rpath,'$ORIGIN',-rpath,%s\n\n",
               x, BFM_VERSION, stem, build->headers, build->library, build->library);
    str_printf(out,
               "       BfmError error;\n"
               "       BfmPool *pool = bfm_pool_new(0);                          threads; 0: one for each CPU\n"
               "       BfmTensors *tensors = bfm_tensors_new(&%s_model, &error);\n"
               "       bfm_tensors_load(tensors, \"model.safetensors\", &error);   or %s_init(tensors, seed)\n"
               "       BfmInstance *forward = %s_forward(pool, &error);\n"
               "       bfm_tensors_bind(tensors, \"forward\", forward, &error);    parameters and states\n"
               "       bfm_instance_set_formal(forward, …, tokens);              inputs, by the names below\n"
               "       bfm_model_bind(forward, b, l, &error);                    sizes: b rows of l positions%s\n"
               "       bfm_instance_run(forward, seed, step, &error);            seed and step key random draws, if there are any\n"
               "       const float *result = bfm_instance_output(forward, …);\n\n",
               x, x, x, build->model.lowered->context > 0 ? ", l at most the context" : "");
    str_printf(out,
               "   Sizes     in the shapes below b and l are what bfm_model_bind was given; another b or l compiles nothing. %s\n"
               "   Memory    row-major, 64-byte aligned (bfm_buffer_new). Inputs are the caller's and stay valid while running; outputs are the instance's, valid\n"
               "             until its next run or bind; parameters and states are the BfmTensors'. Free instances before pool and tensors.\n"
               "   Errors    functions that take a BfmError return NULL or false and fill it: kind BFM_ERROR_INPUT (what was given is wrong),\n"
               "             BFM_ERROR_ENVIRONMENT (memory) or BFM_ERROR_BUG, and a message. Nothing exits or prints.\n"
               "   Threads   one thread at a time may use an instance; results have the same bits for any number of threads in the pool. */\n\n",
               build->model.lowered->context > 0 ? arena_printf(build->context->arena, "The context is %lld.", (long long)build->model.lowered->context) : "");
}

void build_header(const Build *build, Str *out)
{
    const char *x = build->prefix;
    Str guard = {0};
    upper(&guard, x);
    str_printf(out, "#ifndef BFM_MODEL_%s_H\n#define BFM_MODEL_%s_H\n\n", str_text(&guard), str_text(&guard));
    introduction(build, out);
    str_append(out, "#include \"bfm/runtime.h\"\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
    str_printf(out, "/* Entries, parameters with their shapes and initial values, updates (bfm/model.h). */\nextern const BfmModel %s_model;\n\n", x);
    for (int e = 0; e < build->entries.count; e++) {
        const BuildEntry *entry = &build->entries.items[e];
        if (strncmp(entry->name, "step_", 5) == 0 || strcmp(entry->name, "schedule") == 0)
            continue;
        str_printf(out, "/* ---- %s ---- */\n\n/* %s\n   NULL: memory is exhausted. The caller frees it with bfm_instance_free. */\n", entry->name, entry_says(entry->name));
        str_printf(out, "BfmInstance *%s_%s(BfmPool *pool, BfmError *error);\n\n", x, entry->name);
        ports(build, entry, false, out);
        ports(build, entry, true, out);
    }
    str_printf(out,
               "/* ---- init ---- */\n\n/* Initial values of all parameters and states: the numbers `bfmc train` begins with from this seed. */\n"
               "static inline void %s_init(BfmTensors *tensors, uint64_t seed) { bfm_tensors_init(tensors, seed); }\n\n",
               x);
    if (!has_entry(build, "decode"))
        str_append(out, "/* There is no `decode`: the model has no incremental decoder. */\n\n");
    if (build->updates.count > 0)
        str_printf(out,
                   "/* ---- step ---- */\n\n/* One update of all parameters by the recipe `%s`, from the last run of `backward`; updater: bfm_updater_new(tensors, pool, &error).\n"
                   "   factor: what the schedule makes of the rate at this step, such as %s gives it; step counts from 0; *norm (may be\n"
                   "   NULL): of all gradients%s. False: see error; where a gradient is not finite nothing has changed. bfm_updater_save and\n"
                   "   bfm_updater_load keep the optimiser's states in a file, so that a training can be resumed. */\n"
                   "static inline bool %s_step(BfmUpdater *updater, const BfmInstance *backward, double factor, int64_t step, double *norm, BfmError *error)\n"
                   "{\n    return bfm_updater_step(updater, backward, factor, step, norm, error);\n}\n\n",
                   build->recipe.node->name, build->recipe.schedule ? "bfm_updater_factor" : "1 (the recipe has none)",
                   build->recipe.clip_norm > 0 ? ", before they are clipped" : "", x);
    else
        str_append(out, "/* There is no `step`: the model was built without a recipe. */\n\n");
    str_append(out, "#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
    str_free(&guard);
}
