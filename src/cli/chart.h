/* Small drawings for a terminal, of block characters. Into a pipe nobody draws: the callers ask
 * out_is_terminal(). One thread.
 *
 *     char bar[CHART_BAR_BYTES];
 *     out_printf("%s\n", chart_bar(part, most, 16, bar));
 *     chart_columns("tokens by day", label, value, n);
 */
#ifndef HEARTH_CLI_CHART_H
#define HEARTH_CLI_CHART_H

#include <stddef.h>

enum { CHART_BAR_WIDTH = 40, CHART_BAR_BYTES = 4 * CHART_BAR_WIDTH + 1 };

/* A bar of at most `width` columns (at most CHART_BAR_WIDTH) that shows part of whole; anything
 * above 0 is seen. dst has CHART_BAR_BYTES. Returns dst. */
char *chart_bar(double part, double whole, int width, char *dst);
/* The title with the first and last of label[n], then value[n] as columns, four lines high; where
 * the terminal is too narrow the last ones. Nothing where fewer than two or all are 0. */
void chart_columns(const char *title, const char *const *label, const double *value, size_t n);

#endif
