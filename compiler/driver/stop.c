/* Blocking the signals and waiting for them would do without a variable, but libraries start threads before main, which would be given them instead. */
#include "driver/stop.h"

#include <signal.h>
#include <string.h>

/* The only changing object of file scope in the project: a signal handler can reach nothing else. */
static volatile sig_atomic_t asked;

static void handle(int number)
{
    (void)number;
    asked = 1;
}

void stop_listen(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handle;
    action.sa_flags = (int)(SA_RESTART | SA_RESETHAND);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sigaction before;
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN) /* nohup: it goes on when the terminal closes */
        sigaction(SIGHUP, &action, NULL);
    action.sa_flags = SA_RESTART; /* every write past the limit on the size of files sends one */
    sigaction(SIGXFSZ, &action, NULL);
}

bool stop_asked(void) { return asked != 0; }
