/* Requested outputs: what is computed is what somebody asks for.
   requires   a verified program
   preserves  values and order of the outputs that stay
   breaks     positions of outputs behind those that go */
#include "opt/opt.h"

void opt_drop_outputs(Unit *unit, OutputKind kind)
{
    int kept = 0;
    for (int o = 0; o < unit->output_count; o++) {
        if (unit->outputs[o].kind != kind)
            unit->outputs[kept++] = unit->outputs[o];
    }
    unit->output_count = kept;
}
