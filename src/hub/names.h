/* Names of models, and the one function that reads them:
 *
 *     qwen3              registry.ollama.ai/library/qwen3:latest
 *     qwen3:8b           ... :8b
 *     user/model[:tag]   registry.ollama.ai/user/model:tag
 *     host/ns/model:tag  another registry; host may have a port; http:// or https:// may stand in
 *                        front of it
 *     hf.co/user/repo    Hugging Face; the tag is a quantisation, such as Q4_K_M.
 *                        huggingface.co/... and https://huggingface.co/user/repo say the same
 *     ./x.gguf, /x/y     a path: begins with "/", "./" or "../", or ends with ".gguf"
 *     https://h/x.gguf   a URL: one of those whose path ends with ".gguf"
 *     bard               the model inside the program
 *
 * A part of a name begins with a letter, a digit or "_", and goes on with those, "-" and ".": no
 * part can leave a folder. Any thread; no state.
 *
 *     hub_name n;
 *     if (!hub_name_parse(&n, str_of(text), &e)) ...
 *     if (n.kind == HUB_NAME) puts(hub_name_show(&n, shown));
 */
#ifndef HEARTH_HUB_NAMES_H
#define HEARTH_HUB_NAMES_H

#include "base/err.h"
#include "base/str.h"

#define HUB_REGISTRY "registry.ollama.ai"
#define HUB_NAMESPACE "library"
#define HUB_TAG "latest"
#define HUB_HUGGING_FACE "hf.co"

#define HUB_HOST_MAX 255
#define HUB_PART_MAX 128
#define HUB_NAME_BYTES (HUB_HOST_MAX + 3 * HUB_PART_MAX + 16)

typedef enum hub_kind { HUB_NAME, HUB_PATH, HUB_URL, HUB_BUNDLED } hub_kind;

typedef struct hub_name {
    hub_kind kind;
    str text; /* as given; borrowed */
    /* of a HUB_NAME: */
    bool http;                   /* http:// was written: only where insecure is asked for */
    char host[HUB_HOST_MAX + 1]; /* lower case; HUB_HUGGING_FACE for both its names */
    char ns[HUB_PART_MAX + 1], model[HUB_PART_MAX + 1], tag[HUB_PART_MAX + 1];
    bool tag_given;
} hub_name;

/* ERR_USAGE says what is wrong. */
bool hub_name_parse(hub_name *n, str text, err *e);
/* The same for what must be a name: a path, a URL or "bard" is ERR_USAGE. For the server, which
 * opens no path that a client names. */
bool hub_name_parse_strict(hub_name *n, str text, err *e);
bool hub_name_is_hugging_face(const hub_name *n);
bool hub_name_eq(const hub_name *a, const hub_name *b); /* two HUB_NAMEs; case does not matter */
/* Short, as people write it, always with its tag: "qwen3:latest", "hf.co/user/repo:Q4_K_M"; of
 * other kinds the text, made printable. Returns dst. */
char *hub_name_show(const hub_name *n, char dst[HUB_NAME_BYTES]);
/* "host/ns/model/tag", beneath a folder of a store. Returns dst. */
char *hub_name_path(const hub_name *n, char dst[HUB_NAME_BYTES]);
/* The name that such a path stands for; false: none does. Its text is empty. */
bool hub_name_of_path(hub_name *n, const char *host, const char *ns, const char *model,
                      const char *tag);
/* "Q4_K_M" at the end of a file's name without ".gguf" and "-00001-of-00003"; n 0: none. */
str hub_quant_of(str file_name);

#endif
