/* Tools and choices in; see tools.h. What was called before is in tool_turns.c. */
#include "api/tools.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

const api_field tool_function_fields[] = {
    {.name = "name", .types = API_STRING, .required = true, .len_min = 1, .len_max = 256},
    {.name = "description", .types = API_STRING},
    {.name = "parameters", .types = API_OBJECT, .doc = "a JSON Schema"},
    {.name = "strict",
     .types = API_BOOL,
     .doc = "what cannot be enforced in the schema is an error"},
    {0},
};

const api_field tool_called_fields[] = {
    {.name = "name", .types = API_STRING, .required = true},
    {.name = "arguments", .types = API_STRING | API_OBJECT},
    {0},
};

const api_field tool_call_fields[] = {
    {.name = "id", .types = API_STRING},
    {.name = "type", .types = API_STRING},
    {.name = "function", .types = API_OBJECT, .of = tool_called_fields, .required = true},
    {0},
};

void tool_ask_deinit(tool_ask *t) {
    json_decref(t->tools);
    json_decref(t->callable);
    *t = (tool_ask){0};
}

/* ---- tools ---- */

static json_t *tool_named(json_t *tools, const char *name) {
    json_t *t;
    size_t i;
    json_array_foreach(tools, i, t) {
        if (strcmp(api_get_text(api_get(t, "function"), "name", ""), name) == 0) return t;
    }
    return NULL;
}

bool tool_add(tool_ask *t, const char *name, const char *description, json_t *parameters,
              bool strict, const char *where, api_error *e) {
    char shown[80];
    if (tool_named(t->tools, name))
        return api_fail(e, 400, "invalid_value", where, "%s: there is a tool \"%s\" already", where,
                        str_printable(str_of(name), shown, sizeof shown));
    json_t *f = json_pack("{s:s}", "name", name);
    bool ok = f != NULL;
    if (description)
        ok = ok && json_object_set_new(f, "description", json_string(description)) == 0;
    ok = ok && json_object_set_new(
                   f, "parameters",
                   parameters ? json_incref(parameters)
                              : json_pack("{s:s, s:{}}", "type", "object", "properties")) == 0;
    if (strict) ok = ok && json_object_set_new(f, "strict", json_true()) == 0;
    if (!t->tools) t->tools = json_array();
    ok = ok && t->tools &&
         json_array_append_new(t->tools,
                               json_pack("{s:s, s:O}", "type", "function", "function", f)) == 0;
    json_decref(f);
    return ok || api_no_memory(e);
}

bool tools_read(tool_ask *t, const json_t *tools, api_error *e) {
    const json_t *one;
    size_t i;
    json_array_foreach(tools, i, one) {
        char where[40], shown[60];
        const json_t *f = api_get(one, "function");
        const char *type = api_get_text(one, "type", "function");
        snprintf(where, sizeof where, "tools[%zu]", i);
        if (strcmp(type, "function") != 0)
            return api_fail(e, 400, "unsupported_value", where,
                            "%s: tools of type \"%s\" cannot be used here, only functions", where,
                            str_printable(str_of(type), shown, sizeof shown));
        if (!f) return api_fail(e, 400, "missing_field", where, "%s.function is missing", where);
        if (!tool_add(t, api_get_text(f, "name", ""), api_get_text(f, "description", NULL),
                      api_get(f, "parameters"), api_get_bool(f, "strict", false), where, e))
            return false;
    }
    return true;
}

/* ---- the choice ---- */

bool tool_choice_name(tool_ask *t, const char *name, const char *param, api_error *e) {
    char shown[80];
    if (!name || !tool_named(t->tools, name))
        return api_fail(e, 400, "invalid_value", param,
                        "%s names \"%s\", which is not among the tools", param,
                        str_printable(str_of(name), shown, sizeof shown));
    t->choice = ANSWER_CHOICE_NAMED;
    t->name = name;
    return true;
}

/* The name in {"type": "function", "function": {"name": ..}} or {"type": "function", "name":
 * ..}. */
static const char *name_in(const json_t *o) {
    return api_get_text(api_get(o, "function"), "name", api_get_text(o, "name", NULL));
}

static bool allowed_read(tool_ask *t, const json_t *allowed, api_error *e) {
    const char *mode = api_get_text(allowed, "mode", "auto");
    const json_t *one;
    size_t i;
    json_decref(t->callable);
    t->callable = json_array();
    if (!t->callable) return api_no_memory(e);
    json_array_foreach(api_get(allowed, "tools"), i, one) {
        char shown[80];
        const char *type = api_get_text(one, "type", "function"), *name = name_in(one);
        if (strcmp(type, "function") != 0 && strcmp(type, "custom") != 0) continue;
        json_t *tool = name ? tool_named(t->tools, name) : NULL;
        if (!tool)
            return api_fail(e, 400, "invalid_value", "tool_choice",
                            "tool_choice allows \"%s\", which is not among the tools",
                            str_printable(str_of(name), shown, sizeof shown));
        if (json_array_append(t->callable, tool) != 0) return api_no_memory(e);
    }
    if (json_array_size(t->callable) == 0)
        return api_fail(e, 400, "invalid_value", "tool_choice", "tool_choice allows no tool");
    t->choice = strcmp(mode, "required") == 0 ? ANSWER_CHOICE_REQUIRED : ANSWER_CHOICE_AUTO;
    return true;
}

bool tool_choice_read(tool_ask *t, const json_t *choice, api_error *e) {
    char shown[60];
    const char *word = json_is_string(choice) ? json_string_value(choice) : NULL;
    const char *type = api_get_text(choice, "type", word ? word : "auto");
    if (strcmp(type, "auto") == 0) t->choice = ANSWER_CHOICE_AUTO;
    else if (strcmp(type, "none") == 0) t->choice = ANSWER_CHOICE_NONE;
    else if (strcmp(type, "required") == 0 || strcmp(type, "any") == 0)
        t->choice = ANSWER_CHOICE_REQUIRED;
    else if (strcmp(type, "function") == 0 || strcmp(type, "tool") == 0 ||
             strcmp(type, "custom") == 0) {
        return tool_choice_name(t, name_in(choice), "tool_choice", e);
    } else if (strcmp(type, "allowed_tools") == 0) {
        const json_t *inner = api_get(choice, "allowed_tools");
        return allowed_read(t, inner ? inner : choice, e);
    } else {
        return api_fail(e, 400, "unsupported_value", "tool_choice",
                        "tool_choice: \"%s\" cannot be chosen here",
                        str_printable(str_of(type), shown, sizeof shown));
    }
    return true;
}

bool tool_choice_settle(tool_ask *t, api_error *e) {
    if (json_array_size(t->tools) == 0 || t->choice == ANSWER_CHOICE_NONE) {
        if (t->choice == ANSWER_CHOICE_REQUIRED)
            return api_fail(e, 400, "invalid_value", "tool_choice",
                            "tool_choice asks for a call, and there are no tools");
        tool_ask_deinit(t);
        t->choice = ANSWER_CHOICE_NONE;
    }
    return true;
}
