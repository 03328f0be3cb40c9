/* The catalogue: data/models.csv, read once. */
#include "hub/catalogue.h"

#include <pthread.h>

#include "base/csv.h"
#include "base/data.h"

static struct {
    csv file; /* holds the rows' texts; it stays as long as the program */
    hub_catalogue_row *row;
    size_t n;
    err why;
} all;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool read_row(hub_catalogue_row *r, const csv *c, size_t i, err *e) {
    *r = (hub_catalogue_row){.name = csv_cell(c, i, csv_column(c, "name")),
                             .license = csv_cell(c, i, csv_column(c, "license")),
                             .good_for = csv_cell(c, i, csv_column(c, "good_for"))};
    if (*r->name && *r->license && *r->good_for &&
        str_to_f64(str_of(csv_cell(c, i, csv_column(c, "fetch_gb"))), &r->fetch_gb) &&
        str_to_f64(str_of(csv_cell(c, i, csv_column(c, "token_gb"))), &r->token_gb) &&
        r->token_gb > 0 && r->token_gb <= r->fetch_gb)
        return true;
    return err_set(e, ERR_DAMAGED, "models.csv, line %d: no row of the catalogue", c->line[i]);
}

bool hub_catalogue_read(csv *c, str text, hub_catalogue_row **row, size_t *n, err *e) {
    *row = NULL;
    *n = 0;
    if (!csv_read(c, text, "models.csv", e)) return false;
    *row = arena_calloc(c->memory, c->n_rows ? c->n_rows : 1, sizeof **row);
    bool ok = *row || err_set(e, ERR_NO_FIT, "out of memory");
    for (size_t i = 0; ok && i < c->n_rows; i++) ok = read_row(&(*row)[i], c, i, e);
    if (ok) *n = c->n_rows;
    else csv_deinit(c);
    return ok;
}

static void read_all(void) {
    const data_file *f = data_find("models.csv");
    if (f) hub_catalogue_read(&all.file, data_text(f), &all.row, &all.n, &all.why);
}

const hub_catalogue_row *hub_catalogue(size_t *n) {
    pthread_once(&once, read_all);
    *n = all.n;
    return all.row;
}

/* The last of those that fit and read no more for each token. */
static const hub_catalogue_row *last_under(double memory_gb, double token_gb,
                                           const hub_catalogue_row *not_this) {
    size_t n;
    const hub_catalogue_row *found = NULL, *r = hub_catalogue(&n);
    for (size_t i = 0; i < n; i++)
        if (r[i].fetch_gb * 1.1 + 1.0 <= memory_gb && r[i].token_gb <= token_gb &&
            r + i != not_this)
            found = r + i;
    return found;
}

void hub_catalogue_propose(uint64_t memory_bytes, hub_proposal *out) {
    double gb = (double)memory_bytes / 1e9;
    *out = (hub_proposal){.best = last_under(gb, 1e9, NULL)};
    if (!out->best) return;
    out->balanced = last_under(gb, out->best->token_gb / 2, out->best);
    if (out->balanced) out->fast = last_under(gb, out->balanced->token_gb / 2, out->balanced);
}
