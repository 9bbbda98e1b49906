/* bfmc generate: text that a trained model writes. */
#include "driver/stop.h"
#include "driver/verbs.h"

#include <bfm/run.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_SECONDS = 2 };

/* ---- waiting ---- */

/* Compiling and reading the prompt say nothing; after a while, that they go on. */
static void say_waiting(int number)
{
    static const char text[] = "compiling the decoder and reading the prompt\n";
    (void)number;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
}

static void waiting_begin(const Driver *driver)
{
    struct sigaction action = {.sa_handler = say_waiting, .sa_flags = SA_RESTART};
    if (driver->quiet)
        return;
    sigaction(SIGALRM, &action, NULL);
    alarm(WAIT_SECONDS);
}

static void waiting_end(void)
{
    alarm(0);
    signal(SIGALRM, SIG_DFL);
}

/* ---- text ---- */

typedef struct Writing {
    const Driver *driver;
    int64_t pieces; /* the prompt is the first */
} Writing;

static void ready(void *user)
{
    (void)user;
    waiting_end();
}

/* Until the prompt is shown a signal ends the process: there is nothing to finish. */
static bool show(void *user, const char *text, size_t length, BfmError *error)
{
    Writing *writing = user;
    if (!writing->driver->json && (fwrite(text, 1, length, stdout) != length || fflush(stdout) != 0)) {
        *error = (BfmError){BFM_ERROR_ENVIRONMENT, "standard output cannot be written"};
        return false;
    }
    if (writing->pieces++ == 0)
        stop_listen();
    return true;
}

static bool stop_wanted(void *user)
{
    (void)user;
    return stop_asked();
}

static void end_line(const Writing *writing, int64_t tokens)
{
    if (!writing->driver->json && tokens > 0) {
        putchar('\n');
        (void)fflush(stdout);
    }
}

static int report(Driver *driver, const BfmGenerated *generated, int64_t wanted, BfmReport *report)
{
    const int code = generated->differences > 0 ? CODE_BUG : generated->tokens < wanted ? CODE_STOPPED : CODE_OK;
    if (!driver->json && report->text)
        fputs(report->text, stderr);
    const int printed = driver->json ? report_print(driver, report_of(driver, report->json), code) : code;
    bfm_report_free(report);
    return printed;
}

static int generate(Driver *driver, BfmRun *run)
{
    const Options *options = driver->options;
    const char *prompt = option_given(options, OPT_PROMPT) ? option_text(options, OPT_PROMPT) : "";
    Writing writing = {.driver = driver};
    const BfmGenerateOptions how = {.prompt = prompt,
                                    .prompt_length = strlen(prompt),
                                    .tokens = option_whole(options, OPT_NUMBER, 0),
                                    .temperature = option_real(options, OPT_TEMPERATURE),
                                    .top_p = option_real(options, OPT_TOP_P),
                                    .seed = (uint64_t)option_whole(options, OPT_SEED, 1),
                                    .threads = (int)option_whole(options, OPT_THREADS, 0),
                                    .verify = option_flag(options, OPT_VERIFY),
                                    .ready = ready,
                                    .write = show,
                                    .stop = stop_wanted,
                                    .user = &writing};
    BfmGenerated generated = {.tokens = 0};
    BfmReport made;
    BfmError error;
    waiting_begin(driver);
    const bool ok = bfm_generate(run, &how, &generated, &made, &error);
    waiting_end();
    end_line(&writing, ok ? generated.tokens : writing.pieces - 1);
    return ok ? report(driver, &generated, how.tokens, &made) : driver_fail(driver, &error);
}

int verb_generate(Driver *driver)
{
    int code;
    if (!driver_context(driver, &code))
        return code;
    BfmRun *run = bfm_run_new(driver->context, driver->options->arguments[0]);
    driver->subject = bfm_run_module(run);
    code = generate(driver, run);
    driver->subject = NULL;
    bfm_run_free(run);
    return code;
}
