/* Reference pages of .bfm files, from their comments and from what their definitions cost (docs/language.md says what a comment holds). */
#ifndef BFM_DOC_H
#define BFM_DOC_H

#include <bfm/tree.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct BfmPages BfmPages;

/* An empty set of pages. The context must outlive it. */
BFM_API BfmPages *bfm_pages_new(const BfmContext *context);
/* NULL is allowed. */
BFM_API void bfm_pages_free(BfmPages *pages);
/* Reads a file and counts what it defines, which takes some seconds. False: INPUT; error->message is empty where the diagnostics of bfm_pages_module say why. */
BFM_API bool bfm_pages_add(BfmPages *pages, const char *path, BfmError *error);

/* Of the page added last: its name without ending ("layers"), its text in Markdown, and what its comments lack, a line each (NULL: nothing). The texts are to be freed with
   bfm_text_free; the name belongs to the pages. */
BFM_API const char *bfm_pages_name(const BfmPages *pages);
BFM_API char *bfm_pages_text(const BfmPages *pages);
BFM_API char *bfm_pages_lacks(const BfmPages *pages);
/* An index of all pages. To be freed with bfm_text_free. */
BFM_API char *bfm_pages_index(const BfmPages *pages);
/* Whose diagnostics and files are those of the pages. */
BFM_API const BfmModule *bfm_pages_module(const BfmPages *pages);

#ifdef __cplusplus
}
#endif

#endif
