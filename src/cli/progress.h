/* What a transfer says while it goes on: a bar that moves on a terminal, a line every ten seconds
 * elsewhere, JSON lines on stdout where they are asked for. One thread.
 *
 *     progress p; progress_begin(&p, cli_flag(a, "json"));
 *     hub_wire_options o = {.event = progress_event, .stopped = progress_stopped, .ud = &p};
 *     ...
 *     progress_end(&p);
 */
#ifndef HEARTH_CLI_PROGRESS_H
#define HEARTH_CLI_PROGRESS_H

#include "cli/cli.h"
#include "hub/wire.h"

typedef struct progress {
    bool json, live, shown; /* live: a terminal; shown: there is a line to be wiped */
    double drawn;           /* when a line was last written, seconds */
    /* of the blob under way */
    char what[160];
    double began;
    uint64_t first;               /* bytes when it began here */
    double mark_at, rate;         /* for the rate: bytes a second, smoothed */
    uint64_t mark_bytes, highest; /* highest: nothing goes back */
} progress;

void progress_begin(progress *p, bool json);
void progress_event(void *p, const hub_event *x);
bool progress_stopped(void *p); /* Ctrl-C */
void progress_end(progress *p); /* the line is empty again; Ctrl-C ends the process again */

/* --limit-rate and its kin: the options that every transfer has, and reading them. */
#define PROGRESS_OPTIONS                                                                           \
    {"limit-rate", 0, CLI_TEXT, "RATE", "bytes a second at most, as 500k, 2M or 1G", 0, 0},        \
        {"max-parallel", 0, CLI_INT, "N", "connections for one file (default 4)", 1, 16},          \
        {"retries", 0, CLI_INT, "N", "tries in a row without progress (default 6)", 0, 100},       \
        {"retry-wait",                                                                             \
         0,                                                                                        \
         CLI_REAL,                                                                                 \
         "S",                                                                                      \
         "seconds before the first of them, doubled each time (default 1)",                        \
         0.001,                                                                                    \
         3600},                                                                                    \
        {"stall", 0,   CLI_INT, "S", "seconds without 1 KB more that end a try (default 30)",      \
         1,       3600},                                                                           \
        {"chunk",                                                                                  \
         0,                                                                                        \
         CLI_INT,                                                                                  \
         "KB",                                                                                     \
         "fetched again at most after a kill or a power cut (default 16384)",                      \
         64,                                                                                       \
         1048576},                                                                                 \
    {                                                                                              \
        "insecure", 0, CLI_FLAG, NULL,                                                             \
            "allow plain http, and certificates that nobody vouches for", 0, 0                     \
    }
/* Fetches what is not here, after one question on a terminal; true: it is here now, and *name is
 * what it is called (for an address: another name; by free). False without an error: the answer was
 * no, or nobody can be asked. */
bool progress_fetch_missing(const char *model, bool insecure, char **name, err *e);
bool progress_options(const cli_args *a, progress *p, hub_wire_options *o, err *e);

#endif
