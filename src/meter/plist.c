#include "meter/plist.h"

/* What stands between the tag that begins at `at` ("<real>") and the next "<". */
static bool number_at(str s, size_t at, double *out) {
    size_t open = str_find(s, STR(">"), at);
    size_t close = open == (size_t)-1 ? open : str_find(s, STR("<"), open);
    if (close == (size_t)-1) return false;
    return str_to_f64(str_trim((str){s.p + open + 1, close - open - 1}), out);
}

bool plist_combined_watts(str text, double *watts) {
    size_t from = str_find(text, STR("<key>processor</key>"), 0);
    if (from == (size_t)-1) return false;
    size_t key = str_find(text, STR("<key>combined_power</key>"), from);
    if (key == (size_t)-1) return false;
    size_t tag = str_find(text, STR("<"), key + 25);
    double mw;
    if (tag == (size_t)-1) return false;
    str rest = {text.p + tag, text.n - tag};
    if (!str_starts(rest, STR("<real>")) && !str_starts(rest, STR("<integer>"))) return false;
    if (!number_at(text, tag, &mw) || !(mw >= 0)) return false;
    *watts = mw * 1e-3;
    return true;
}
