/* The progress bar. */
#include "cli/bar.h"

#include <stdio.h>

#include "base/clock.h"
#include "cli/cli.h"

void bar_begin(bar *b, const char *verb, const char *name) {
    const char *base = strrchr(name, '/');
    *b = (bar){.verb = verb, .name = base ? base + 1 : name, .began = clock_now_s()};
    b->live = err_is_terminal();
}

void bar_draw(void *ud, uint64_t done, uint64_t total) {
    bar *b = ud;
    double now = clock_now_s();
    if (!b->live || total == 0 || now - b->began < 1.0 || now - b->drawn < 0.1) return;
    b->drawn = now;
    b->shown = true;
    enum { CELLS = 24 };
    char cells[CELLS + 1], size[32];
    double share = (double)done / (double)total;
    for (int i = 0; i < CELLS; i++) cells[i] = (double)i < share * CELLS ? '#' : '.';
    cells[CELLS] = 0;
    fprintf(stderr, "\r\033[K%s %.40s [%s] %3.0f %% of %s", b->verb, b->name, cells, 100 * share,
            human_bytes(total, size, sizeof size));
    fflush(stderr);
}

void bar_end(bar *b) {
    if (b->shown) fprintf(stderr, "\r\033[K");
    b->shown = false;
}
