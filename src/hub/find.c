/* Names of models. */
#include "hub/find.h"

#include <ctype.h>
#include <errno.h>
#include <unistd.h>

#ifdef HEARTH_HAVE_BARD
extern const unsigned char hearth_bard_begin[], hearth_bard_end[];
#endif

bool hub_have_bundled(void) {
#ifdef HEARTH_HAVE_BARD
    return true;
#else
    return false;
#endif
}

bool hub_find(hub_model *r, const char *name, err *e) {
    *r = (hub_model){.name = name};
    if (strcmp(name, "bard") == 0) {
#ifdef HEARTH_HAVE_BARD
        r->data = hearth_bard_begin;
        r->n = (size_t)(hearth_bard_end - hearth_bard_begin);
        return true;
#else
        return err_set(e, ERR_NOT_FOUND,
                       "this build of hearth has no model of its own: give a path to a .gguf file");
#endif
    }
    if (strchr(name, '/') || str_ends(str_of(name), STR(".gguf")) || access(name, F_OK) == 0 ||
        errno == EACCES)
        return true;
    char shown[120];
    return err_set(e, ERR_NOT_FOUND,
                   "there is no model \"%s\": a model is a path to a .gguf file, or bard",
                   str_printable(str_of(name), shown, sizeof shown));
}

hearth_model *hub_open(const hub_model *r, const hearth_model_options *o, hearth_err *e) {
    return r->data ? hearth_model_open_memory(r->data, r->n, r->name, o, e)
                   : hearth_model_open(r->name, o, e);
}

/* "-00001-of-00003" at the end of a split file's name. */
static size_t part_suffix(str s) {
    enum { N = 15 };
    if (s.n <= N) return 0;
    const char *p = s.p + s.n - N;
    if (p[0] != '-' || memcmp(p + 6, "-of-", 4) != 0) return 0;
    for (int i = 1; i < N; i++)
        if ((i < 6 || i > 9) && !isdigit((unsigned char)p[i])) return 0;
    return N;
}

str hub_stem(const char *path) {
    const char *slash = strrchr(path, '/');
    str s = str_of(slash ? slash + 1 : path);
    if (str_ends(s, STR(".gguf"))) s.n -= 5;
    s.n -= part_suffix(s);
    return s;
}
