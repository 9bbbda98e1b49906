/* A stream's derivative. */
#include "grad/internal.h"

bool stream_rule(Backward *b, int group) {
    (void)b;
    (void)group;
    return false;
}
