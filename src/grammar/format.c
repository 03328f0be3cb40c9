/* The values of "format" that are enforced, each as a pattern that the whole text must match. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "grammar/schema_private.h"

#define YEAR_LEAP "(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
#define DATE                                                                                       \
    "(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30"  \
    ")|02-(?:0[1-9]|1\\d|2[0-8]))|" YEAR_LEAP "-02-29)"
#define HOURS "(?:[01]\\d|2[0-3])"
#define OFFSET "(?:[Zz]|[+-]" HOURS ":[0-5]\\d)"
/* A leap second only where it can be one without a table: at the end of a day in UTC. */
#define TIME                                                                                       \
    "(?:" HOURS ":[0-5]\\d:[0-5]\\d(?:\\.\\d+)?" OFFSET "|23:59:60(?:\\.\\d+)?(?:[Zz]|[+-]00:00))"
#define LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define HOSTNAME LABEL "(?:\\." LABEL ")*"
#define OCTET "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define IPV4 OCTET "(?:\\." OCTET "){3}"
#define H16 "[0-9A-Fa-f]{1,4}"
#define LS32 "(?:" H16 ":" H16 "|" IPV4 ")"
#define IPV6                                                                                       \
    "(?:(?:" H16 ":){6}" LS32 "|::(?:" H16 ":){5}" LS32 "|(?:" H16 ")?::(?:" H16 ":){4}" LS32      \
    "|(?:(?:" H16 ":){0,1}" H16 ")?::(?:" H16 ":){3}" LS32 "|(?:(?:" H16 ":){0,2}" H16             \
    ")?::(?:" H16 ":){2}" LS32 "|(?:(?:" H16 ":){0,3}" H16 ")?::" H16 ":" LS32 "|(?:(?:" H16       \
    ":){0,4}" H16 ")?::" LS32 "|(?:(?:" H16 ":){0,5}" H16 ")?::" H16 "|(?:(?:" H16 ":){0,6}" H16   \
    ")?::)"
#define ATEXT "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
#define QUOTED "\"(?:[ !#-\\[\\]-~]|\\\\[ -~])*\""
#define EMAIL                                                                                      \
    "(?:" ATEXT "+(?:\\." ATEXT "+)*|" QUOTED ")@(?:" HOSTNAME "|\\[(?:" IPV4 "|IPv6:" IPV6 ")\\]" \
    ")"
/* Many a reader takes no more than this. */
#define EMAIL_WRITTEN ATEXT "+(?:\\." ATEXT "+)*@(?:" LABEL "\\.)+" LABEL
#define PCT "%[0-9A-Fa-f]{2}"
#define CHARS "A-Za-z0-9._~!$&'()*+,;=\\-"
#define WIDE "\\u{A0}-\\u{D7FF}\\u{F900}-\\u{FDCF}\\u{FDF0}-\\u{FFEF}\\u{10000}-\\u{EFFFD}"
#define HOST(c) "(?:\\[(?:" IPV6 "|[vV][0-9A-Fa-f]+\\.[" CHARS ":]+)\\]|(?:[" c "]|" PCT ")*)"
#define AUTHORITY(c) "(?:(?:[" c ":]|" PCT ")*@)?" HOST(c) "(?::\\d*)?"
#define SEGMENT(c) "(?:[" c ":@]|" PCT ")"
#define TAIL(c) "(?:\\?(?:[" c ":@/?]|" PCT ")*)?(?:#(?:[" c ":@/?]|" PCT ")*)?"
#define PATH(c) "(?:/" SEGMENT(c) "*)*"
/* Not empty, which RFC 3986 has room for ("a:"), and validators have not. */
#define HIER(c)                                                                                    \
    "(?://" AUTHORITY(c) PATH(c) "|/(?:" SEGMENT(c) "+" PATH(c) ")?|" SEGMENT(c) "+" PATH(c) ")"
#define RELATIVE(c)                                                                                \
    "(?://" AUTHORITY(c) PATH(c) "|/(?:" SEGMENT(c) "+" PATH(c) ")?|(?:[" c "@]|" PCT              \
                                                                ")+" PATH(c) "|)"
#define SCHEME "[A-Za-z][A-Za-z0-9+.-]*:"
#define URI(c) SCHEME HIER(c) TAIL(c)
#define URI_REFERENCE(c) "(?:" URI(c) "|" RELATIVE(c) TAIL(c) ")"
#define DURATION_TIME "T(?:\\d+H(?:\\d+M(?:\\d+S)?)?|\\d+M(?:\\d+S)?|\\d+S)"
#define DURATION_DATE "(?:\\d+Y(?:\\d+M(?:\\d+D)?)?|\\d+M(?:\\d+D)?|\\d+D)"
#define BASE64 "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
#define POINTER "(?:/(?:[^~/]|~[01])*)*"

static const struct {
    const char *name, *pattern; /* NULL: cannot be enforced */
    const char *narrow;         /* what is written, where that is less than what is valid */
} formats[] = {
    {"date", DATE, NULL},
    {"time", TIME, NULL},
    {"date-time", DATE "[Tt]" TIME, NULL},
    {"duration", "P(?:\\d+W|" DURATION_DATE "(?:" DURATION_TIME ")?|" DURATION_TIME ")", NULL},
    {"email", EMAIL, EMAIL_WRITTEN},
    {"idn-email", "[^@\\s]+@[^@\\s]+", NULL},
    {"hostname", HOSTNAME, NULL},
    {"ipv4", IPV4, NULL},
    {"ipv6", IPV6, NULL},
    {"uuid", "[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}", NULL},
    {"uri", URI(CHARS), NULL},
    {"uri-reference", URI_REFERENCE(CHARS), NULL},
    {"iri", URI(CHARS WIDE), NULL},
    {"iri-reference", URI_REFERENCE(CHARS WIDE), NULL},
    {"byte", BASE64, NULL}, /* of OpenAPI */
    {"json-pointer", POINTER, NULL},
    {"relative-json-pointer", "(?:0|[1-9]\\d*)(?:#|" POINTER ")", NULL},
    {"idn-hostname", NULL, NULL},
    {"regex", NULL, NULL},
    {"uri-template", NULL, NULL},
};

/* *known: a format of the standard. Others are annotations of somebody's own. */
const dfa *schema_format(schema *s, const char *name, bool *known, err *e) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(formats[i].name, name) != 0) continue;
        *known = true;
        if (!formats[i].pattern) {
            err_set(e, ERR_USAGE, "\"%s\" cannot be enforced", name);
            return NULL;
        }
        /* The table's own text is the key under which the automaton is kept. */
        bool narrow = s->ordered && formats[i].narrow;
        str pattern = str_of(narrow ? formats[i].narrow : formats[i].pattern);
        for (size_t k = 0; k < s->n_dfas; k++)
            if (s->dfas[k].format == formats[i].name) return s->dfas[k].d;
        dfa *d = dfa_regex_whole(pattern, e);
        const dfa *kept = schema_keep(s, d, e);
        for (size_t k = 0; kept && k < s->n_dfas; k++)
            if (s->dfas[k].d == kept) s->dfas[k].format = formats[i].name;
        return kept;
    }
    *known = false;
    return NULL;
}
