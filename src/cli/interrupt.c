/* Ctrl-C: at first it ends the process with exit code 130; while an answer is written it is only
 * remembered, so that the answer can be kept. Somebody who presses it three times means it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "cli/cli.h"

static volatile sig_atomic_t seen, remember;
/* A byte for each Ctrl-C, so that who waits for a key wakes up whichever thread took the signal,
 * and also when it came just before the wait. */
static int wake[2] = {-1, -1};

static void on_interrupt(int sig) {
    (void)sig;
    int before = errno;
    seen++;
    if (!remember || seen >= 3) _exit(ERR_INTERRUPTED);
    if (wake[1] >= 0 && write(wake[1], "", 1) < 0) { /* full: there is a byte to wake up by */
    }
    errno = before;
}

static void drain(void) {
    char bytes[64];
    while (wake[0] >= 0 && read(wake[0], bytes, sizeof bytes) > 0) {
    }
}

int interrupt_fd(void) {
    if (wake[0] < 0 && pipe2(wake, O_CLOEXEC | O_NONBLOCK) != 0) wake[0] = wake[1] = -1;
    return wake[0];
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
    drain();
    remember = 1;
    install();
}

bool interrupt_seen(void) {
    return seen > 0;
}

void interrupt_clear(void) {
    seen = 0;
    drain();
}
