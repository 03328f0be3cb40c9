#include "study/stats.h"

#include <math.h>
#include <stdlib.h>

#include "base/rng.h"

enum { MAX_VALUES = 4096 };

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(const double *sorted, size_t n) {
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

study_spread study_spread_of(double *v, size_t n) {
    size_t k = 0;
    for (size_t i = 0; i < n && k < MAX_VALUES; i++)
        if (!isnan(v[i])) v[k++] = v[i];
    if (k == 0) return (study_spread){NAN, NAN, NAN, 0};
    qsort(v, k, sizeof *v, by_size);
    study_spread s = {median_of(v, k), v[0], v[k - 1], k};
    double *medians = malloc(STUDY_RESAMPLES * sizeof *medians), *drawn = malloc(k * sizeof *drawn);
    if (medians && drawn && k > 1) {
        for (int i = 0; i < STUDY_RESAMPLES; i++) {
            for (size_t j = 0; j < k; j++) drawn[j] = v[rng_u64(0x95, k, (uint64_t)i * k + j) % k];
            qsort(drawn, k, sizeof *drawn, by_size);
            medians[i] = median_of(drawn, k);
        }
        qsort(medians, STUDY_RESAMPLES, sizeof *medians, by_size);
        s.low = medians[STUDY_RESAMPLES * 25 / 1000];
        s.high = medians[STUDY_RESAMPLES * 975 / 1000 - 1];
    }
    free(medians);
    free(drawn);
    return s;
}
