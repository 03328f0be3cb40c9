#include "cli/chart.h"

#include <stdio.h>

#include "cli/cli.h"

char *chart_bar(double part, double whole, int width, char *dst) {
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    if (width > CHART_BAR_WIDTH) width = CHART_BAR_WIDTH;
    int n = whole > 0 ? (int)(part / whole * width * 8 + 0.5) : 0;
    if (n == 0 && part > 0) n = 1; /* something is not nothing */
    if (n > width * 8) n = width * 8;
    char *to = dst;
    for (int i = 0; i < n / 8; i++) to += snprintf(to, 4, "█");
    snprintf(to, 4, "%s", eighths[n % 8]);
    return dst;
}

void chart_columns(const char *title, const char *const *label, const double *value, size_t n) {
    static const char *const eighths[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    enum { LINES = 4 };
    size_t width = (size_t)terminal_width(), skip = n > width ? n - width : 0;
    double most = 0;
    for (size_t i = skip; i < n; i++)
        if (value[i] > most) most = value[i];
    if (most <= 0 || n - skip < 2) return;
    out_printf("\n%s, %s to %s\n", title, label[skip], label[n - 1]);
    for (int line = LINES - 1; line >= 0; line--) {
        for (size_t i = skip; i < n; i++) {
            int steps = (int)(value[i] / most * LINES * 8 + 0.5) - 8 * line;
            if (steps < 1 && line == 0 && value[i] > 0) steps = 1; /* it is not nothing */
            out_puts(eighths[steps < 0 ? 0 : steps > 8 ? 8 : steps]);
        }
        out_puts("\n");
    }
}
