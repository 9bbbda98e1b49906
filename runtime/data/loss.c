#include "data/loss.h"

#include "file/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CODES = 0x110000, BYTES = 256 };

struct BfmLossCounter {
    int64_t more[CODES + BYTES]; /* how many more the text has than what comes back: of each character, then of each byte that is none; 0 between two documents */
};

BfmLossCounter *bfm_loss_counter_new(BfmError *error)
{
    BfmLossCounter *counter = calloc(1, sizeof *counter);
    if (!counter)
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for the counts of characters");
    return counter;
}

void bfm_loss_counter_free(BfmLossCounter *counter) { free(counter); }

/* The index of what begins at `at`, which moves behind it. */
static int32_t next(BfmText text, size_t *at)
{
    BfmUtf8 kind;
    const char *here = text.data + *at;
    const size_t bytes = bfm_utf8_next(here, text.bytes - *at, &kind);
    *at += kind == BFM_UTF8_WHOLE ? bytes : 1; /* each byte of an ill-formed sequence by itself: none of those that follow begins a character */
    return kind == BFM_UTF8_WHOLE ? bfm_utf8_code(here, bytes) : CODES + (unsigned char)*here;
}

static bool is_white_space(int32_t code)
{
    static const int32_t ALONE[] = {0x20, 0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000};
    for (size_t i = 0; i < sizeof ALONE / sizeof *ALONE; i++)
        if (code == ALONE[i])
            return true;
    return (code >= 0x09 && code <= 0x0D) || (code >= 0x2000 && code <= 0x200A);
}

static void add(BfmLossCounter *counter, BfmText text, int64_t amount)
{
    for (size_t at = 0; at < text.bytes;)
        counter->more[next(text, &at)] += amount;
}

static void take(BfmLossCounter *counter, BfmText text, BfmLoss *loss)
{
    for (size_t at = 0; at < text.bytes;) {
        const int32_t code = next(text, &at);
        const int64_t more = counter->more[code];
        counter->more[code] = 0;
        if (more < 0)
            loss->added -= more;
        else
            *(code >= CODES ? &loss->invalid : is_white_space(code) ? &loss->white_space : &loss->characters) += more;
    }
}

void bfm_loss_count(BfmLossCounter *counter, BfmText text, BfmText back, BfmLoss *loss)
{
    if (text.bytes == back.bytes && (text.bytes == 0 || memcmp(text.data, back.data, text.bytes) == 0))
        return;
    loss->documents++;
    add(counter, text, 1);
    add(counter, back, -1);
    take(counter, text, loss);
    take(counter, back, loss);
}

const char *bfm_loss_text(const BfmLoss *loss, char text[BFM_LOSS_TEXT])
{
    (void)snprintf(text, BFM_LOSS_TEXT,
                   "%" PRId64 " white-space character%s, %" PRId64 " byte%s not UTF-8 and %" PRId64 " other character%s; %" PRId64 " character%s come%s in their place",
                   loss->white_space, bfm_plural(loss->white_space), loss->invalid, loss->invalid == 1 ? " that is" : "s that are", loss->characters, bfm_plural(loss->characters),
                   loss->added, bfm_plural(loss->added), loss->added == 1 ? "s" : "");
    return text;
}
