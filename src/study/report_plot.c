#include "study/report_plot.h"

#include <math.h>
#include <stdio.h>

#define WIDTH 640.0
#define HEIGHT 320.0
#define LEFT 64.0
#define RIGHT 16.0
#define TOP 12.0
#define BOTTOM 44.0

typedef struct scale {
    double x0, x1, y0, y1; /* of the data; logarithms where logarithmic */
    bool log_y;
} scale;

void html_text(buf *b, const char *text) {
    for (; *text; text++) {
        switch (*text) {
        case '<': buf_puts(b, "&lt;"); break;
        case '>': buf_puts(b, "&gt;"); break;
        case '&': buf_puts(b, "&amp;"); break;
        case '"': buf_puts(b, "&quot;"); break;
        default: buf_putc(b, *text);
        }
    }
}

static double value(const scale *s, double y) {
    return s->log_y ? log10(y) : y;
}

static double at_x(const scale *s, double x) {
    double span = s->x1 > s->x0 ? s->x1 - s->x0 : 1;
    return LEFT + (log2(x) - s->x0) / span * (WIDTH - LEFT - RIGHT);
}

static double at_y(const scale *s, double y) {
    double span = s->y1 > s->y0 ? s->y1 - s->y0 : 1;
    return HEIGHT - BOTTOM - (value(s, y) - s->y0) / span * (HEIGHT - TOP - BOTTOM);
}

static void widen(scale *s, double x, double y, bool level) {
    if (!isfinite(y) || (s->log_y && y <= 0)) return;
    s->y0 = fmin(s->y0, value(s, y));
    s->y1 = fmax(s->y1, value(s, y));
    if (level) return;
    s->x0 = fmin(s->x0, log2(x));
    s->x1 = fmax(s->x1, log2(x));
}

static bool find_scale(const plot *p, scale *s) {
    *s = (scale){INFINITY, -INFINITY, INFINITY, -INFINITY, p->log_y};
    for (int i = 0; i < p->n; i++)
        for (int k = 0; k < p->series[i].n; k++) {
            const plot_series *q = &p->series[i];
            widen(s, q->x[k], q->y[k], q->level);
            widen(s, q->x[k], q->low[k], q->level);
            widen(s, q->x[k], q->high[k], q->level);
        }
    if (!isfinite(s->x0) || !isfinite(s->y0)) return false;
    if (s->log_y) {
        s->y0 = floor(s->y0);
        s->y1 = ceil(s->y1 + 1e-9);
    } else {
        s->y0 = 0;
        s->y1 = s->y1 > 0 ? s->y1 * 1.05 : 1;
    }
    return true;
}

static void tick_y(const scale *s, double y, buf *b) {
    double at = at_y(s, y);
    buf_printf(b,
               "<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>"
               "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>",
               LEFT, WIDTH - RIGHT, at, at, LEFT - 6, at + 4, y);
}

static void axes(const plot *p, const scale *s, buf *b) {
    if (s->log_y) {
        int step = s->y1 - s->y0 > 8 ? 2 : 1;
        for (int k = (int)s->y0; k <= (int)s->y1; k += step) tick_y(s, pow(10, k), b);
    } else {
        double step = pow(10, floor(log10(s->y1)));
        if (s->y1 / step < 2) step /= 5;
        else if (s->y1 / step < 5) step /= 2;
        for (double y = 0; y <= s->y1; y += step) tick_y(s, y, b);
    }
    double seen[64];
    int n = 0;
    for (int i = 0; i < p->n; i++)
        for (int k = 0; k < p->series[i].n && !p->series[i].level; k++) {
            double x = p->series[i].x[k];
            bool known = false;
            for (int j = 0; j < n; j++) known = known || seen[j] == x;
            if (known || n == 64) continue;
            seen[n++] = x;
            buf_printf(b, "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%g</text>",
                       at_x(s, x), HEIGHT - BOTTOM + 18, x);
        }
    buf_printf(b, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\">", (LEFT + WIDTH) / 2,
               HEIGHT - 6);
    html_text(b, p->x_name);
    buf_printf(b,
               "</text><text x=\"14\" y=\"%.0f\" text-anchor=\"middle\" "
               "transform=\"rotate(-90 14 %.0f)\">",
               HEIGHT / 2 - 10, HEIGHT / 2 - 10);
    html_text(b, p->y_name);
    buf_puts(b, "</text>");
}

static void mark(int i, double x, double y, buf *b) {
    if (i % 3 == 0)
        buf_printf(b, "<circle class=\"mark s%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>", i, x, y);
    else if (i % 3 == 1)
        buf_printf(b, "<rect class=\"mark s%d\" x=\"%.1f\" y=\"%.1f\" width=\"7\" height=\"7\"/>",
                   i, x - 3.5, y - 3.5);
    else buf_printf(b, "<path class=\"mark s%d\" d=\"M%.1f %.1fl5 9h-10z\"/>", i, x, y - 5);
}

static void draw_series(const scale *s, const plot_series *q, int i, buf *b) {
    if (q->level) {
        if (!isfinite(q->y[0]) || (s->log_y && q->y[0] <= 0)) return;
        buf_printf(b, "<line class=\"level s%d\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                   i, LEFT, WIDTH - RIGHT, at_y(s, q->y[0]), at_y(s, q->y[0]));
        return;
    }
    buf_printf(b, "<polyline class=\"line s%d\" points=\"", i);
    for (int k = 0; k < q->n; k++)
        if (isfinite(q->y[k]))
            buf_printf(b, "%s%.1f,%.1f", k ? " " : "", at_x(s, q->x[k]), at_y(s, q->y[k]));
    buf_puts(b, "\"/>");
    for (int k = 0; k < q->n; k++) {
        if (!isfinite(q->y[k])) continue;
        double x = at_x(s, q->x[k]);
        if (isfinite(q->low[k]) && isfinite(q->high[k]))
            buf_printf(b,
                       "<line class=\"bar s%d\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                       i, x, x, at_y(s, q->low[k]), at_y(s, q->high[k]));
        mark(i, x, at_y(s, q->y[k]), b);
    }
}

static void legend(const plot *p, buf *b) {
    buf_puts(b, "<figcaption>");
    html_text(b, p->title);
    buf_puts(b, "<ul class=\"legend\">");
    for (int i = 0; i < p->n; i++) {
        buf_printf(b,
                   "<li><svg viewBox=\"0 0 28 12\" width=\"28\" height=\"12\" aria-hidden=\"true\" "
                   "focusable=\"false\"><line class=\"%s s%d\" x1=\"1\" x2=\"27\" y1=\"6\" "
                   "y2=\"6\"/>",
                   p->series[i].level ? "level" : "line", i);
        if (!p->series[i].level) mark(i, 14, 6, b);
        buf_puts(b, "</svg> ");
        html_text(b, p->series[i].name);
        buf_puts(b, "</li>");
    }
    buf_puts(b, "</ul></figcaption>");
}

void plot_draw(const plot *p, buf *b) {
    scale s;
    if (!find_scale(p, &s)) return;
    buf_printf(b,
               "<figure><svg class=\"plot\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
               "aria-labelledby=\"%s\" focusable=\"false\"><title id=\"%s\">",
               WIDTH, HEIGHT, p->id, p->id);
    html_text(b, p->title);
    buf_puts(b, "</title>");
    axes(p, &s, b);
    for (int i = 0; i < p->n; i++) draw_series(&s, &p->series[i], i, b);
    buf_puts(b, "</svg>");
    legend(p, b);
    buf_puts(b, "</figure>\n");
}
