/* What the commands of the model store share: opening it, names, progress. One thread.
 *
 *     hub_store *s = storing_open(&e);
 *     if (!s || !storing_name(&n, a->arg[0], &e)) ...
 */
#ifndef HEARTH_CLI_STORING_H
#define HEARTH_CLI_STORING_H

#include "base/jsonw.h"
#include "cli/bar.h"
#include "hub/store.h"

hub_store *storing_open(err *e); /* to change it; makes it */
/* The name of a model that is to be: ERR_USAGE for a path, a URL or bard. */
bool storing_name(hub_name *n, const char *text, err *e);
/* A name whose model is in the own store, as it stands there; else ERR_NOT_FOUND, which tells those
 * apart that are elsewhere and are only read. */
bool storing_existing(const hub_store *s, hub_name *n, const char *text, err *e);
/* "2 days ago" */
char *storing_ago(int64_t unix_s, char *dst, size_t cap);

/* Progress for what hashes and copies: draws, and stops at Ctrl-C. begin shows nothing yet. */
typedef struct storing_bar {
    bar b;
    bool on;
    const char *name;
    const char *doing; /* what the bar says now */
} storing_bar;
void storing_bar_begin(storing_bar *b, const char *name);
void storing_bar_end(storing_bar *b);
bool storing_bar_draw(void *b, uint64_t done, uint64_t total);
bool storing_bar_status(void *b, const char *what, uint64_t done, uint64_t total);

#endif
