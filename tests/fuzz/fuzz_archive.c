/* Any bytes as an archive that is imported: refused, or a model that is whole; never a file outside
 * the store. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "hub/archive.h"
#include "hub/sweep.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64];
static hub_store *store;

static void end(void) {
    char command[] = "rm";
    char flags[] = "-rf";
    char *const args[] = {command, flags, folder, NULL};
    hub_store_close(store);
    execvp("rm", args);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    hub_name n;
    hub_verify_report r;
    if (!store) {
        snprintf(folder, sizeof folder, "/tmp/hearth-fuzz-%ld", (long)getpid());
        store = hub_store_open(folder, HUB_STORE_EDIT, NULL);
        if (!store) abort();
        atexit(end);
    }
    int fd = memfd_create("archive", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    hub_is_archive(path);
    bool ok = hub_import(store, path, &(hub_archive_options){.replace = true}, &n, NULL);
    close(fd);
    hub_verify_options o = {0};
    if (!hub_store_verify(store, &o, &r, NULL) || r.n_faults) abort();
    if (ok && (r.n_models != 1 || !hub_store_rm(store, &n, NULL, NULL))) abort();
    return 0;
}
