/* Importance matrices: how much an error in each column of a matrix matters.
 *
 * A matrix multiplies activations; a column that meets large ones carries its errors further. For
 * every matrix of a model (expert by expert) an importance matrix holds the sum of the squares of
 * what each column was multiplied with, over the rows of some text, and the number of rows.
 *
 * Files: GGUF with general.type "imatrix", NAME.in_sum2 [columns, experts] and NAME.counts
 * [1, experts] for each tensor NAME, imatrix.datasets, imatrix.chunk_count and imatrix.chunk_size.
 * The older form (one name, count and list of sums after another, no header) is read, not written.
 *
 * One thread; several may read at a time.
 *
 *     imatrix *im = imatrix_new();
 *     imatrix_add(im, t->name, t->ne[0], n_expert, expert, row, &e)      // for every row
 *     imatrix_save(im, "model.imatrix.gguf", &e); imatrix_free(im);
 */
#ifndef HEARTH_HUB_IMATRIX_H
#define HEARTH_HUB_IMATRIX_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

typedef struct imatrix imatrix;

imatrix *imatrix_new(void); /* NULL: out of memory */
void imatrix_free(imatrix *im);
/* One row of n columns that matrix `mat` of `mats` was multiplied with. */
bool imatrix_add(imatrix *im, str name, uint64_t n, uint64_t mats, uint64_t mat, const float *x,
                 err *e);
/* What the file will say of its text: chunks of chunk_size tokens of the file `dataset`. */
void imatrix_about(imatrix *im, const char *dataset, uint32_t chunks, uint32_t chunk_size);
bool imatrix_save(const imatrix *im, const char *path, err *e);

/* Either form. Damaged files give ERR_DAMAGED, models and other files ERR_USAGE. */
imatrix *imatrix_open(const char *path, err *e);
/* The bytes of a file, which may go afterwards; `name` is used in messages. */
imatrix *imatrix_read(const void *data, size_t n, const char *name, err *e);

size_t imatrix_n(const imatrix *im); /* matrices */
uint32_t imatrix_chunks(const imatrix *im);
const char *imatrix_dataset(const imatrix *im); /* "": not said */
bool imatrix_has(const imatrix *im, str name);
/* The importance of each of n columns of each of `mats` matrices, above 0 and 1 on average per
 * matrix (1 throughout where no row came by). ERR_USAGE when the file has another shape for this
 * name; false with *e untouched when it does not know the name. */
bool imatrix_importance(const imatrix *im, str name, uint64_t n, uint64_t mats, float *out, err *e);

#endif
