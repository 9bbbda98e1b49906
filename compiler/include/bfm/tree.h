/* Modules: a file with everything it uses, as trees that can be edited and printed. Paths of attributes are those of `bfmc --set`: ITEM.LINE.ATTRIBUTE, as in
   "pair.ffn_0.hidden"; docs/language.md says how lines are called. */
#ifndef BFM_TREE_H
#define BFM_TREE_H

#include <bfm/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads a file and what it uses. NULL: INPUT where the file cannot be read. A file with errors is a module all the same: check.h has the diagnostics. The context must outlive
   the module. */
BFM_API BfmModule *bfm_module_load(const BfmContext *context, const char *path, BfmError *error);
/* The same of a text of `length` bytes, shown under `name`; `use` of other files is relative to the folder of `name`. Never NULL but for exhausted memory. */
BFM_API BfmModule *bfm_module_parse(const BfmContext *context, const char *name, const char *text, size_t length, BfmError *error);
/* NULL is allowed. */
BFM_API void bfm_module_free(BfmModule *module);

/* ---- items of the file itself, in the order of the text ---- */

BFM_API int bfm_module_item_count(const BfmModule *module);
/* "night"; NULL where it has none (`use` of another module). Belongs to the module. */
BFM_API const char *bfm_module_item_name(const BfmModule *module, int item);
/* "model", "block", "layer", "recipe", "space", … Belongs to the library. */
BFM_API const char *bfm_module_item_kind(const BfmModule *module, int item);

/* ---- editing ---- */

/* Sets an attribute, setting or default to an expression ("512", "topk(k = 2)"). INPUT: nothing has this path, or the text is no expression; nothing is changed then. */
BFM_API bool bfm_module_set(BfmModule *module, const char *path, const char *value, BfmError *error);
/* The expression at the path as text; NULL where it is not given. To be freed with bfm_text_free. */
BFM_API char *bfm_module_get(const BfmModule *module, const char *path);

/* The canonical text, as `bfmc fmt` writes it: of the item of this name, NULL: of the whole file. To be freed with bfm_text_free. NULL: there is no such item. */
BFM_API char *bfm_module_text(const BfmModule *module, const char *item);

/* A copy in which the item of this name can be edited: it shares everything else with `module`, which must outlive it and not change. Copies of one module may be edited, checked
   and counted in several threads at once. NULL: INPUT, there is no such item. */
BFM_API BfmModule *bfm_module_candidate(const BfmModule *module, const char *item, BfmError *error);

#ifdef __cplusplus
}
#endif

#endif
