/* Scalars as they stand in the file, converted where the value fits. */
#include "gguf/gguf_private.h"

/* A whole number of any width, as magnitude and sign. */
static bool load_whole(const uint8_t *p, gguf_type type, uint64_t *value, bool *negative) {
    int64_t v;
    *negative = false;
    switch (type) {
    case GGUF_U8:
    case GGUF_BOOL: *value = p[0]; return true;
    case GGUF_U16: {
        uint16_t u;
        memcpy(&u, p, sizeof u);
        *value = u;
        return true;
    }
    case GGUF_U32: *value = gguf_load_u32(p); return true;
    case GGUF_U64: *value = gguf_load_u64(p); return true;
    case GGUF_I8: v = (int8_t)p[0]; break;
    case GGUF_I16: {
        int16_t s;
        memcpy(&s, p, sizeof s);
        v = s;
        break;
    }
    case GGUF_I32: v = (int32_t)gguf_load_u32(p); break;
    case GGUF_I64: v = (int64_t)gguf_load_u64(p); break;
    default: return false;
    }
    *negative = v < 0;
    *value = (uint64_t)v;
    return true;
}

bool gguf_scalar_u64(const uint8_t *p, gguf_type type, uint64_t *out) {
    uint64_t v;
    bool negative;
    if (!load_whole(p, type, &v, &negative) || negative) return false;
    *out = v;
    return true;
}

bool gguf_scalar_i64(const uint8_t *p, gguf_type type, int64_t *out) {
    uint64_t v;
    bool negative;
    if (!load_whole(p, type, &v, &negative)) return false;
    if (!negative && v > (uint64_t)INT64_MAX) return false;
    *out = (int64_t)v;
    return true;
}

bool gguf_scalar_f64(const uint8_t *p, gguf_type type, double *out) {
    if (type == GGUF_F32) {
        float f;
        memcpy(&f, p, sizeof f);
        *out = (double)f;
        return true;
    }
    if (type == GGUF_F64) {
        memcpy(out, p, sizeof *out);
        return true;
    }
    uint64_t v;
    bool negative;
    if (!load_whole(p, type, &v, &negative)) return false;
    *out = negative ? (double)(int64_t)v : (double)v;
    return true;
}
