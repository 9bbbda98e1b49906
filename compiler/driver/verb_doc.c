/* bfmc doc: reference pages of files, made from their comments and from what their definitions cost. */
#include "doc/doc.h"

#include "file/atomic_file.h"
#include "file/file.h"
#include "driver/verbs.h"

#include <string.h>

typedef struct Pages {
    Driver *driver;
    const char *folder; /* NULL: standard output */
    bool check;
    int stale;
} Pages;

static bool same_as_file(const char *path, const Str *text)
{
    BfmMappedFile file;
    BfmError error;
    if (!bfm_mapped_file_open(&file, path, &error))
        return false;
    const bool same = file.size == text->length && memcmp(file.data, str_text(text), text->length) == 0;
    bfm_mapped_file_close(&file);
    return same;
}

/* Writes the page, or compares it with the one that is there. */
static int page_out(Pages *pages, const Module *module, const char *name, const Str *text)
{
    BfmError error;
    if (!pages->folder)
        return pages->check ? CODE_OK : driver_print(pages->driver, text);
    const char *path = arena_printf(pages->driver->context.arena, "%s/%s.md", pages->folder, name);
    if (same_as_file(path, text))
        return CODE_OK;
    if (!pages->check && !driver_output(pages->driver, module, path, &error))
        return driver_fail(pages->driver, &error);
    if (!pages->check)
        return bfm_atomic_write(path, str_text(text), text->length, &error) ? CODE_OK : driver_fail(pages->driver, &error);
    pages->stale++;
    return driver_error(pages->driver, BFM_ERROR_INPUT, "%s is not what its file gives now; write it again with `bfmc doc`", path);
}

static int file_out(Pages *pages, const DocFile *file)
{
    Str text = {0};
    int code = CODE_OK;
    if (pages->check && doc_lacks(file, &text) > 0) {
        text.text[--text.length] = '\0';
        code = driver_error(pages->driver, BFM_ERROR_INPUT, "%s: comments lack what pages need:\n%s", file->path, str_text(&text));
    }
    text.length = 0;
    if (!pages->check || pages->folder)
        page_print(file, &text);
    const int printed = !pages->check || pages->folder ? page_out(pages, file->module, file->name, &text) : CODE_OK;
    str_free(&text);
    return code != CODE_OK ? code : printed;
}

static int index_out(Pages *pages, DocFile *const *files, int count)
{
    Str text = {0};
    if (!pages->folder)
        return CODE_OK;
    index_print(files, count, &text);
    const int code = page_out(pages, NULL, "README", &text);
    str_free(&text);
    return code;
}

int verb_doc(Driver *driver)
{
    Pages pages = {.driver = driver, .folder = option_text(driver->options, OPT_OUT), .check = option_flag(driver->options, OPT_DOC_CHECK)};
    const int count = driver->options->argument_count;
    DocFile **files = ARENA_ARRAY(driver->context.arena, DocFile *, count + 1);
    BfmError error;
    int code = CODE_OK, made = 0;
    if (pages.folder && !pages.check && !bfm_directory_make(pages.folder, &error))
        return driver_fail(driver, &error);
    for (; made < count; made++) {
        int one = CODE_OK;
        files[made] = doc_file_new(&driver->context, driver->options->arguments[made], &error);
        one = files[made] ? file_out(&pages, files[made]) : driver_fail(driver, &error);
        code = one > code ? one : code;
        if (!files[made])
            break;
    }
    if (made == count) {
        const int one = index_out(&pages, files, count);
        code = one > code ? one : code;
    }
    for (int i = 0; i < made; i++)
        doc_file_free(files[i]);
    return code;
}
