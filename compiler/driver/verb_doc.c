/* bfmc doc: reference pages of files, made from their comments and from what their definitions cost. */
#define _GNU_SOURCE
#include "driver/verbs.h"

#include <bfm/doc.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Pages {
    Driver *driver;
    BfmPages *made;
    const char *folder; /* NULL: standard output */
    bool check;
} Pages;

static bool same_as_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "r");
    const char *at = text;
    int c = EOF;
    while (file && (c = fgetc(file)) != EOF && *at && (char)c == *at)
        at++;
    if (file)
        (void)fclose(file);
    return file && c == EOF && !*at;
}

static int page_write(const Pages *pages, const char *path, const char *text)
{
    BfmError error;
    if (same_as_file(path, text))
        return CODE_OK;
    if (pages->check)
        return driver_error(pages->driver, BFM_ERROR_INPUT, "%s is not what its file gives now; write it again with `bfmc doc`", path);
    return driver_output(pages->driver, path, &error) && bfm_file_write(path, text, strlen(text), &error) ? CODE_OK : driver_fail(pages->driver, &error);
}

/* Writes the page, or compares it with the one that is there. */
static int page_out(const Pages *pages, const char *name, const char *text)
{
    char *path = NULL;
    if (!pages->folder)
        return pages->check ? CODE_OK : driver_print(pages->driver, text, strlen(text));
    if (asprintf(&path, "%s/%s.md", pages->folder, name) < 0)
        return driver_error(pages->driver, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
    const int code = page_write(pages, path, text);
    free(path);
    return code;
}

static int file_out(const Pages *pages, const char *file)
{
    char *lacks = pages->check ? bfm_pages_lacks(pages->made) : NULL, *text = !pages->check || pages->folder ? bfm_pages_text(pages->made) : NULL;
    int code = CODE_OK;
    if (lacks) {
        lacks[strlen(lacks) - 1] = '\0';
        code = driver_error(pages->driver, BFM_ERROR_INPUT, "%s: comments lack what pages need:\n%s", file, lacks);
    }
    const int printed = text ? page_out(pages, bfm_pages_name(pages->made), text) : CODE_OK;
    bfm_text_free(lacks);
    bfm_text_free(text);
    return code != CODE_OK ? code : printed;
}

static int index_out(const Pages *pages)
{
    if (!pages->folder)
        return CODE_OK;
    char *text = bfm_pages_index(pages->made);
    const int code = page_out(pages, "README", text);
    bfm_text_free(text);
    return code;
}

static int all_out(Pages *pages)
{
    Driver *driver = pages->driver;
    BfmError error;
    int code = CODE_OK;
    if (pages->folder && !pages->check && !bfm_folder_make(pages->folder, &error))
        return driver_fail(driver, &error);
    for (int i = 0; i < driver->options->argument_count; i++) {
        const char *file = driver->options->arguments[i];
        if (!bfm_pages_add(pages->made, file, &error))
            return driver_fail(driver, &error);
        const int one = file_out(pages, file);
        code = one > code ? one : code;
    }
    const int last = index_out(pages);
    return last > code ? last : code;
}

int verb_doc(Driver *driver)
{
    int code;
    if (!driver_context(driver, &code))
        return code;
    Pages pages = {.driver = driver, .made = bfm_pages_new(driver->context), .folder = option_text(driver->options, OPT_OUT), .check = option_flag(driver->options, OPT_DOC_CHECK)};
    driver->subject = bfm_pages_module(pages.made);
    code = all_out(&pages);
    driver->subject = NULL;
    bfm_pages_free(pages.made);
    return code;
}
