#include "api/adapters.h"

#include <stdio.h>

#include "api/api_private.h"
#include "base/limits.h"

const api_field api_adapter_fields[] = {
    {.name = "id",
     .types = API_INT,
     .required = true,
     .max = LIMIT_LORAS - 1,
     .doc = "its number in /lora-adapters"},
    {.name = "scale",
     .types = API_NUMBER,
     .required = true,
     .min = -LIMIT_LORA_SCALE,
     .max = LIMIT_LORA_SCALE,
     .doc = "1: as it was made; 0: not at all"},
    {0},
};

const api_field api_lora_fields[] = {
    {.name = "lora",
     .types = API_ARRAY,
     .items = API_OBJECT,
     .of = api_adapter_fields,
     .len_max = LIMIT_LORAS,
     .doc = "adapters (/lora-adapters) with their scales for this answer; those not named have no "
            "part in it; none or []: as they are set for everybody"},
    {0},
};

static bool id_check(api_call *c, const char *name, size_t i, int64_t id, size_t n, bool again,
                     api_error *e) {
    char param[100];
    snprintf(param, sizeof param, "%s[%zu].id", name, i);
    if (id >= (int64_t)n)
        return n == 0 ? api_fail(e, 400, "invalid_value", param,
                                 "%s: \"%s\" has no adapters: hearth serve --lora names some",
                                 param, c->model_name)
                      : api_fail(e, 400, "invalid_value", param,
                                 "%s: the adapters of \"%s\" are 0 to %zu, not %lld", param,
                                 c->model_name, n - 1, (long long)id);
    return !again || api_fail(e, 400, "invalid_value", param, "%s: adapter %lld is named twice",
                              param, (long long)id);
}

bool api_adapters_scale(api_call *c, const json_t *list, const char *name, hearth_lora_use *use,
                        size_t n, api_error *e) {
    const json_t *x;
    size_t i;
    bool named[LIMIT_LORAS] = {0};
    for (i = 0; i < n; i++) use[i].scale = 0;
    json_array_foreach(list, i, x) {
        int64_t id = api_get_int(x, "id", 0);
        if (!id_check(c, name, i, id, n, id < LIMIT_LORAS && named[id], e)) return false;
        named[id] = true;
        use[id].scale = (float)api_get_number(x, "scale", 0);
    }
    return true;
}

bool api_adapters_read(api_call *c, const json_t *o, const char *name, const hearth_lora_use **use,
                       size_t *n, api_error *e) {
    hearth_lora_use all[LIMIT_LORAS];
    size_t n_all = c->model ? resident_loras(c->api->models, c->model, all) : 0;
    const json_t *list = api_get(o, name);
    *use = NULL;
    *n = 0;
    if (json_array_size(list) > 0 && !api_adapters_scale(c, list, name, all, n_all, e))
        return false;
    if (n_all == 0) return true;
    hearth_lora_use *mine = arena_calloc(c->arena, n_all, sizeof *mine);
    if (!mine) return api_no_memory(e);
    memcpy(mine, all, n_all * sizeof *mine);
    *use = mine;
    *n = n_all;
    return true;
}

void api_adapters_write(jsonw *w, const hearth_lora_use *use, size_t n) {
    jsonw_array(w);
    for (size_t i = 0; i < n; i++) {
        jsonw_object(w);
        jsonw_key(w, "id");
        jsonw_uint(w, i);
        jsonw_key(w, "scale");
        jsonw_f32(w, use[i].scale);
        jsonw_end(w);
    }
    jsonw_end(w);
}
