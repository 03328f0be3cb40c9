/* What requests of every dialect have in common: samplers, prompts, content, durations. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "api/adapters.h"
#include "api/api_private.h"
#include "base/limits.h"
#include "hub/talk.h"

const api_field api_model_fields[] = {
    {.name = "model",
     .types = API_STRING,
     .len_max = 512,
     .doc = "a name that /v1/models lists; none or \"default\": the first of them"},
    {.name = "keep_alive",
     .types = API_NUMBER | API_STRING,
     .doc = "how long the model stays in memory: seconds or \"5m\"; negative: for ever"},
    {0},
};

/* ---- samplers ---- */

const api_field api_sampler_fields[] = {
    {.name = "temperature",
     .types = API_NUMBER,
     .max = 100,
     .doc = "0: always the likeliest token; default 0.8"},
    {.name = "top_k",
     .types = API_INT,
     .min = -1,
     .max = INT32_MAX,
     .doc = "draw among the k likeliest tokens; 0 and -1: all; default 40"},
    {.name = "top_p",
     .types = API_NUMBER,
     .max = 1,
     .doc = "draw among the likeliest tokens that together have this probability; default 0.95"},
    {.name = "min_p",
     .types = API_NUMBER,
     .max = 1,
     .doc = "leave out tokens less likely than this share of the likeliest; default 0.05"},
    {.name = "typical_p", .types = API_NUMBER, .max = 1, .doc = "locally typical; 1: off"},
    {.name = "repeat_penalty",
     .types = API_NUMBER,
     .min = 0.01,
     .max = 100,
     .doc = "over 1: seldom what was there; 1: off"},
    {.name = "repetition_penalty",
     .types = API_NUMBER,
     .min = 0.01,
     .max = 100,
     .doc = "the same as repeat_penalty"},
    {.name = "repeat_last_n",
     .types = API_INT,
     .min = -1,
     .max = INT32_MAX,
     .doc = "tokens that penalties look back on; -1: all"},
    {.name = "frequency_penalty",
     .types = API_NUMBER,
     .min = -2,
     .max = 2,
     .doc = "taken off a token's score for each time that it was there"},
    {.name = "presence_penalty",
     .types = API_NUMBER,
     .min = -2,
     .max = 2,
     .doc = "taken off a token's score once it was there"},
    {.name = "seed",
     .types = API_INT,
     .min = -9.2e18,
     .max = 9.2e18,
     .doc = "the same seed and request give the same answer; negative or none: drawn"},
    {.name = "stop",
     .types = API_STRING | API_ARRAY,
     .items = API_STRING,
     .len_max = LIMIT_STOP_STRINGS,
     .doc = "texts before which the answer ends"},
    {.name = "logit_bias",
     .types = API_OBJECT | API_ARRAY,
     .len_max = 65536,
     .doc = "token numbers with what is added to their scores; false bans one"},
    {.name = "ignore_eos", .types = API_BOOL, .doc = "go on when the model wants to end"},
    {.name = "context_shift",
     .types = API_BOOL,
     .doc = "go on when the context is full, without the older half of the answer; default: as "
            "the server was started"},
    {.name = "n_keep",
     .types = API_INT,
     .min = -1,
     .max = INT32_MAX,
     .doc = "tokens at the beginning that then stay; -1: the prompt; at most half of the context"},
    {.name = "xtc_probability", .types = API_NUMBER, .max = 1, .doc = "0: off"},
    {.name = "xtc_threshold", .types = API_NUMBER, .max = 1, .doc = "default 0.1"},
    {.name = "dry_multiplier", .types = API_NUMBER, .max = 100, .doc = "0: off"},
    {.name = "dry_base", .types = API_NUMBER, .max = 100, .doc = "default 1.75"},
    {.name = "dry_allowed_length", .types = API_INT, .max = 65536, .doc = "default 2"},
    {.name = "dry_penalty_last_n",
     .types = API_INT,
     .min = -1,
     .max = INT32_MAX,
     .doc = "tokens looked back on; -1: all"},
    {.name = "dry_sequence_breakers",
     .types = API_ARRAY,
     .items = API_STRING,
     .len_max = 64,
     .doc = "texts across which no repetition is seen"},
    {.name = "mirostat", .types = API_INT, .max = 2, .doc = "2: Mirostat 2.0; 0: off"},
    {.name = "mirostat_tau", .types = API_NUMBER, .max = 100, .doc = "default 5"},
    {.name = "mirostat_eta", .types = API_NUMBER, .max = 1, .doc = "default 0.1"},
    {.include = api_lora_fields},
    {0},
};

const api_field api_samplers_fields[] = {
    {.name = "samplers",
     .types = API_STRING | API_ARRAY,
     .items = API_STRING,
     .len_max = 64,
     .doc = "those that are not named are off (penalties, dry, top_k, typ_p, top_p, min_p, xtc, "
            "temperature, or their letters edkypmxt); the order is always this one"},
    {0},
};

/* Whether the list, or the text of letters, names this sampler. */
static bool sampler_named(const json_t *list, const char *name, char letter) {
    const json_t *v;
    size_t i;
    if (json_is_string(list)) return strchr(json_string_value(list), letter) != NULL;
    json_array_foreach(list, i, v) if (strcmp(json_string_value(v), name) == 0) return true;
    return false;
}

void api_samplers_keep(const json_t *body, hearth_params *p) {
    const json_t *list = api_get(body, "samplers");
    if (json_array_size(list) == 0 && json_string_length(list) == 0) return;
    if (!sampler_named(list, "penalties", 'e')) {
        p->repeat_penalty = 1;
        p->frequency_penalty = p->presence_penalty = 0;
    }
    if (!sampler_named(list, "dry", 'd')) p->dry_multiplier = 0;
    if (!sampler_named(list, "top_k", 'k')) p->top_k = 0;
    if (!sampler_named(list, "typ_p", 'y') && !sampler_named(list, "typical_p", 'y'))
        p->typical_p = 1;
    if (!sampler_named(list, "top_p", 'p')) p->top_p = 1;
    if (!sampler_named(list, "min_p", 'm')) p->min_p = 0;
    if (!sampler_named(list, "xtc", 'x')) p->xtc_probability = 0;
    if (!sampler_named(list, "temperature", 't')) p->temperature = 1;
}

/* A string or an array of strings as a NULL-terminated list; empty strings are left out. */
static bool strings_read(api_call *c, const json_t *v, const char *name, const char *const **out,
                         api_error *e) {
    size_t n = json_is_array(v) ? json_array_size(v) : 1, k = 0;
    const char **list = arena_calloc(c->arena, n + 1, sizeof *list);
    if (!list) return api_no_memory(e);
    for (size_t i = 0; i < n; i++) {
        const json_t *s = json_is_array(v) ? json_array_get(v, i) : v;
        if (json_string_length(s) > LIMIT_STOP_BYTES)
            return api_fail(e, 400, "too_long", name, "%s: a text has %zu bytes; at most %d", name,
                            json_string_length(s), LIMIT_STOP_BYTES);
        if (json_string_length(s) > 0) list[k++] = json_string_value(s);
    }
    *out = list;
    return true;
}

static bool bias_add(api_call *c, hearth_bias *b, double token, const json_t *value, api_error *e) {
    hearth_model_info info;
    hearth_model_info_get(resident_model(c->model), &info);
    if (!(token >= 0 && token < info.n_vocab) || token != floor(token))
        return api_fail(e, 400, "invalid_value", "logit_bias",
                        "logit_bias: the vocabulary has the tokens 0 to %d, not %.6g",
                        info.n_vocab - 1, token);
    double x = json_is_false(value) ? -INFINITY : json_number_value(value);
    if (!json_is_false(value) && !(json_is_number(value) && fabs(x) <= 1e6))
        return api_fail(e, 400, "invalid_value", "logit_bias",
                        "logit_bias: the value of token %d must be a number from -1e6 to 1e6, or "
                        "false",
                        (int)token);
    *b = (hearth_bias){(int32_t)token, (float)x};
    return true;
}

/* [50256, -100], or as llama-server has it ["a text", -100]: each token of the text. */
static bool bias_pair(api_call *c, buf *list, const json_t *pair, size_t i, api_error *e) {
    const json_t *what = json_array_get(pair, 0), *value = json_array_get(pair, 1);
    hearth_err he = {0};
    hearth_bias b;
    int32_t *ids;
    size_t n;
    bool ok = true;
    if (json_array_size(pair) != 2 || !(json_is_number(what) || json_is_string(what)))
        return api_fail(e, 400, "invalid_value", "logit_bias",
                        "logit_bias: item %zu must be [token, bias] or [text, bias]", i);
    if (json_is_number(what))
        return bias_add(c, &b, json_number_value(what), value, e) &&
               (buf_append(list, &b, sizeof b), true);
    if (!hearth_tokenize(resident_model(c->model), json_string_value(what),
                         json_string_length(what), 0, &ids, &n, &he))
        return api_fail(e, 400, "invalid_value", "logit_bias", "logit_bias: %s", he.msg);
    for (size_t k = 0; ok && k < n; k++)
        if ((ok = bias_add(c, &b, ids[k], value, e))) buf_append(list, &b, sizeof b);
    hearth_free(ids);
    return ok;
}

/* {"50256": -100} or an array of pairs; into `list`, of hearth_bias. */
static bool bias_gather(api_call *c, buf *list, const json_t *v, api_error *e) {
    const char *key;
    json_t *value, *pair;
    size_t i;
    json_array_foreach(v, i, pair) if (!bias_pair(c, list, pair, i, e)) return false;
    if (!json_is_object(v)) return true;
    json_object_foreach((json_t *)v, key, value) {
        hearth_bias b;
        double id;
        if (!str_to_f64(str_of(key), &id)) id = -1;
        if (!bias_add(c, &b, id, value, e)) return false;
        buf_append(list, &b, sizeof b);
    }
    return true;
}

static bool bias_read(api_call *c, const json_t *v, hearth_params *p, api_error *e) {
    buf list;
    buf_init(&list, LIMIT_CALL_BYTES);
    bool ok = bias_gather(c, &list, v, e);
    hearth_bias *kept = ok ? arena_calloc(c->arena, list.len + 1, 1) : NULL;
    if (kept && list.len) memcpy(kept, list.data, list.len);
    p->bias = kept;
    p->n_bias = list.len / sizeof *kept;
    if (ok && (list.failed || !kept)) ok = api_no_memory(e);
    buf_deinit(&list);
    return ok;
}

static void number_read(const json_t *o, const char *name, float *out) {
    *out = (float)api_get_number(o, name, (double)*out);
}

static void int_read(const json_t *o, const char *name, int32_t *out) {
    *out = (int32_t)api_get_int(o, name, *out);
}

static bool seed_read(const json_t *o, hearth_params *p, api_error *e) {
    int64_t seed = api_get_int(o, "seed", -1);
    p->seed = (uint64_t)seed;
    if (seed >= 0) return true;
    if (getrandom(&p->seed, sizeof p->seed, 0) == (ssize_t)sizeof p->seed) {
        p->seed >>= 11; /* what is told and sent back must be a number in JavaScript too */
        return true;
    }
    return api_fail(e, 500, "server_error", NULL, "the system gives no random numbers");
}

/* What the model was made with, under what the request says. Freed with the call. */
static const json_t *settings_merge(api_call *c, const json_t *o, api_error *e) {
    const json_t *own = resident_recipe(c->model)->params;
    json_t *all = json_copy((json_t *)own);
    bool ok = all && (!o || json_object_update(all, (json_t *)o) == 0);
    if (ok && api_get(o, "repetition_penalty") && !api_get(o, "repeat_penalty"))
        json_object_del(all, "repeat_penalty");
    /* the first one is not there; what a request says itself is judged */
    if (ok && json_integer_value(json_object_get(own, "mirostat")) == 1 && !api_get(o, "mirostat"))
        json_object_del(all, "mirostat");
    json_decref(c->settings);
    c->settings = all;
    if (!ok) api_no_memory(e);
    return ok ? all : NULL;
}

bool api_setting_given(const api_call *c, const json_t *o, const char *name) {
    return api_get(o, name) || (c->model && api_get(resident_recipe(c->model)->params, name));
}

int32_t api_usual_length(const api_call *c) {
    int64_t n = c->model ? api_get_int(resident_recipe(c->model)->params, "num_predict", -1) : -1;
    return n < 0 ? -1 : (int32_t)n;
}

bool api_sampler_read(api_call *c, const json_t *o, hearth_params *p, api_error *e) {
    *p = hearth_params_default();
    if (c->model && resident_recipe(c->model)->params && !(o = settings_merge(c, o, e)))
        return false;
    number_read(o, "temperature", &p->temperature);
    int_read(o, "top_k", &p->top_k);
    if (p->top_k < 0) p->top_k = 0;
    number_read(o, "top_p", &p->top_p);
    number_read(o, "min_p", &p->min_p);
    number_read(o, "typical_p", &p->typical_p);
    number_read(o, "repetition_penalty", &p->repeat_penalty);
    number_read(o, "repeat_penalty", &p->repeat_penalty);
    int_read(o, "repeat_last_n", &p->penalty_last_n);
    number_read(o, "frequency_penalty", &p->frequency_penalty);
    number_read(o, "presence_penalty", &p->presence_penalty);
    number_read(o, "xtc_probability", &p->xtc_probability);
    number_read(o, "xtc_threshold", &p->xtc_threshold);
    number_read(o, "dry_multiplier", &p->dry_multiplier);
    number_read(o, "dry_base", &p->dry_base);
    int_read(o, "dry_allowed_length", &p->dry_allowed_length);
    int_read(o, "dry_penalty_last_n", &p->dry_last_n);
    p->mirostat = (int)api_get_int(o, "mirostat", p->mirostat);
    number_read(o, "mirostat_tau", &p->mirostat_tau);
    number_read(o, "mirostat_eta", &p->mirostat_eta);
    p->ignore_eos = api_get_bool(o, "ignore_eos", false);
    p->context_shift = api_get_bool(o, "context_shift", c->api->context_shift);
    p->n_keep = (int32_t)api_get_int(o, "n_keep", api_get_int(o, "num_keep", p->n_keep));
    if (p->mirostat == 1)
        return api_fail(e, 400, "invalid_value", "mirostat", "mirostat must be 0 or 2");
    if (!api_adapters_read(c, o, "lora", &p->lora, &p->n_lora, e)) return false;
    const json_t *v;
    if ((v = api_get(o, "stop")) && !strings_read(c, v, "stop", &p->stop, e)) return false;
    if ((v = api_get(o, "dry_sequence_breakers")) &&
        !strings_read(c, v, "dry_sequence_breakers", &p->dry_breakers, e))
        return false;
    if ((v = api_get(o, "logit_bias")) && !bias_read(c, v, p, e)) return false;
    return seed_read(o, p, e);
}

/* ---- prompts ---- */

bool api_text_prompt(api_call *c, str text, api_prompt *out, api_error *e) {
    hearth_err he = {0};
    if (hearth_tokenize(resident_model(c->model), text.p, text.n,
                        HEARTH_TOK_SPECIAL | HEARTH_TOK_BOS, &out->ids, &out->n, &he))
        return true;
    return api_fail(e, 400, "invalid_value", "prompt", "%s", he.msg);
}

/* The text of a part; NULL, with *e, when it is none. */
static const json_t *part_text(const json_t *part, const char *where, size_t i, api_error *e) {
    char shown[60], param[120];
    const char *type = api_get_text(part, "type", "text");
    bool refusal = strcmp(type, "refusal") == 0;
    const json_t *text = json_is_string(part) ? part : api_get(part, refusal ? "refusal" : "text");
    bool is_text = strcmp(type, "text") == 0 || strcmp(type, "input_text") == 0 ||
                   strcmp(type, "output_text") == 0 || refusal;
    if (is_text && json_is_string(text)) return text;
    snprintf(param, sizeof param, "%s[%zu]", where, i);
    str_printable(str_of(type), shown, sizeof shown);
    if (is_text) api_fail(e, 400, "invalid_type", param, "%s: text must be a string", param);
    else
        api_fail(e, 400, "unsupported_content", param, "%s: this model takes text, not %s", param,
                 shown);
    return NULL;
}

bool api_content_check(const json_t *content, const char *where, api_error *e) {
    size_t i;
    json_t *part;
    if (!content || json_is_null(content) || json_is_string(content)) return true;
    if (!json_is_array(content))
        return api_fail(e, 400, "invalid_type", where, "%s must be a string, or an array", where);
    json_array_foreach(content, i, part) if (!part_text(part, where, i, e)) return false;
    return true;
}

bool api_content_text(api_call *c, const json_t *content, const char *where, const char **out,
                      api_error *e) {
    if (!api_content_check(content, where, e)) return false;
    *out = json_is_string(content) ? json_string_value(content) : "";
    if (!json_is_array(content)) return true;
    buf text;
    buf_init(&text, LIMIT_CALL_BYTES);
    size_t i;
    json_t *part;
    json_array_foreach(content, i, part) {
        const json_t *t = part_text(part, where, i, e);
        buf_append(&text, json_string_value(t), json_string_length(t));
    }
    *out = arena_strdup(c->arena, buf_str(&text));
    bool ok = (*out && !text.failed) ||
              api_fail(e, 413, "too_long", where, "%s is too long", where);
    buf_deinit(&text);
    return ok;
}

str api_token_text(api_call *c, int32_t id) {
    char *text;
    size_t n;
    str out = {"", 0};
    if (!hearth_detokenize(resident_model(c->model), &id, 1, true, &text, &n, NULL)) return out;
    char *copy = arena_strdup(c->arena, (str){text, n});
    hearth_free(text);
    if (copy) out = (str){copy, n};
    return out;
}

bool api_ids_read(api_call *c, const json_t *v, const char *name, int32_t *ids, api_error *e) {
    hearth_model_info info;
    hearth_model_info_get(resident_model(c->model), &info);
    const json_t *id;
    size_t i;
    json_array_foreach(v, i, id) {
        double x = json_is_number(id) ? json_number_value(id) : -1;
        if (!(x >= 0 && x < info.n_vocab) || x != floor(x))
            return api_fail(e, 400, "invalid_value", name,
                            "%s: item %zu is no token of the vocabulary, 0 to %d", name, i,
                            info.n_vocab - 1);
        ids[i] = (int32_t)x;
    }
    return true;
}

int32_t api_weight(const api_call *c) {
    int32_t p = c->key.priority;
    return p <= 0 ? 1 : p < LIMIT_WEIGHT ? p + 1 : LIMIT_WEIGHT;
}

/* ---- durations ---- */

/* "1h30m", "5m", "90s", "100ms", "300". */
static bool duration_read(const char *s, double *out_s) {
    static const struct {
        const char *unit;
        double s;
    } units[] = {{"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}, {"h", 3600}, {"m", 60}, {"s", 1}};
    double sum = 0, sign = 1;
    if (*s == '-') sign = -1, s++;
    if (!*s) return false;
    while (*s) {
        size_t n = strspn(s, "0123456789."), i = 0;
        double x;
        if (!str_to_f64((str){s, n}, &x)) return false;
        s += n;
        if (!*s) {
            sum += x;
            break;
        }
        while (i < 6 && strncmp(s, units[i].unit, strlen(units[i].unit)) != 0) i++;
        if (i == 6) return false;
        sum += x * units[i].s;
        s += strlen(units[i].unit);
    }
    *out_s = sign * sum;
    return true;
}

static int64_t whole_seconds(double s) {
    return s < 0 || s > 1e9 ? -1 : (int64_t)ceil(s);
}

bool api_duration_read(const char *s, int64_t *out_s) {
    double x;
    if (!duration_read(s, &x)) return false;
    *out_s = whole_seconds(x);
    return true;
}

bool api_keep_alive_read(const json_t *v, int64_t *out_s) {
    if (!json_is_number(v))
        return json_is_string(v) && api_duration_read(json_string_value(v), out_s);
    *out_s = whole_seconds(json_number_value(v));
    return true;
}
