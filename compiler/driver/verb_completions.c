/* bfmc completions: what shells, man and the documentation are given. */
#include "driver/verbs.h"

#include <string.h>

int verb_completions(Driver *driver)
{
    static const struct {
        const char *name;
        void (*print)(FILE *out);
    } forms[] = {{"bash", help_bash}, {"zsh", help_zsh}, {"man", help_man}, {"markdown", help_markdown}};
    const char *name = driver->options->arguments[0];
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(name, forms[i].name) == 0) {
            forms[i].print(stdout);
            return CODE_OK;
        }
    return driver_usage(driver, "completions are for bash, zsh, man or markdown, not for `%s`", name);
}
