#include "hub/names.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "net/url.h"

static bool bad(err *e, str text, const char *why) {
    char shown[160];
    return err_set(e, ERR_USAGE, "\"%s\" is no name of a model: %s",
                   str_printable(text, shown, sizeof shown), why);
}

/* Letters, digits, "_", and after the first also "-" and "."; of a host ":" before its port. */
static bool part_ok(str s, bool host) {
    if (s.n == 0 || s.n > (host ? HUB_HOST_MAX : HUB_PART_MAX)) return false;
    size_t colons = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool word = c < 0x80 && (isalnum(c) || c == '_');
        if (i == 0 && !word) return false;
        if (c == ':' && host && ++colons == 1) continue;
        if (colons && !isdigit(c)) return false;
        if (!word && c != '-' && c != '.') return false;
    }
    return s.p[s.n - 1] != ':';
}

static bool part_set(char *dst, str s, bool host) {
    if (!part_ok(s, host)) return false;
    for (size_t i = 0; i < s.n; i++) dst[i] = host ? (char)tolower((unsigned char)s.p[i]) : s.p[i];
    dst[s.n] = 0;
    return true;
}

static bool ends_nocase(str s, str with) {
    return s.n >= with.n && strncasecmp(s.p + s.n - with.n, with.p, with.n) == 0;
}

static bool looks_like_path(str s) {
    return str_starts(s, STR("/")) || str_starts(s, STR("./")) || str_starts(s, STR("../")) ||
           str_eq(s, STR(".")) || str_eq(s, STR("..")) || ends_nocase(s, STR(".gguf"));
}

/* The parts between slashes, up to four of them. */
static size_t split(str s, str part[4]) {
    size_t n = 0, from = 0;
    for (size_t i = 0; i <= s.n && n < 4; i++)
        if (i == s.n || s.p[i] == '/') {
            part[n++] = (str){s.p + from, i - from};
            from = i + 1;
        }
    return n;
}

/* addressed: s is what follows "http://", so that its first part is a host whatever else is
 * there. */
static bool registry_name(hub_name *n, str s, bool addressed, err *e) {
    str part[4], tag = STR(HUB_TAG);
    size_t colon = s.n;
    while (colon > 0 && s.p[colon - 1] != ':' && s.p[colon - 1] != '/') colon--;
    n->tag_given = colon > 0 && s.p[colon - 1] == ':';
    if (n->tag_given) {
        tag = (str){s.p + colon, s.n - colon};
        s.n = colon - 1;
    }
    if (memchr(s.p, '@', s.n))
        return bad(e, n->text, "a tag names a version, not a digest: model:tag");
    size_t k = split(s, part);
    if (addressed && k != 3)
        return bad(e, n->text,
                   "it is the URL of no .gguf file, and not http(s)://host/namespace/model:tag");
    str host = STR(HUB_REGISTRY), ns = STR(HUB_NAMESPACE), model = part[k - 1];
    if (k > 3) return bad(e, n->text, "it has more parts than host/namespace/model:tag");
    if (k >= 2) ns = part[k - 2];
    if (k == 3) host = part[0];
    if (!part_set(n->host, host, true)) return bad(e, n->text, "its host is not one");
    if (strcmp(n->host, "huggingface.co") == 0 || strcmp(n->host, "www.huggingface.co") == 0)
        snprintf(n->host, sizeof n->host, "%s", HUB_HUGGING_FACE);
    if (!part_set(n->ns, ns, false) || !part_set(n->model, model, false))
        return bad(e, n->text,
                   "its parts are letters, digits, \"_\", \"-\" and \".\", and begin with none of "
                   "the last two");
    if (!part_set(n->tag, tag, false))
        return bad(e, n->text, "what follows its last \":\" is no tag");
    if (k == 2 && (strcmp(n->ns, HUB_HUGGING_FACE) == 0 || strcmp(n->ns, "huggingface.co") == 0))
        return bad(e, n->text, "on Hugging Face a model is hf.co/user/repository");
    return true;
}

/* Whether it is a URL, and that of a file. */
static bool url_check(str text, bool *file, err *e) {
    url u;
    char *copy = strndup(text.p, text.n);
    bool ok = copy ? url_parse(&u, copy, e) : err_set(e, ERR_NO_FIT, "out of memory");
    if (ok) *file = ends_nocase(str_of(u.path), STR(".gguf"));
    if (ok) url_deinit(&u);
    free(copy);
    return ok;
}

bool hub_name_parse(hub_name *n, str text, err *e) {
    *n = (hub_name){.kind = HUB_NAME, .text = text};
    if (text.n == 0) return bad(e, text, "it is empty");
    if (memchr(text.p, 0, text.n)) return bad(e, text, "it holds a NUL");
    bool https = text.n > 8 && strncasecmp(text.p, "https://", 8) == 0;
    bool http = text.n > 7 && strncasecmp(text.p, "http://", 7) == 0;
    if (https || http) {
        bool file;
        if (!url_check(text, &file, e)) return false;
        if (file) {
            n->kind = HUB_URL;
            return true;
        }
        n->http = http;
        size_t skip = https ? 8 : 7;
        return registry_name(n, (str){text.p + skip, text.n - skip}, true, e);
    }
    if (str_eq(text, STR("bard")) || str_eq(text, STR("bard:latest"))) n->kind = HUB_BUNDLED;
    else if (looks_like_path(text)) n->kind = HUB_PATH;
    if (n->kind != HUB_NAME) return true;
    if (text.n >= HUB_NAME_BYTES) return bad(e, text, "it is too long");
    return registry_name(n, text, false, e);
}

bool hub_name_parse_strict(hub_name *n, str text, err *e) {
    if (!hub_name_parse(n, text, e)) return false;
    switch (n->kind) {
    case HUB_NAME: return true;
    case HUB_BUNDLED: return bad(e, text, "it is the model inside the program");
    case HUB_PATH: return bad(e, text, "it is a path");
    case HUB_URL: return bad(e, text, "it is the URL of a file");
    }
    return false;
}

bool hub_name_is_hugging_face(const hub_name *n) {
    return n->kind == HUB_NAME && strcmp(n->host, HUB_HUGGING_FACE) == 0;
}

bool hub_name_eq(const hub_name *a, const hub_name *b) {
    return strcasecmp(a->host, b->host) == 0 && strcasecmp(a->ns, b->ns) == 0 &&
           strcasecmp(a->model, b->model) == 0 && strcasecmp(a->tag, b->tag) == 0;
}

char *hub_name_show(const hub_name *n, char dst[HUB_NAME_BYTES]) {
    if (n->kind == HUB_BUNDLED) snprintf(dst, HUB_NAME_BYTES, "bard");
    else if (n->kind != HUB_NAME) str_printable(n->text, dst, HUB_NAME_BYTES);
    else if (strcmp(n->host, HUB_REGISTRY) != 0)
        snprintf(dst, HUB_NAME_BYTES, "%s/%s/%s:%s", n->host, n->ns, n->model, n->tag);
    else if (strcmp(n->ns, HUB_NAMESPACE) != 0)
        snprintf(dst, HUB_NAME_BYTES, "%s/%s:%s", n->ns, n->model, n->tag);
    else if (strcmp(n->model, "bard") == 0 && strcmp(n->tag, HUB_TAG) == 0) /* another than ours */
        snprintf(dst, HUB_NAME_BYTES, "%s/bard:%s", n->ns, n->tag);
    else snprintf(dst, HUB_NAME_BYTES, "%s:%s", n->model, n->tag);
    return dst;
}

char *hub_name_path(const hub_name *n, char dst[HUB_NAME_BYTES]) {
    snprintf(dst, HUB_NAME_BYTES, "%s/%s/%s/%s", n->host, n->ns, n->model, n->tag);
    return dst;
}

bool hub_name_of_path(hub_name *n, const char *host, const char *ns, const char *model,
                      const char *tag) {
    *n = (hub_name){.kind = HUB_NAME, .text = {"", 0}, .tag_given = true};
    return part_set(n->host, str_of(host), true) && strcmp(n->host, host) == 0 &&
           part_set(n->ns, str_of(ns), false) && part_set(n->model, str_of(model), false) &&
           part_set(n->tag, str_of(tag), false);
}

/* ---- quantisations ---- */

/* "Q4_K_M", "IQ2_XXS", "BF16", "UD-Q4_K_XL", "MXFP4" */
static bool is_quant(str s) {
    if (str_starts(s, STR("UD-"))) s = (str){s.p + 3, s.n - 3};
    static const char *const words[] = {"F16", "F32", "BF16", "FP16", "FP32", "MXFP4", "MXFP4_MOE"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (s.n == strlen(words[i]) && strncasecmp(s.p, words[i], s.n) == 0) return true;
    size_t i = s.n > 0 && toupper((unsigned char)s.p[0]) == 'I' ? 1 : 0;
    if (!i && s.n > 0 && toupper((unsigned char)s.p[0]) == 'T') i = 1;
    if (s.n < i + 2 || toupper((unsigned char)s.p[i]) != 'Q' || !isdigit((unsigned char)s.p[i + 1]))
        return false;
    for (i += 2; i < s.n; i++)
        if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '_') return false;
    return true;
}

str hub_quant_of(str s) {
    if (ends_nocase(s, STR(".gguf"))) s.n -= 5;
    if (s.n > 15 && memcmp(s.p + s.n - 9, "-of-", 4) == 0 && s.p[s.n - 15] == '-') s.n -= 15;
    for (size_t at = s.n; at > 0; at--) {
        if (s.p[at - 1] != '-' && s.p[at - 1] != '.') continue;
        str last = {s.p + at, s.n - at};
        if (!is_quant(last)) return (str){"", 0};
        if (at >= 4 && strncasecmp(s.p + at - 3, "UD-", 3) == 0 &&
            (at == 3 || s.p[at - 4] == '-' || s.p[at - 4] == '.'))
            last = (str){s.p + at - 3, s.n - at + 3};
        return last;
    }
    return is_quant(s) ? s : (str){"", 0};
}
