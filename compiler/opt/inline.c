#include "opt/opt.h"
bool opt_inline(Unit *unit, const OptOptions *options) {
    (void)unit;
    (void)options;
    return false;
}
