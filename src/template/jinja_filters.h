/* Filters on sequences (jinja_sequence.c), for the table in jinja_filters.c. */
#ifndef HEARTH_TEMPLATE_JINJA_FILTERS_H
#define HEARTH_TEMPLATE_JINJA_FILTERS_H

#include "template/jinja_value.h"

typedef bool jfilter_bound_fn(R *r, jv in, const jv *arg, jv *out);
jfilter_bound_fn jfilter_batch, jfilter_dictsort, jfilter_first, jfilter_groupby, jfilter_items,
    jfilter_join, jfilter_last, jfilter_length, jfilter_list, jfilter_max, jfilter_min,
    jfilter_reverse, jfilter_slice, jfilter_sort, jfilter_sum, jfilter_unique;
typedef bool jfilter_raw_fn(R *r, jv in, const jargs *a, jv *out);
jfilter_raw_fn jfilter_map, jfilter_reject, jfilter_rejectattr, jfilter_select, jfilter_selectattr;

bool jarg_int(R *r, jv v, int64_t otherwise, int64_t *out); /* otherwise: when it is missing */
bool jarg_truth(R *r, jv v, bool *out);                     /* false when it is missing */
bool jdict_items(R *r, const jdict *d, jv *out);            /* a list of kind JL_ITEMS */

#endif
