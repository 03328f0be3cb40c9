/* Everything that works on rows of floats: quantisation bit-equal to ref, the rest within a
 * tolerance of doubles, on lengths that are no multiple of a vector; exp; the choice of the
 * variant.
 */
#include "kern_test.h"

#include <sys/wait.h>
#include <unistd.h>

static const int lengths[] = {1, 2, 7, 15, 16, 17, 31, 64, 100, 576, 2048};
#define N_LENGTHS ((int)(sizeof lengths / sizeof *lengths))
#define MOST 2048

#define FOR_EACH_VARIANT(k)                                                                        \
    for (const char *const *name_ = kern_names(); *name_; name_++)                                 \
        for (const kern *k = kern_named(*name_); k; k = NULL)

static void fill(float *x, int n, float size, trng *g) {
    for (int i = 0; i < n; i++) x[i] = size * trng_normal(g);
}

static void near(const char *variant, const char *what, int n, int i, double want, double got,
                 double bound) {
    bound *= fabs(want) > 1 ? fabs(want) : 1;
    if (!(fabs(want - got) <= bound))
        fail_msg("%s %s n %d [%d]: %.9g, not %.9g", variant, what, n, i, got, want);
}

static void test_quantize(void **state) {
    (void)state;
    const kern *ref = kern_named("ref");
    float x[1024], d[2][32];
    int8_t q[2][1024];
    int16_t sum[2][64];
    FOR_EACH_VARIANT(k) {
        trng g = {21};
        for (int round = 0; round < 400; round++) {
            int n = 32 * (1 + (int)(trng_u32(&g) % 32));
            for (int i = 0; i < n; i++) x[i] = ldexpf(trng_normal(&g), round % 80 * 3 - 140);
            if (round % 7 == 0)
                for (int i = 0; i < n; i++) x[i] = (float)(i % 255 - 127) * 0.5f; /* ties */
            if (round % 11 == 0) memset(x, 0, 128);
            if (round % 13 == 0) x[n - 1] = NAN;
            if (round % 17 == 0) x[0] = -INFINITY;
            if (round % 19 == 0)
                for (int i = 0; i < 32; i++) x[i] = -0.0f;
            ref->quantize(x, n, q[0], d[0], sum[0]);
            k->quantize(x, n, q[1], d[1], sum[1]);
            assert_memory_equal(q[0], q[1], (size_t)n);
            assert_memory_equal(sum[0], sum[1], (size_t)n / 8);
            for (int b = 0; b < n / 32; b++) assert_true(test_same_float(d[0][b], d[1][b]));
            for (int i = 0; i < n; i++) {
                float want = (float)q[1][i] * d[1][i / 32];
                assert_true(isnan(want) || fabsf(want - x[i]) <= d[1][i / 32] * 0.50001f + 4e-37f);
            }
        }
    }
}

/* Blocks with an outlier, and only these, are rounded twice: the same in every variant, and nearer
 * to what was rounded. */
static void test_refine(void **state) {
    (void)state;
    const int64_t n = 12, k = 288;
    int twice = 0, once = 0;
    FOR_EACH_VARIANT(v) {
        trng g = {31}, same = {31};
        kern_act a = test_act(kern_named("ref"), n, k, &g), b = test_act(v, n, k, &same);
        assert_memory_equal(a.x, b.x, (size_t)(n * k) * 4);
        assert_memory_equal(a.twice, b.twice, (size_t)(n * k / 32));
        for (int64_t at = 0; at < n * k / 32; at++) {
            float top = 0, energy = 0;
            for (int64_t e = at * 32; e < at * 32 + 32; e++) {
                if (fabsf(a.x[e]) > top) top = fabsf(a.x[e]);
                energy += a.x[e] * a.x[e];
            }
            bool set = a.twice[at];
            float share = top * top / energy;
            if (fabsf(share - 0.5f) > 0.02f) assert_int_equal(set, share > 0.5f);
            once += !set, twice += set;
            if (!set) continue;
            assert_memory_equal(a.q2 + at * 32, b.q2 + at * 32, 32);
            assert_memory_equal(a.sum16_2 + at * 2, b.sum16_2 + at * 2, 4);
            assert_true(test_same_float(a.d2[at], b.d2[at]));
            for (int64_t e = at * 32; e < at * 32 + 32; e++)
                assert_true(fabsf(a.x[e] - (float)a.q[e] * a.d[at] - (float)a.q2[e] * a.d2[at]) <=
                            a.d2[at] * 0.51f + top * 1e-6f);
        }
        test_act_free(&a), test_act_free(&b);
    }
    assert_true(twice > 10 && once > 10);
}

static void test_rmsnorm(void **state) {
    (void)state;
    float x[MOST], w[MOST], y[MOST];
    FOR_EACH_VARIANT(k) {
        trng g = {22};
        for (int l = 0; l < N_LENGTHS; l++) {
            int n = lengths[l];
            fill(x, n, 3.0f, &g), fill(w, n, 1.0f, &g);
            double sum = 0;
            for (int i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
            double inv = 1 / sqrt(sum / n + (double)1e-5f);
            k->rmsnorm(x, w, 1e-5f, n, y);
            for (int i = 0; i < n; i++)
                near(k->name, "rmsnorm", n, i, x[i] * inv * w[i], y[i], 1e-5);
            k->rmsnorm(x, NULL, 1e-5f, n, x);
            for (int i = 0; i < n; i++)
                near(k->name, "rmsnorm in place", n, i, y[i], x[i] * w[i], 1e-5);
        }
    }
}

static double gelu(double g) {
    return 0.5 * g * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (g + 0.044715 * g * g * g)));
}
static double oai(double g, double u) {
    g = g > 7 ? 7 : g, u = u > 7 ? 7 : u < -7 ? -7 : u;
    return g / (1 + exp(-(double)1.702f * g)) * (u + 1);
}

static void test_elementwise(void **state) {
    (void)state;
    float a[MOST], b[MOST], y[MOST + 1];
    FOR_EACH_VARIANT(k) {
        trng g = {23};
        for (int l = 0; l < N_LENGTHS; l++) {
            int n = lengths[l];
            fill(a, n, 4.0f, &g), fill(b, n, 4.0f, &g);
            y[n] = 42.0f;
            memcpy(y, a, (size_t)n * 4), k->add(y, b, n);
            for (int i = 0; i < n; i++) assert_true(y[i] == a[i] + b[i]);
            memcpy(y, a, (size_t)n * 4), k->scale(y, 1.7f, n);
            for (int i = 0; i < n; i++) assert_true(y[i] == a[i] * 1.7f);
            k->silu_mul(a, b, y, n);
            for (int i = 0; i < n; i++)
                near(k->name, "silu", n, i, a[i] / (1 + exp(-(double)a[i])) * b[i], y[i], 1e-5);
            k->gelu_mul(a, b, y, n);
            for (int i = 0; i < n; i++) near(k->name, "gelu", n, i, gelu(a[i]) * b[i], y[i], 1e-5);
            k->oai_mul(a, b, 1.702f, 7.0f, y, n);
            for (int i = 0; i < n; i++) near(k->name, "oai", n, i, oai(a[i], b[i]), y[i], 2e-5);
            memcpy(y, a, (size_t)n * 4), k->softcap(y, 5.0f, n);
            for (int i = 0; i < n; i++)
                near(k->name, "softcap", n, i, 5 * tanh((double)a[i] / 5), y[i], 3e-6);
            assert_true(y[n] == 42.0f);
            memcpy(y, a, (size_t)n * 4), k->silu_mul(y, b, y, n); /* out may be gate */
            for (int i = 0; i < n; i++)
                near(k->name, "silu in place", n, i, a[i] / (1 + exp(-(double)a[i])) * b[i], y[i],
                     1e-5);
        }
        float x[4] = {-200, 200, -INFINITY, NAN}, one[4] = {1, 1, 1, 1}, out[4];
        k->silu_mul(x, one, out, 4);
        assert_true(out[0] == 0 && out[1] == 200 && isnan(out[3]));
        k->softcap(x, 5, 4);
        assert_true(x[0] == -5 && x[1] == 5 && x[2] == -5 && isnan(x[3]));
    }
}

static void test_softmax_argmax(void **state) {
    (void)state;
    float x[MOST], y[MOST];
    FOR_EACH_VARIANT(k) {
        trng g = {24};
        for (int l = 0; l < N_LENGTHS; l++) {
            int n = lengths[l], best = 0;
            fill(x, n, 6.0f, &g);
            double sum = 0;
            for (int i = 0; i < n; i++) sum += exp((double)x[i]);
            for (int i = 0; i < n; i++) best = x[i] > x[best] ? i : best;
            assert_int_equal(k->argmax(x, n), best);
            memcpy(y, x, (size_t)n * 4), k->softmax(y, n);
            for (int i = 0; i < n; i++)
                near(k->name, "softmax", n, i, exp((double)x[i]) / sum, y[i], 1e-6);
            if (n < 3) continue;
            x[n - 1] = x[best] = x[n / 2] = 1e3f; /* a tie: the lowest index */
            assert_int_equal(k->argmax(x, n), best < n / 2 ? best : n / 2);
            x[0] = NAN, x[n - 1] = INFINITY;
            assert_int_equal(k->argmax(x, n), n - 1);
            for (int i = 0; i < n; i++) x[i] = -INFINITY;
            assert_int_equal(k->argmax(x, n), 0);
        }
    }
}

static void test_rope(void **state) {
    (void)state;
    static const int rots[] = {2, 16, 32, 48, 64, 80, 128};
    float x[130], y[130], c[64], s[64];
    FOR_EACH_VARIANT(k) {
        trng g = {25};
        for (int l = 0; l < 7; l++)
            for (int neox = 0; neox < 2; neox++) {
                int n = rots[l], half = n / 2;
                fill(x, 130, 1.0f, &g);
                for (int i = 0; i < half; i++) c[i] = cosf((float)i + 1), s[i] = sinf((float)i + 1);
                memcpy(y, x, sizeof x), k->rope(y, n, neox, c, s);
                for (int i = 0; i < half; i++) {
                    int p = neox ? i : 2 * i, q = neox ? i + half : 2 * i + 1;
                    near(k->name, "rope", n, p, (double)x[p] * c[i] - (double)x[q] * s[i], y[p],
                         1e-6);
                    near(k->name, "rope", n, q, (double)x[p] * s[i] + (double)x[q] * c[i], y[q],
                         1e-6);
                }
                assert_memory_equal(y + n, x + n, (size_t)(130 - n) * 4);
            }
    }
}

static void test_exp(void **state) {
    (void)state;
    trng g = {26};
    for (int i = 0; i < 200000; i++) {
        float x = i < 100000 ? trng_uniform(&g) * 88.0f : trng_uniform(&g);
        double want = exp((double)x);
        if (!(fabs((double)kern_expf(x) - want) <= want * 0x1p-21 + 1e-44))
            fail_msg("exp(%.9g): %.9g, not %.9g", (double)x, (double)kern_expf(x), want);
    }
    assert_true(kern_expf(0) == 1 && kern_expf(-INFINITY) == 0 && kern_expf(-200) == 0);
    assert_true(kern_expf(INFINITY) == INFINITY && kern_expf(100) == INFINITY &&
                isnan(kern_expf(NAN)));
    assert_true(kern_expf(-100) > 0 && kern_expf(-100) < 1e-43f);
    FOR_EACH_VARIANT(
        k) { /* the vectors' exp is the scalar one: seen through silu with up = 1 / gate */
        float x[97], one[97], y[97];
        for (int i = 0; i < 97; i++) x[i] = trng_uniform(&g) * 100.0f, one[i] = 1;
        k->silu_mul(x, one, y, 97);
        for (int i = 0; i < 97; i++) assert_true(y[i] == x[i] * (1.0f / (1.0f + kern_expf(-x[i]))));
    }
}

/* The table that a fresh process picks with HEARTH_CPU set, as its name; warned: bytes on stderr.
 * HEARTH_TEST_RUNNER is the emulator that runs this program, if one does. */
static void picked_with(const char *cpu, char *name, size_t n, bool *warned) {
    int out[2], err[2];
    assert_int_equal(pipe(out), 0);
    assert_int_equal(pipe(err), 0);
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(length > 0);
    self[length] = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(out[1], 1), dup2(err[1], 2);
        close(out[0]), close(err[0]), close(out[1]), close(err[1]);
        setenv("HEARTH_CPU", cpu, 1);
        execl("/bin/sh", "sh", "-c", "exec $HEARTH_TEST_RUNNER \"$0\" --name", self, (char *)NULL);
        _exit(127);
    }
    close(out[1]), close(err[1]);
    ssize_t got = read(out[0], name, n - 1);
    char c;
    *warned = read(err[0], &c, 1) == 1;
    close(out[0]), close(err[0]);
    int status;
    waitpid(pid, &status, 0);
    name[got > 0 ? got : 0] = 0;
}

static void test_choice(void **state) {
    (void)state;
    char name[64];
    bool warned;
    for (const char *const *n = kern_names(); *n; n++) {
        picked_with(*n, name, sizeof name, &warned);
        assert_string_equal(name, *n);
        assert_false(warned);
    }
    picked_with("", name, sizeof name, &warned);
    assert_string_equal(name, kern_names()[0]);
    assert_false(warned);
    picked_with("pentium", name, sizeof name, &warned);
    assert_string_equal(name, kern_names()[0]);
    assert_true(warned);
    assert_null(kern_named("pentium"));
    assert_non_null(kern_named("ref"));
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--name") == 0) return fputs(kern_get()->name, stdout) < 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantize),
        cmocka_unit_test(test_refine),
        cmocka_unit_test(test_rmsnorm),
        cmocka_unit_test(test_elementwise),
        cmocka_unit_test(test_softmax_argmax),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_exp),
        cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
