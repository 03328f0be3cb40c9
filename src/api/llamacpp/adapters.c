/* /lora-adapters: what adapters a model has, and their scales for requests that name none. */
#include "api/adapters.h"
#include "api/api_private.h"
#include "api/llamacpp/llamacpp.h"
#include "base/limits.h"

static void list(api_call *c) {
    hearth_lora_use use[LIMIT_LORAS];
    size_t n = resident_loras(c->api->models, c->model, use);
    jsonw w;
    jsonw_init(&w, &c->out);
    jsonw_array(&w);
    for (size_t i = 0; i < n; i++) {
        hearth_lora_info info;
        hearth_lora_info_get(use[i].lora, &info);
        jsonw_object(&w);
        jsonw_key(&w, "id");
        jsonw_uint(&w, i);
        jsonw_key(&w, "path"); /* the file's name alone: folders are nobody's affair */
        jsonw_str(&w, str_of(resident_lora_file(c->api->models, c->model, i)));
        jsonw_key(&w, "scale");
        jsonw_f32(&w, use[i].scale);
        jsonw_key(&w, "task_name");
        jsonw_str(&w, str_of(info.task));
        jsonw_key(&w, "name");
        jsonw_str(&w, str_of(info.name));
        jsonw_key(&w, "rank");
        jsonw_int(&w, info.rank);
        jsonw_key(&w, "alpha");
        jsonw_f32(&w, info.alpha);
        jsonw_key(&w, "matrices");
        jsonw_int(&w, info.n_matrices);
        jsonw_key(&w, "bytes");
        jsonw_uint(&w, info.memory_bytes);
        jsonw_end(&w);
    }
    jsonw_end(&w);
    api_reply_json(c, 200, NULL);
}

static void set(api_call *c) {
    api_error e = {0};
    hearth_lora_use use[LIMIT_LORAS];
    float scale[LIMIT_LORAS];
    size_t n = resident_loras(c->api->models, c->model, use);
    if (!api_adapters_scale(c, api_get(c->body, "adapters"), "adapters", use, n, &e)) {
        api_reply_error(c, &e);
        return;
    }
    for (size_t i = 0; i < n; i++) scale[i] = use[i].scale;
    residents_lora_scale(c->api->models, c->model, scale);
    buf_puts(&c->out, "{\"success\":true}");
    api_reply_json(c, 200, NULL);
}

static const api_field set_fields[] = {
    {.include = api_model_fields},
    {.name = "adapters",
     .types = API_ARRAY,
     .required = true,
     .items = API_OBJECT,
     .of = api_adapter_fields,
     .len_max = LIMIT_LORAS,
     .doc = "scales for requests that name no adapters; those that are not named here get 0. The "
            "array may be the whole body"},
    {0},
};

const api_route api_routes_llamacpp_adapters[] = {
    {"GET", "/lora-adapters", &api_dialect_llamacpp, API_INFERENCE, .run = list, .model = true,
     .summary = "the adapters (LoRA) of a model, and the scales in force"},
    {"POST", "/lora-adapters", &api_dialect_llamacpp, API_ADMIN, .run = set, .fields = set_fields,
     .list = "adapters", .model = true,
     .summary = "other scales for requests that name no adapters"},
    {0},
};
