/* A handler takes over where memory is exhausted: the process does not end. */
#include <bfm/context.h>
#include <bfm/tree.h>

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static jmp_buf back;

static void jump(void *context, BfmErrorKind kind, const char *message)
{
    (void)snprintf(context, 256, "%d %s", (int)kind, message);
    longjmp(back, 1);
}

int main(void)
{
    static char told[256];
    static char *text;
    BfmError error;
    BfmContext *context = bfm_context_new(NULL, &error);
    (void)bfm_on_failure(jump, told);
    enum { LINES = 400000 };
    text = malloc(LINES * 8 + 64);
    strcpy(text, "use std.layers\nblock b {\n");
    for (int i = 0; i < LINES; i++)
        strcat(text + i * 6, "ffn()\n");
    strcat(text, "}\n");
    const struct rlimit limit = {96UL << 20, 96UL << 20};
    struct rlimit before;
    getrlimit(RLIMIT_AS, &before);
    if (setjmp(back) == 0) {
        setrlimit(RLIMIT_DATA, &limit);
        for (int i = 0; i < 1000; i++)
            (void)bfm_module_parse(context, "large.bfm", text, strlen(text), &error);
        return 1;
    }
    puts(told);
    return strncmp(told, "3 out of memory", 15) == 0 ? 0 : 1;
}
