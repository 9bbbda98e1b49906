/* What a definition of each kind may consist of, and the names that its signature declares. */
#ifndef BFM_MODULE_FORMS_H
#define BFM_MODULE_FORMS_H

#include "module/module.h"

/* Reports definitions whose form their kind does not have (a `fn` with a body, a layer after `=`) and names that one signature or one file declares
   twice. Definitions with such an error are malformed afterwards (module_malformed): what would follow from them is not reported. */
void forms_check(Module *module);
/* The same for one item; false where it is malformed. */
bool forms_check_item(Module *module, Node *item);

#endif
