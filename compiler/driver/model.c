#include "driver/model.h"

bool driver_model(Driver *driver, const char *argument, Mode mode, ModelProgram *model, int *code)
{
    const BfmContext *context = &driver->context;
    const Target target = target_parse(context->arena, argument);
    BfmError error;
    Module *module = driver_module(driver, target.path, code);
    if (!module)
        return false;
    if (diag_errors(context->diags) > 0) {
        (void)context_rejected(&error);
        *code = driver_fail(driver, &error);
        return false;
    }
    const Node *node = driver_pick(driver, module, &target, NODE_MODEL, code);
    if (!node)
        return false;
    if (!model_lower(context, module, node, mode, model, &error)) {
        *code = driver_fail(driver, &error);
        return false;
    }
    (void)driver_diagnostics(driver); /* warnings, before the work begins */
    return true;
}
