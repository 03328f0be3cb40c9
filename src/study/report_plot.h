/* Plots as inline SVG: lines over a few values of x, with intervals, and level lines to compare
 * with. Colours are the page's CSS classes s0, s1, ...; lines also differ by their dashes and
 * marks, for those who do not see colours and for paper. One thread.
 *
 *     plot p = {.title = "...", .x_name = "users at once", .y_name = "tokens/s", .id = "a"};
 *     p.series[p.n++] = (plot_series){.name = "chat", ...};
 *     plot_draw(&p, &b);
 */
#ifndef HEARTH_STUDY_REPORT_PLOT_H
#define HEARTH_STUDY_REPORT_PLOT_H

#include "base/buf.h"

enum { PLOT_POINTS = 8, PLOT_SERIES = 8 };

typedef struct plot_series {
    const char *name;
    double x[PLOT_POINTS], y[PLOT_POINTS], low[PLOT_POINTS], high[PLOT_POINTS]; /* NAN: no bar */
    int n;
    bool level; /* a line from side to side at y[0] */
} plot_series;

typedef struct plot {
    const char *id; /* unique in the page */
    const char *title, *x_name, *y_name;
    bool log_y; /* x is always logarithmic */
    plot_series series[PLOT_SERIES];
    int n;
} plot;

/* Nothing when there is no point to draw. */
void plot_draw(const plot *p, buf *b);
void html_text(buf *b, const char *text); /* escaped */

#endif
