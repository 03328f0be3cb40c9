/* Ctrl-C: at first it ends the process with exit code 130; while an answer is written it is only
 * remembered, so that the answer can be kept. Somebody who presses it three times means it.
 */
#include <signal.h>
#include <unistd.h>

#include "cli/cli.h"

static volatile sig_atomic_t seen, remember;

static void on_interrupt(int sig) {
    (void)sig;
    seen++;
    if (!remember || seen >= 3) _exit(ERR_INTERRUPTED);
}

static void install(void) {
    struct sigaction a = {.sa_handler = on_interrupt}; /* no SA_RESTART: reads return to look */
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
}

void interrupt_end_process(void) {
    remember = 0;
    install();
}

void interrupt_remember(void) {
    seen = 0;
    remember = 1;
    install();
}

bool interrupt_seen(void) {
    return seen > 0;
}

void interrupt_clear(void) {
    seen = 0;
}
