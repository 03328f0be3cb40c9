/* Quantisers of the 4-bit code books: IQ4_NL, IQ4_XS and MXFP4. */
#include <float.h>
#include <math.h>

#include "quant/quant_search.h"

static const quant_book book_iq4 = {quant_iq4nl_values, 16, false, 1.0f, 7.0f};

void quant_enc_iq4_nl(const float *src, const float *by, void *dst, int64_t k) {
    uint8_t *b = dst, code[32];
    float x[32], w[32];
    for (int64_t i = 0; i < k; i += 32, b += 18) {
        quant_tame(src + i, x, 32);
        float amax = quant_amax(x, 32);
        memset(b, 0, 18);
        if (amax < QUANT_NOTHING) continue;
        quant_weigh(x, by ? by + i : NULL, 32, amax, w);
        uint16_t d = quant_scale_f16(quant_fit_scale(&book_iq4, 32, x, w));
        quant_encode_at(&book_iq4, 32, x, quant_f16_to_f32(d), code);
        quant_store_u16(b, d);
        for (int j = 0; j < 16; j++) b[2 + j] = (uint8_t)(code[j] | code[j + 16] << 4);
    }
}

void quant_enc_iq4_xs(const float *src, const float *by, void *dst, int64_t k) {
    uint8_t *b = dst;
    float x[QUANT_K];
    quant_super q;
    for (int64_t i = 0; i < k; i += QUANT_K, b += 136) {
        quant_tame(src + i, x, QUANT_K);
        quant_fit_super(&book_iq4, 32, -32, x, by ? by + i : NULL, &q);
        memset(b, 0, 136);
        quant_store_u16(b, q.d);
        unsigned high = 0;
        for (int s = 0; s < 8; s++) {
            int scale = q.scale[s] + 32;
            b[4 + s / 2] = (uint8_t)(b[4 + s / 2] | (scale & 15) << (4 * (s % 2)));
            high |= (unsigned)(scale >> 4) << (2 * s);
            const uint8_t *c = q.code + 32 * s;
            for (int j = 0; j < 16; j++) b[8 + 16 * s + j] = (uint8_t)(c[j] | c[j + 16] << 4);
        }
        quant_store_u16(b + 2, (uint16_t)high);
    }
}

/* ---- MXFP4: the scale is a power of two, so there are only a few to try ---- */

/* Code of the level nearest to y, in units of which the levels are 0 1 2 3 4 6 8 12. Of two equally
 * near, the smaller. */
static int nearest_e2m1(float y) {
    static const float middle[7] = {0.5f, 1.5f, 2.5f, 3.5f, 5.0f, 7.0f, 10.0f};
    float a = fabsf(y);
    int c = 0;
    while (c < 7 && a > middle[c]) c++;
    return y < 0.0f && c ? c + 8 : c;
}

/* The error in units of the level, squared, weighed and summed. */
static double encode_mxfp4(const float *x, const float *by, int e, uint8_t *code) {
    double sum = 0.0;
    for (int i = 0; i < 32; i++) {
        float y = ldexpf(x[i], 128 - e);
        code[i] = (uint8_t)nearest_e2m1(y);
        double miss = (double)y - (double)quant_mxfp4_values[code[i]];
        sum += miss * miss * (by ? (double)by[i] : 1.0);
    }
    return sum;
}

void quant_enc_mxfp4(const float *src, const float *by, void *dst, int64_t k) {
    uint8_t *b = dst, code[32], trial[32];
    float x[32];
    for (int64_t i = 0; i < k; i += 32, b += 17) {
        for (int j = 0; j < 32; j++)
            x[j] = src[i + j] != src[i + j] ? 0.0f : fminf(fmaxf(src[i + j], -FLT_MAX), FLT_MAX);
        int e2, best_e = 0;
        float amax = quant_amax(x, 32);
        if (amax == 0.0f) {
            memset(b, 0, 17);
            continue;
        }
        frexpf(amax, &e2); /* amax is in [2^(e2-1), 2^e2) */
        double best = INFINITY;
        /* The plain rule puts amax between levels 8 and 16: beyond 12 it is cut, or the scale
         * doubles. Where it is known what matters, the largest may be cut more. */
        const int plain = e2 - 1 - 2 + 127;
        for (int e = by ? plain - 2 : plain; e <= plain + 1; e++) {
            int stored = e < 0 ? 0 : e > 252 ? 252 : e; /* from 253 on, level 12 is no float */
            double miss = ldexp(encode_mxfp4(x, by ? by + i : NULL, stored, trial),
                                2 * (stored - 128));
            if (!(miss < best)) continue;
            best = miss;
            best_e = stored;
            memcpy(code, trial, sizeof code);
        }
        b[0] = (uint8_t)best_e;
        for (int j = 0; j < 16; j++) b[1 + j] = (uint8_t)(code[j] | code[j + 16] << 4);
    }
}
