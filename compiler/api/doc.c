/* Reference pages. */
#include "bfm/doc.h"

#include "api/internal.h"
#include "doc/doc.h"

struct BfmPages {
    BfmModule *work; /* memory and diagnostics; its module is that of the last page */
    VEC(DocFile *) files;
};

BfmPages *bfm_pages_new(const BfmContext *context)
{
    BfmModule *work = api_workspace(context);
    BfmPages *pages = ARENA_NEW(work->context.arena, BfmPages);
    *pages = (BfmPages){.work = work};
    return pages;
}

void bfm_pages_free(BfmPages *pages)
{
    if (!pages)
        return;
    for (int i = 0; i < pages->files.count; i++)
        doc_file_free(pages->files.items[i]);
    vec_free(&pages->files);
    bfm_module_free(pages->work);
}

bool bfm_pages_add(BfmPages *pages, const char *path, BfmError *error)
{
    DocFile *file = doc_file_new(&pages->work->context, path, error);
    if (!file)
        return false;
    vec_push(&pages->files, file);
    pages->work->module = file->module;
    return true;
}

static const DocFile *last(const BfmPages *pages) { return pages->files.count > 0 ? vec_last(&pages->files) : NULL; }

const char *bfm_pages_name(const BfmPages *pages) { return last(pages) ? last(pages)->name : NULL; }

static char *taken(Str *text)
{
    char *copy = api_text(text);
    str_free(text);
    return copy;
}

char *bfm_pages_text(const BfmPages *pages)
{
    Str text = {0};
    if (!last(pages))
        return NULL;
    page_print(last(pages), &text);
    return taken(&text);
}

char *bfm_pages_lacks(const BfmPages *pages)
{
    Str text = {0};
    if (last(pages) && doc_lacks(last(pages), &text) > 0)
        return taken(&text);
    str_free(&text);
    return NULL;
}

char *bfm_pages_index(const BfmPages *pages)
{
    Str text = {0};
    index_print(pages->files.items, pages->files.count, &text);
    return taken(&text);
}

const BfmModule *bfm_pages_module(const BfmPages *pages) { return pages->work; }
