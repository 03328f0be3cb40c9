/* Conversations to prompts: see talk.h. Too long a one loses old turns where the request wants
 * that; see talk_fit.c. */
#include "api/talk.h"

#include <stdio.h>
#include <stdlib.h>

#include "answer/words.h"
#include "api/talk_fit.h"
#include "base/limits.h"
#include "hub/talk.h"

/* ---- what a request says ---- */

const api_field api_talk_fields[] = {
    {.name = "chat_template_kwargs",
     .types = API_OBJECT,
     .doc = "further variables of the model's chat template"},
    {.name = "enable_thinking",
     .types = API_BOOL,
     .doc = "whether the model thinks first, where its template has a switch for it"},
    {.name = "thinking_budget",
     .types = API_INT,
     .min = -1,
     .max = INT32_MAX,
     .doc = "a thought is closed after so many tokens, and the answer begins; -1: it is not"},
    {.name = "reasoning_format",
     .types = API_STRING,
     .words = "none|auto|deepseek",
     .doc = "none: thoughts stay in the text, in the model's own marks"},
    {.name = "parse_tool_calls",
     .types = API_BOOL,
     .doc = "false: calls stay in the text as the model writes them"},
    {.name = "answer_format",
     .types = API_STRING,
     .len_max = 64,
     .doc = "how the model writes calls and thoughts, where its template does not tell"},
    {.name = "continue_final_message",
     .types = API_BOOL,
     .doc = "the answer goes on with the last message instead of beginning one"},
    {.name = "truncation",
     .types = API_STRING,
     .words = "auto|disabled",
     .doc =
         "auto: old turns are left out where the conversation does not fit; else it is an error"},
    {0},
};

api_talk api_talk_default(void) {
    return (api_talk){.how = hearth_chat_default(), .thought_budget = -1};
}

void api_talk_deinit(api_talk *t) {
    tool_ask_deinit(&t->ask);
    json_decref(t->messages);
    t->messages = NULL;
}

static bool format_read(api_talk *t, const json_t *body, api_error *e) {
    char names[400] = "", shown[80];
    size_t n = 0;
    t->format = api_get_text(body, "answer_format", NULL);
    if (!t->format || answer_format_find(t->format)) return true;
    for (const char *const *f = answer_format_names(); *f && n < sizeof names; f++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", *f);
    return api_fail(e, 400, "invalid_value", "answer_format",
                    "answer_format \"%s\" is not known; there are %s",
                    str_printable(str_of(t->format), shown, sizeof shown), names);
}

/* The switch has one meaning wherever it is: a template's variable of that name is the same as the
 * field, which goes before it; both go before the dialect's own. */
static void switch_read(api_talk *t, const json_t *body) {
    const char *effort = api_get_text(t->kwargs, "reasoning_effort", NULL);
    if (effort) t->how.effort = NULL; /* the template's variable goes before the field */
    const json_t *said[] = {api_get(body, "enable_thinking"), api_get(t->kwargs, "enable_thinking"),
                            api_get(t->kwargs, "thinking")};
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        if (!json_is_boolean(said[i])) continue;
        t->how.think = json_is_true(said[i]);
        return;
    }
    if (effort) t->how.think = strcmp(effort, "none") != 0;
}

bool api_talk_read(api_talk *t, const json_t *body, api_error *e) {
    t->kwargs = api_get(body, "chat_template_kwargs");
    switch_read(t, body);
    t->thought_budget = (int32_t)api_get_int(body, "thinking_budget", t->thought_budget);
    t->raw_thoughts = strcmp(api_get_text(body, "reasoning_format", "auto"), "none") == 0;
    t->raw_calls = !api_get_bool(body, "parse_tool_calls", true);
    if (api_get_bool(body, "continue_final_message", false)) t->how.continue_final = true;
    t->truncate = t->truncate || strcmp(api_get_text(body, "truncation", ""), "auto") == 0;
    return format_read(t, body, e);
}

void api_talk_effort(api_talk *t, const char *effort) {
    if (!effort) return;
    t->how.think = strcmp(effort, "none") != 0;
    t->how.effort = t->how.think ? effort : NULL;
}

/* ---- the model's side ---- */

static str template_of(const api_call *c) {
    size_t n = 0;
    const char *p = hearth_model_meta(resident_model(c->model), "tokenizer.chat_template", &n);
    return (str){p ? p : "", n};
}

static bool template_says(const api_call *c, const char *word) {
    return str_find(template_of(c), str_of(word), 0) != (size_t)-1;
}

/* Whether the template has a place for tools; else calls and results are text. */
static bool tools_in_template(const api_call *c) {
    return !resident_is_bare(c->model) &&
           (hearth_chat_abilities(resident_model(c->model)) & HEARTH_CHAT_TOOLS);
}

static const answer_format *format_of(const api_call *c, const api_talk *t) {
    hearth_model_info info;
    hearth_model_info_get(resident_model(c->model), &info);
    if (t->format) return answer_format_find(t->format);
    const answer_format *f = answer_format_of(template_of(c), str_of(info.arch));
    bool told = tools_in_template(c) || !t->ask.tools || answer_has_words(f);
    return told ? f : answer_format_find("generic");
}

static bool is_token(const api_call *c, const char *text) {
    int32_t *ids = NULL;
    size_t n = 0;
    bool ok = hearth_tokenize(resident_model(c->model), text, strlen(text), HEARTH_TOK_SPECIAL,
                              &ids, &n, NULL);
    hearth_free(ids);
    return ok && n == 1;
}

/* Whether this model thinks at all: a format may know of thoughts that its models do without. */
static bool has_thoughts(const api_call *c, const answer_thought_info *info) {
    return info->open || template_says(c, info->begin) || template_says(c, info->end) ||
           (hearth_chat_abilities(resident_model(c->model)) & HEARTH_CHAT_THINK) ||
           is_token(c, info->begin) || is_token(c, info->end);
}

/* Whether it has this word as a text of its own. */
static bool template_has_word(const api_call *c, const char *word) {
    char quoted[2][32];
    snprintf(quoted[0], sizeof quoted[0], "'%s'", word);
    snprintf(quoted[1], sizeof quoted[1], "\"%s\"", word);
    return template_says(c, quoted[0]) || template_says(c, quoted[1]);
}

/* Every effort that programs know, in the words that this template knows; low, medium and high are
 * known to all that have any. */
static const char *effort_word(const api_call *c, const char *effort) {
    if (!effort || template_has_word(c, effort)) return effort;
    if (strcmp(effort, "minimal") == 0) return "low";
    if (strcmp(effort, "xhigh") == 0 && template_has_word(c, "max")) return "max";
    return strcmp(effort, "xhigh") == 0 || strcmp(effort, "max") == 0 ? "high" : effort;
}

/* ---- rendering ---- */

typedef struct ids_list {
    int32_t *id; /* owned */
    size_t n, cap;
} ids_list;

/* Appends the tokens of a text; flags: HEARTH_TOK_SPECIAL and its kin. */
static bool ids_add(api_call *c, ids_list *l, str text, unsigned flags, hearth_err *he) {
    int32_t *more;
    size_t n;
    if (!hearth_tokenize(resident_model(c->model), text.p, text.n, flags, &more, &n, he))
        return false;
    if (l->n + n > l->cap) {
        size_t cap = 2 * (l->n + n);
        int32_t *grown = realloc(l->id, cap * sizeof *grown);
        if (!grown) {
            hearth_free(more);
            return false;
        }
        l->id = grown;
        l->cap = cap;
    }
    memcpy(l->id + l->n, more, n * sizeof *more);
    l->n += n;
    hearth_free(more);
    return true;
}

static bool chatml_add(api_call *c, ids_list *l, buf *text, str s, unsigned flags, hearth_err *he) {
    return buf_put_str(text, s) && ids_add(c, l, s, flags, he);
}

/* A file without a template is served as chatml. What people wrote is tokenised by itself, so that
 * it cannot make a control token. */
static bool chatml_render(api_call *c, const json_t *messages, const hearth_chat *how,
                          hearth_chat_prompt *out, api_error *e) {
    ids_list l = {0};
    buf all;
    hearth_err he = {.code = HEARTH_FAILED, .msg = "out of memory"};
    const json_t *m;
    size_t i, n = json_array_size(messages);
    bool ok = true;
    buf_init(&all, LIMIT_CALL_BYTES);
    json_array_foreach(messages, i, m) {
        char head[80];
        const char *text;
        bool open = how->continue_final && i + 1 == n;
        snprintf(head, sizeof head, "<|im_start|>%.40s\n", api_get_text(m, "role", "user"));
        ok = ok && api_content_text(c, api_get(m, "content"), "content", &text, e) &&
             chatml_add(c, &l, &all, str_of(head), HEARTH_TOK_SPECIAL | (i ? 0u : HEARTH_TOK_BOS),
                        &he) &&
             chatml_add(c, &l, &all, str_of(text), 0, &he) &&
             (open || chatml_add(c, &l, &all, STR("<|im_end|>\n"), HEARTH_TOK_SPECIAL, &he));
    }
    if (how->answer && !how->continue_final)
        ok = ok && chatml_add(c, &l, &all, STR("<|im_start|>assistant\n"), HEARTH_TOK_SPECIAL, &he);
    *out = (hearth_chat_prompt){.ids = l.id, .n_ids = l.n};
    out->text = buf_take(&all, &out->text_len);
    buf_deinit(&all);
    if (ok && out->text) return true;
    hearth_chat_prompt_free(out);
    return e->status ? false : api_fail(e, 400, "invalid_value", "messages", "%s", he.msg);
}

/* The template was read when the model was opened: what it cannot do with this conversation, it can
 * with another. */
static bool template_failed(const hearth_err *he, api_error *e) {
    bool refused = he->code != HEARTH_DAMAGED;
    return api_fail(e, refused ? 400 : 500, refused ? "invalid_value" : "server_error",
                    refused ? "messages" : NULL, "%s", he->msg);
}

static bool template_render(api_call *c, const api_talk *t, const json_t *messages,
                            const json_t *tools, hearth_chat_prompt *out, api_error *e) {
    hearth_err he = {0};
    hearth_chat chat = t->how;
    char *text = json_dumps(messages, JSON_COMPACT), *with = NULL, *vars = NULL;
    if (tools) with = json_dumps(tools, JSON_COMPACT);
    if (t->kwargs) vars = json_dumps(t->kwargs, JSON_COMPACT);
    bool ok = text && (with || !tools) && (vars || !t->kwargs);
    chat.messages = text;
    chat.tools = with;
    chat.kwargs = vars;
    chat.messages_len = text ? strlen(text) : 0;
    chat.tools_len = with ? strlen(with) : 0;
    chat.kwargs_len = vars ? strlen(vars) : 0;
    chat.effort = effort_word(c, chat.effort);
    if (!ok) api_no_memory(e);
    else if (!(ok = hearth_chat_render(resident_model(c->model), &chat, out, &he)))
        template_failed(&he, e);
    free(text);
    free(with);
    free(vars);
    return ok;
}

/* By the template that the model was made with. */
static bool recipe_render(api_call *c, const api_talk *t, json_t *messages, const json_t *tools,
                          hearth_chat_prompt *out, api_error *e) {
    err why = {0};
    json_t *m;
    size_t i;
    json_array_foreach(messages, i, m) { /* content that is a list of parts becomes one text */
        const char *text;
        if (!api_content_text(c, api_get(m, "content"), "content", &text, e)) return false;
        if (json_object_set_new(m, "content", json_string(text)) != 0) return api_no_memory(e);
    }
    if (hub_talk_encode(resident_model(c->model), resident_recipe(c->model)->template, messages,
                        tools, &t->how, out, &why))
        return true;
    return api_fail(e, 400, "invalid_value", "messages", "%s", why.msg);
}

/* With what the model was made with in front. */
static bool recipe_join(api_call *c, api_talk *t, api_error *e) {
    const hub_recipe *r = resident_recipe(c->model);
    if (!r->system && !r->messages) return true;
    json_t *all = hub_recipe_talk(r, t->messages);
    if (!all) return api_no_memory(e);
    json_decref(t->messages);
    t->messages = all;
    return true;
}

static bool has_calls(const json_t *messages) {
    const json_t *m;
    size_t i;
    json_array_foreach(messages, i, m) {
        if (api_get(m, "tool_calls") || strcmp(api_get_text(m, "role", ""), "tool") == 0)
            return true;
    }
    return false;
}

/* These messages as the model reads them. They are changed. */
static bool render(api_call *c, const api_talk *t, json_t *messages, hearth_chat_prompt *out,
                   api_error *e) {
    const json_t *tools = t->ask.tools;
    const hub_recipe *r = resident_recipe(c->model);
    bool own = hub_talk_wins(r, resident_model(c->model));
    bool placed = own ? strstr(r->template, "Tools") || strstr(r->template, "tools")
                      : tools_in_template(c);
    bool as_text = !placed && (tools || has_calls(messages));
    if (as_text && !tool_turns_as_text(messages, format_of(c, t), tools, e)) return false;
    if (!as_text && template_says(c, "length != 9") && !tool_ids_shorten(messages))
        return api_no_memory(e);
    if (own) return recipe_render(c, t, messages, as_text ? NULL : tools, out, e);
    if (resident_is_bare(c->model)) return chatml_render(c, messages, &t->how, out, e);
    return template_render(c, t, messages, as_text ? NULL : tools, out, e);
}

bool talk_render_without(api_call *c, const api_talk *t, const int *unit, int n_drop,
                         hearth_chat_prompt *out, api_error *e) {
    json_t *kept = json_array(), *m;
    size_t i;
    bool ok = kept != NULL;
    json_array_foreach(t->messages, i, m) {
        bool drop = unit && unit[i] >= 0 && unit[i] < n_drop;
        if (!drop) ok = ok && json_array_append_new(kept, json_deep_copy(m)) == 0;
    }
    ok = ok ? render(c, t, kept, out, e) : api_no_memory(e);
    json_decref(kept);
    return ok;
}

bool api_talk_render(api_call *c, api_talk *t, hearth_chat_prompt *out, api_error *e) {
    return recipe_join(c, t, e) && tool_turns_settle(t->messages, e) &&
           tool_choice_settle(&t->ask, e) && talk_render_without(c, t, NULL, 0, out, e);
}

/* ---- what the answer must obey, and how it is taken apart ---- */

static bool obey_rules(api_call *c, const answer_how *how, const answer_demand *d,
                       const char *param, hearth_params *p, api_error *e) {
    err why = {0};
    buf rules;
    buf_init(&rules, LIMIT_SCHEMA_BYTES * 2u);
    bool ok = answer_rules(how, d, &rules, &why) ||
              api_fail(e, why.code == ERR_USAGE ? 400 : 503, "unsupported_value", param, "%s: %s",
                       param, why.msg);
    if (ok && rules.failed) ok = api_no_memory(e);
    if (ok && rules.len > 0)
        ok = api_obey_text(c, HEARTH_GRAMMAR_RULES, rules.data, rules.len, param, p, e);
    buf_deinit(&rules);
    return ok;
}

static bool is_strict(const json_t *tools) {
    const json_t *tool;
    size_t i;
    json_array_foreach(tools, i, tool) {
        if (api_get_bool(api_get(tool, "function"), "strict", false)) return true;
    }
    return false;
}

/* A schema alone is obeyed as it is; with tools or thoughts it has rules around it. Tools whose
 * schemas cannot be enforced, and need not be, take any object. */
static bool obey(api_call *c, const api_talk *t, const answer_how *how, bool thinks,
                 hearth_params *p, api_error *e) {
    bool wants_form = t->schema || t->any_json;
    if (t->gbnf && (wants_form || how->tools || (thinks && t->how.think != 0)))
        return api_fail(e, 400, "invalid_value", "grammar",
                        "grammar is for all of the answer: without tools, another form, or a "
                        "thought before it (\"reasoning_effort\": \"none\")");
    if (t->gbnf)
        return api_obey_text(c, HEARTH_GRAMMAR_GBNF, t->gbnf, strlen(t->gbnf), "grammar", p, e);
    if (!how->tools && !wants_form) return true;
    if (!how->tools && !thinks) return api_obey_schema(c, t->schema, t->format_param, p, e);
    answer_demand d = {.choice = how->tools ? t->ask.choice : ANSWER_CHOICE_NONE,
                       .name = t->ask.name,
                       .parallel = !t->ask.one_call,
                       .strict = is_strict(how->tools),
                       .no_thought = !thinks || t->how.think == 0,
                       .schema = t->schema,
                       .any_json = t->any_json};
    const char *param = how->tools ? "tools" : t->format_param;
    if (obey_rules(c, how, &d, param, p, e)) return true;
    if (e->status != 400 || !how->tools || d.strict) return false;
    api_error first = *e;
    *e = (api_error){0};
    d.loose = true;
    if (!obey_rules(c, how, &d, param, p, e)) {
        *e = first;
        return false;
    }
    char text[sizeof first.msg + 64];
    snprintf(text, sizeof text, "%s: arguments are any JSON object", first.msg);
    api_warn(c, text);
    return true;
}

static void think_within(const api_talk *t, const answer_thought_info *info, hearth_params *p) {
    if (t->thought_budget < 0) return;
    p->thought_budget = t->thought_budget;
    p->thought_begin = info->begin;
    p->thought_end = info->end;
    p->thought_close = info->close;
    p->thought_open = info->open;
}

static bool take_apart(api_call *c, const api_talk *t, str prompt, hearth_params *p, api_error *e) {
    enum { TAIL = 256 }; /* enough for any marker */
    size_t n = prompt.n < TAIL ? prompt.n : TAIL;
    answer_thought_info info = {0};
    answer_how how = {.format = format_of(c, t),
                      .tools = t->ask.callable ? t->ask.callable : t->ask.tools,
                      .split_thought = !t->raw_thoughts};
    how.prompt_tail = (str){arena_strdup(c->arena, (str){prompt.p + prompt.n - n, n}), n};
    if (!how.prompt_tail.p) return api_no_memory(e);
    bool thinks = answer_thought(how.format, how.prompt_tail, &info) && has_thoughts(c, &info);
    if (thinks) think_within(t, &info, p);
    if (!obey(c, t, &how, thinks, p, e)) return false;
    c->must_call = t->ask.choice == ANSWER_CHOICE_REQUIRED || t->ask.choice == ANSWER_CHOICE_NAMED;
    if (t->raw_calls) how.tools = NULL;
    if (!t->ask.tools && !thinks) return true;
    answer_how *kept = arena_alloc(c->arena, sizeof *kept);
    if (!kept) return api_no_memory(e);
    *kept = how;
    c->apart = kept;
    c->tools = json_incref((json_t *)how.tools); /* for as long as the call lives */
    p->special_text = true;
    return true;
}

bool api_talk_begin(api_call *c, api_talk *t, hearth_params *p, api_prompt *out, api_error *e) {
    hearth_chat_prompt text = {0};
    if (!recipe_join(c, t, e) || !tool_turns_settle(t->messages, e) ||
        !tool_choice_settle(&t->ask, e))
        return false;
    int32_t max_tokens = p ? p->max_tokens : -1;
    bool ok = t->truncate ? talk_fit(c, t, max_tokens, &text, e)
                          : talk_render_without(c, t, NULL, 0, &text, e);
    ok = ok && (!p || take_apart(c, t, (str){text.text, text.text_len}, p, e));
    if (ok) {
        *out = (api_prompt){text.ids, text.n_ids};
        text.ids = NULL;
    }
    hearth_chat_prompt_free(&text);
    return ok;
}
