/* Any bytes as the beginning of a page's file: refused with a word, or read into what writes the
 * same bytes. */
#include <stdlib.h>
#include <string.h>

#include "engine/disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    disk_header h;
    err e = {0};
    uint8_t again[DISK_HEADER];
    uint64_t file_bytes = 0; /* the last eight bytes say how long the file is said to be */
    if (size >= 8) memcpy(&file_bytes, data + size - 8, 8);
    if (!disk_header_read(&h, data, size, file_bytes, &e)) {
        if (!e.code || !e.msg[0]) abort(); /* refused without a word */
        return 0;
    }
    if (h.payload + DISK_HEADER + DISK_CODE != file_bytes) abort();
    disk_header_write(&h, again);
    if (memcmp(data, again, 8 + 4 + 4 + 32 + 8 + 16 + DISK_ID) != 0) abort();
    return 0;
}
