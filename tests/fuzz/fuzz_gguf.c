/* Any bytes as a model file: opens or is refused; what opens is read to the last item and block. */
#include "gguf/damage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    err e = {0};
    gguf *g = gguf_open_memory(data, size, "fuzz", &e);
    if (g) {
        survivor_walk(g);
        gguf_close(g);
    } else if (!e.code || !e.msg[0]) {
        abort(); /* refused without a word */
    }
    return 0;
}
