/* Any bytes as a manifest: refused, or one that is written and read back the same. */
#include <stdio.h>
#include <stdlib.h>

#include "hub/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    hub_manifest m, again;
    buf b;
    if (!hub_manifest_parse(&m, (str){(const char *)data, size}, NULL)) return 0;
    buf_init(&b, 64u << 20);
    hub_manifest_write(&b, &m);
    if (!hub_manifest_parse(&again, buf_str(&b), NULL)) abort();
    if (again.n != m.n || again.bytes != m.bytes) abort();
    for (size_t i = 0; i < m.n; i++)
        if (!hub_digest_eq(&m.layer[i].digest, &again.layer[i].digest)) abort();
    hub_manifest_deinit(&again);
    hub_manifest_deinit(&m);
    buf_deinit(&b);
    return 0;
}
