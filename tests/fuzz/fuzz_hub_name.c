/* Any bytes as a name and as a digest: refused, or a name that is read back the same. */
#include <stdio.h>
#include <stdlib.h>

#include "hub/digest.h"
#include "hub/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    hub_name n, again;
    hub_digest d;
    char shown[HUB_NAME_BYTES], path[HUB_NAME_BYTES], blob[HUB_BLOB_PATH_BYTES];
    str text = {(const char *)data, size};
    hub_quant_of(text);
    if (hub_digest_parse(&d, text, NULL) && strlen(hub_digest_path(&d, blob)) != 77) abort();
    if (!hub_name_parse(&n, text, NULL) || n.kind != HUB_NAME) return 0;
    hub_name_path(&n, path);
    if (strstr(path, "/.") || strstr(path, "//") || path[0] == '.' || path[0] == '/') abort();
    if (!hub_name_parse_strict(&again, str_of(hub_name_show(&n, shown)), NULL)) abort();
    if (!hub_name_eq(&n, &again)) abort();
    return 0;
}
