/* A progress bar on stderr for what takes longer than a second, and only on a terminal. One thread.
 *
 *     bar b; bar_begin(&b, "loading", path);
 *     while (...) bar_draw(&b, done, total);
 *     bar_end(&b);
 */
#ifndef HEARTH_CLI_BAR_H
#define HEARTH_CLI_BAR_H

#include <stdbool.h>
#include <stdint.h>

typedef struct bar {
    const char *verb, *name; /* name: a path, of which the last part is shown */
    double began, drawn;     /* seconds */
    bool live, shown;
} bar;

void bar_begin(bar *b, const char *verb, const char *name);
void bar_draw(void *b, uint64_t done, uint64_t total); /* bytes; of a bar */
void bar_end(bar *b);                                  /* the line is empty again */

#endif
