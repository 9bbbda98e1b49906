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
/* Reads one file for itself: what it uses is not looked for. For bfm_module_text. NULL: INPUT where the file cannot be read. */
BFM_API BfmModule *bfm_module_read(const BfmContext *context, const char *path, BfmError *error);
/* Files of the module: the one that was loaded, then those it uses. Paths belong to the module. */
BFM_API int bfm_module_file_count(const BfmModule *module);
BFM_API const char *bfm_module_file(const BfmModule *module, int file);
/* NULL is allowed. */
BFM_API void bfm_module_free(BfmModule *module);

/* ---- items of the file itself, in the order of the text ---- */

BFM_API int bfm_module_item_count(const BfmModule *module);
/* "night"; NULL where it has none (`use` of another module). Belongs to the module. */
BFM_API const char *bfm_module_item_name(const BfmModule *module, int item);
/* "model", "block", "layer", "recipe", "space", … Belongs to the library. */
BFM_API const char *bfm_module_item_kind(const BfmModule *module, int item);

/* The kind of the item of this name, in the file itself or in what it uses. NULL: there is none. Belongs to the library. */
BFM_API const char *bfm_module_kind(const BfmModule *module, const char *name);

/* ---- editing ---- */

/* Sets an attribute, setting or default to an expression ("512", "topk(k = 2)"). INPUT: nothing has this path, or the text is no expression; nothing is changed then. */
BFM_API bool bfm_module_set(BfmModule *module, const char *path, const char *value, BfmError *error);
/* As `bfmc --set`: "PATH=VALUE", where PATH is looked for below `item` (NULL: none), then as it is written, in this file and those it uses, then below the first model. Training
   keeps it in run.json. INPUT: no `=`, or nothing has this path; a VALUE that is no expression is a diagnostic. */
BFM_API bool bfm_module_override(BfmModule *module, const char *item, const char *setting, BfmError *error);
/* The expression at the path as text; NULL where it is not given. To be freed with bfm_text_free. */
BFM_API char *bfm_module_get(const BfmModule *module, const char *path);

/* The canonical text, as `bfmc fmt` writes it: of the item of this name, NULL: of the whole file. To be freed with bfm_text_free. NULL: there is no such item. */
BFM_API char *bfm_module_text(const BfmModule *module, const char *item);

/* Whether the file's bytes are its canonical text. */
BFM_API bool bfm_module_is_formatted(const BfmModule *module, BfmError *error);
/* Replaces the file by its canonical text; mode, owner and links stay. False: ENVIRONMENT, the file is as it was. */
BFM_API bool bfm_module_format(BfmModule *module, BfmError *error);

/* The syntax tree of an item (NULL: of the file), a node on a line, or as JSON. To be freed with bfm_text_free. NULL: there is no such item in the module. */
BFM_API char *bfm_module_dump(const BfmModule *module, const char *item, bool json);

/* A copy in which the item of this name can be edited: it shares everything else with `module`, which must outlive it and not change. Copies of one module may be edited, checked
   and counted in several threads at once. NULL: INPUT, there is no such item. */
BFM_API BfmModule *bfm_module_candidate(const BfmModule *module, const char *item, BfmError *error);

#ifdef __cplusplus
}
#endif

#endif
