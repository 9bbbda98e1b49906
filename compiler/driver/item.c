/* Models, blocks and layers alike. */
#include "driver/item.h"

enum { CONTEXT_FALLBACK = 1024 };

const Node *item_pick(Driver *driver, const Module *module, const Target *target, int *code)
{
    if (target->name) {
        const Symbol name = intern(driver->context.interner, target->name);
        const Node *block = module_find(module, name, NODE_BLOCK, -1), *layer = module_find(module, name, NODE_DEFINITION, AST_DEF_LAYER);
        return block ? block : layer ? layer : driver_pick(driver, module, target, NODE_MODEL, code);
    }
    const Node *items = module->files[0].root->kids[FILE_ITEMS];
    int models = 0, blocks = 0;
    for (int i = 0; i < list_count(items); i++) {
        models += list_at(items, i)->kind == NODE_MODEL;
        blocks += list_at(items, i)->kind == NODE_BLOCK;
    }
    return driver_pick(driver, module, target, models == 0 && blocks > 0 ? NODE_BLOCK : NODE_MODEL, code);
}

const Lowered *item_lower(Driver *driver, const Module *module, const Node *item, int64_t width, Mode mode)
{
    const LowerOptions options = {.mode = mode};
    return item->kind == NODE_MODEL ? lower_model(module, item, &options) : lower_block(module, item, width, option_whole(driver->options, OPT_LENGTH, CONTEXT_FALLBACK), &options);
}
