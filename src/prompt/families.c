/* The families, one function each: the rule that the templates of a family state in Jinja, with
 * the details in which they differ looked up in the template's text. Exact for conversations of
 * system, user and assistant messages; tools and reasoning switches belong to the template
 * engine.
 *
 * To add one: a write function, what it is known by, and a row in the table at the end (more
 * special rows first).
 */
#include <time.h>

#include "prompt/prompt_private.h"

/* The system messages in front of a conversation, as one text is rare: templates take the first. */
static size_t leading_system(const prompt_writer *w) {
    return w->n > 0 && is_system(&w->m[0]) ? 1 : 0;
}

static bool has_control(const tok *t, const char *name) {
    int32_t id = tok_find(t, str_of(name));
    return id >= 0 && (tok_attr_of(t, id) == TOK_CONTROL || tok_attr_of(t, id) == TOK_USER_DEFINED);
}

static str trim_newlines_left(str s) {
    while (s.n > 0 && *s.p == '\n') s.p++, s.n--;
    return s;
}

/* What an answer said after its reasoning. */
static str after_think(str s) {
    for (size_t at; (at = str_find(s, STR("</think>"), 0)) != (size_t)-1;) {
        s.p += at + 8;
        s.n -= at + 8;
    }
    return s;
}

/* ---- chatml: <|im_start|>role \n text <|im_end|> \n ---- */

/* The system text that a template writes when the conversation has none: the literal between
 * "<|im_start|>system\n" and "<|im_end|>" inside one quoted string. Empty when there is no such
 * thing. */
static str chatml_default_system(str source) {
    static const char *const heads[] = {"<|im_start|>system\\n", "<|im_start|>system\n"};
    for (int h = 0; h < 2; h++) {
        str head = str_of(heads[h]);
        for (size_t at = 0; (at = str_find(source, head, at)) != (size_t)-1; at += head.n) {
            size_t start = at + head.n;
            size_t end = str_find(source, STR("<|im_end|>"), start);
            if (end == (size_t)-1) continue;
            str text = {source.p + start, end - start};
            if (!source_has(text, "'") && !source_has(text, "\"") && !source_has(text, "{"))
                return text;
        }
    }
    return (str){"", 0};
}

/* Writes the inside of a Jinja string literal. */
static void put_literal(prompt_writer *w, str s) {
    size_t from = 0;
    for (size_t i = 0; i + 1 < s.n; i++) {
        if (s.p[i] != '\\') continue;
        put_text_str(w, (str){s.p + from, i - from});
        char c = s.p[++i];
        put_text_str(w, c == 'n' ? STR("\n") : c == 't' ? STR("\t") : (str){s.p + i, 1});
        from = i + 1;
    }
    put_text_str(w, (str){s.p + from, s.n - from});
}

static void chatml_turn(prompt_writer *w, const char *role, str text) {
    put_control(w, "<|im_start|>");
    put_text(w, role);
    put_text(w, "\n");
    put_content(w, text);
    put_control(w, "<|im_end|>");
    put_text(w, "\n");
}

static bool chatml_write(prompt_writer *w) {
    str source = w->p->source;
    bool hides_thoughts = source_has(source, "split('</think>')");
    size_t last_user = w->n;
    for (size_t i = 0; i < w->n; i++)
        if (is_role(&w->m[i], "user")) last_user = i;
    put_bos(w);
    str preset = chatml_default_system(source);
    if (preset.n > 0 && leading_system(w) == 0) {
        put_control(w, "<|im_start|>");
        put_text(w, "system\n");
        put_literal(w, preset);
        put_control(w, "<|im_end|>");
        put_text(w, "\n");
    }
    for (size_t i = 0; i < w->n; i++) {
        str text = w->m[i].text;
        bool answer = is_role(&w->m[i], "assistant");
        if (answer && hides_thoughts && i < last_user && source_has(text, "</think>"))
            text = trim_newlines_left(after_think(text));
        chatml_turn(w, is_system(&w->m[i]) ? "system" : answer ? "assistant" : "user", text);
    }
    if (w->how->open_answer) {
        put_control(w, "<|im_start|>");
        put_text(w, "assistant\n");
    }
    return true;
}

static bool chatml_template(str s) {
    return source_has(s, "<|im_start|>");
}
static bool chatml_vocab(const tok *t) {
    return has_control(t, "<|im_start|>");
}

/* ---- smollm3: chatml with a system message that always tells the reasoning mode ---- */

/* The literal of `{{- "..." -}}` that begins with head, in the template's text. */
static str quoted_from(str source, const char *head) {
    size_t at = str_find(source, str_of(head), 0);
    if (at == (size_t)-1) return (str){"", 0};
    size_t end = at;
    while (end < source.n && source.p[end] != '"') end += source.p[end] == '\\' ? 2 : 1;
    return (str){source.p + at, (end < source.n ? end : source.n) - at};
}

static str trim_right(str s) {
    while (s.n > 0 && strchr(" \t\r\n\f\v", s.p[s.n - 1])) s.n--;
    return s;
}

/* The system text without the words "/no_think" and "/think". */
static void smollm3_instructions(str system, buf *out) {
    static const char *const words[] = {"/no_think", "/think"};
    buf_init(out, system.n + 1);
    buf_put_str(out, system);
    for (int k = 0; k < 2; k++) {
        str word = str_of(words[k]);
        for (size_t at; (at = str_find(buf_str(out), word, 0)) != (size_t)-1;) {
            memmove(out->data + at, out->data + at + word.n, out->len - at - word.n);
            out->len -= word.n;
        }
    }
    out->len = trim_right(buf_str(out)).n;
}

static void smollm3_head(prompt_writer *w, str system, bool think) {
    buf own;
    smollm3_instructions(system, &own);
    if (own.failed) w->out->text.failed = true;
    put_control(w, "<|im_start|>");
    put_text(w, "system\n## Metadata\n\nKnowledge Cutoff Date: June 2025\nReasoning Mode: ");
    put_text(w, think ? "/think\n\n" : "/no_think\n\n");
    put_text(w, "## Custom Instructions\n\n");
    if (own.len > 0) {
        put_content(w, buf_str(&own));
        put_text(w, "\n\n");
    } else if (think) {
        put_literal(w, quoted_from(w->p->source, "You are a helpful AI assistant named SmolLM"));
    } else {
        put_text(w, "You are a helpful AI assistant named SmolLM, trained by Hugging Face.\n\n");
    }
    put_control(w, "<|im_end|>");
    put_text(w, "\n");
    buf_deinit(&own);
}

static bool smollm3_write(prompt_writer *w) {
    size_t skip = leading_system(w);
    str system = skip ? w->m[0].text : (str){"", 0};
    bool think = !source_has(system, "/no_think");
    put_bos(w);
    smollm3_head(w, system, think);
    for (size_t i = skip; i < w->n; i++) {
        if (is_system(&w->m[i]))
            return err_set(w->e, ERR_USAGE, "a system message must come first");
        bool answer = is_role(&w->m[i], "assistant");
        put_control(w, "<|im_start|>");
        put_text(w, answer ? "assistant\n" : "user\n");
        if (answer && !think) put_text(w, "<think>\n\n</think>\n");
        put_content(w, answer ? trim_newlines_left(w->m[i].text) : w->m[i].text);
        put_control(w, "<|im_end|>");
        put_text(w, "\n");
    }
    if (w->how->open_answer) {
        put_control(w, "<|im_start|>");
        put_text(w, think ? "assistant\n" : "assistant\n<think>\n\n</think>\n");
    }
    return true;
}

static bool smollm3_template(str s) {
    return source_has(s, "named SmolLM") && source_has(s, "Reasoning Mode: ");
}

/* ---- llama3: <|start_header_id|>role<|end_header_id|> \n\n text <|eot_id|> ---- */

static void llama3_head(prompt_writer *w, const char *role) {
    put_control(w, "<|start_header_id|>");
    put_text(w, role);
    put_control(w, "<|end_header_id|>");
    put_text(w, "\n\n");
}

static bool llama3_write(prompt_writer *w) {
    str source = w->p->source;
    put_bos(w);
    size_t i = 0;
    if (source_has(source, "Cutting Knowledge Date")) {
        char day[32] = "26 Jul 2024";
        if (source_has(source, "strftime_now")) {
            struct tm tm;
            time_t now = (time_t)w->how->now;
            if (gmtime_r(&now, &tm)) strftime(day, sizeof day, "%d %b %Y", &tm);
        }
        llama3_head(w, "system");
        put_text(w, "Cutting Knowledge Date: December 2023\nToday Date: ");
        put_text(w, day);
        put_text(w, "\n\n");
        if (leading_system(w)) put_content(w, str_trim(w->m[i++].text));
        put_control(w, "<|eot_id|>");
    }
    for (; i < w->n; i++) {
        bool answer = is_role(&w->m[i], "assistant");
        llama3_head(w, is_system(&w->m[i]) ? "system" : answer ? "assistant" : "user");
        put_content(w, str_trim(w->m[i].text));
        put_control(w, "<|eot_id|>");
    }
    if (w->how->open_answer) llama3_head(w, "assistant");
    return true;
}

static bool llama3_template(str s) {
    return source_has(s, "<|start_header_id|>");
}
static bool llama3_vocab(const tok *t) {
    return has_control(t, "<|start_header_id|>") && has_control(t, "<|eot_id|>");
}

/* ---- gemma: <start_of_turn>user \n text <end_of_turn> \n; a system text opens the first turn
 * ---- */

static bool gemma_write(prompt_writer *w) {
    if (!must_alternate(w)) return false;
    put_bos(w);
    size_t first = leading_system(w);
    if (first > 0 && w->n == 1)
        return err_set(w->e, ERR_USAGE, "a system message alone cannot be written");
    for (size_t i = first; i < w->n; i++) {
        put_control(w, "<start_of_turn>");
        put_text(w, is_role(&w->m[i], "assistant") ? "model\n" : "user\n");
        if (i == first && first > 0) {
            put_content(w, w->m[0].text);
            put_text(w, "\n\n");
        }
        put_content(w, str_trim(w->m[i].text));
        put_control(w, "<end_of_turn>");
        put_text(w, "\n");
    }
    if (w->how->open_answer) {
        put_control(w, "<start_of_turn>");
        put_text(w, "model\n");
    }
    return true;
}

static bool gemma_template(str s) {
    return source_has(s, "<start_of_turn>");
}
static bool gemma_vocab(const tok *t) {
    return has_control(t, "<start_of_turn>");
}

/* ---- phi, zephyr: <|role|> \n text <|end|> \n ---- */

static const char *tagged_role(const prompt_message *m) {
    return is_system(m) ? "<|system|>" : is_role(m, "assistant") ? "<|assistant|>" : "<|user|>";
}

static bool phi_write(prompt_writer *w) {
    put_bos(w);
    for (size_t i = 0; i < w->n; i++) {
        if (is_system(&w->m[i]) && w->m[i].text.n == 0) continue;
        put_control(w, tagged_role(&w->m[i]));
        put_text(w, "\n");
        put_content(w, w->m[i].text);
        put_control(w, "<|end|>");
        put_text(w, "\n");
    }
    if (w->how->open_answer) {
        put_control(w, "<|assistant|>");
        put_text(w, "\n");
    } else if (source_has(w->p->source, "{{ eos_token }}")) {
        put_eos(w);
    }
    return true;
}

static bool phi_template(str s) {
    return source_has(s, "<|user|>") && source_has(s, "<|end|>");
}
static bool phi_vocab(const tok *t) {
    return has_control(t, "<|user|>") && has_control(t, "<|end|>") &&
           has_control(t, "<|assistant|>");
}

static bool zephyr_write(prompt_writer *w) {
    put_bos(w);
    for (size_t i = 0; i < w->n; i++) {
        put_control(w, tagged_role(&w->m[i]));
        put_text(w, "\n");
        put_content(w, w->m[i].text);
        put_eos(w);
        put_text(w, "\n");
    }
    if (w->how->open_answer) {
        put_control(w, "<|assistant|>");
        put_text(w, "\n");
    }
    return true;
}

static bool zephyr_template(str s) {
    return source_has(s, "<|user|>") && source_has(s, "<|assistant|>") &&
           source_has(s, "eos_token");
}

/* ---- bard: <|role|> text <|end|> ---- */

static bool bard_write(prompt_writer *w) {
    put_bos(w);
    for (size_t i = 0; i < w->n; i++) {
        bool answer = is_role(&w->m[i], "assistant");
        put_control(w, is_system(&w->m[i]) ? "<|system|>" : answer ? "<|bard|>" : "<|user|>");
        put_content(w, str_trim(w->m[i].text));
        put_control(w, "<|end|>");
    }
    if (w->how->open_answer) put_control(w, "<|bard|>");
    return true;
}

static bool bard_template(str s) {
    return source_has(s, "<|bard|>");
}
static bool bard_vocab(const tok *t) {
    return has_control(t, "<|bard|>");
}

/* ---- mistral and llama2: [INST] text [/INST] answer </s> ---- */

/* How the versions of Mistral's template differ. */
typedef struct inst_style {
    const char *open, *close; /* around the text, with the spaces that this version has */
    const char *gap;          /* before an answer */
    bool system_tag;          /* [SYSTEM_PROMPT]; else the system text goes into a user message */
    bool system_last;         /* the last one, not the first */
} inst_style;

static inst_style mistral_style(str s) {
    if (s.n == 0) return (inst_style){"", "", "", false, true};
    bool last = source_has(s, "loop.last and system_message");
    if (source_has(s, "[SYSTEM_PROMPT]")) {
        bool spaced = source_has(s, "[SYSTEM_PROMPT] ");
        return (inst_style){spaced ? " " : "", "", spaced ? " " : "", true, false};
    }
    if (source_has(s, " [INST] ")) return (inst_style){" ", " ", " ", false, last};
    if (source_has(s, "\"[INST]\"") || source_has(s, "'[INST]'"))
        return (inst_style){"", "", "", false, last};
    return (inst_style){" ", source_has(s, " [/INST]") ? " " : "", " ", false, last};
}

static bool mistral_write(prompt_writer *w) {
    if (!must_alternate(w)) return false;
    inst_style style = mistral_style(w->p->source);
    size_t first = leading_system(w), carrier = first;
    for (size_t i = first; style.system_last && i < w->n; i++)
        if (is_role(&w->m[i], "user")) carrier = i;
    if (style.system_last && carrier + 1 != w->n)
        carrier = w->n; /* as the templates: only as the very last */
    put_bos(w);
    if (first > 0 && style.system_tag) {
        put_control(w, "[SYSTEM_PROMPT]");
        put_text(w, style.open);
        put_content(w, w->m[0].text);
        put_control(w, "[/SYSTEM_PROMPT]");
    }
    for (size_t i = first; i < w->n; i++) {
        if (is_role(&w->m[i], "assistant")) {
            put_text(w, style.gap);
            put_content(w, w->m[i].text);
            put_eos(w);
            continue;
        }
        if (*style.close && i == first) put_text(w, " ");
        put_control(w, "[INST]");
        put_text(w, style.open);
        if (first > 0 && !style.system_tag && i == carrier) {
            put_content(w, w->m[0].text);
            put_text(w, "\n\n");
        }
        put_content(w, w->m[i].text);
        put_text(w, style.close);
        put_control(w, "[/INST]");
    }
    return true;
}

static bool mistral_template(str s) {
    return source_has(s, "[INST]") && !source_has(s, "<<SYS>>");
}
static bool mistral_vocab(const tok *t) {
    return has_control(t, "[INST]");
}

static bool llama2_write(prompt_writer *w) {
    if (!must_alternate(w)) return false;
    size_t first = leading_system(w);
    for (size_t i = first; i < w->n; i++) {
        if (is_role(&w->m[i], "assistant")) {
            put_text(w, " ");
            put_content(w, str_trim(w->m[i].text));
            put_text(w, " ");
            put_eos(w);
            continue;
        }
        put_bos(w);
        put_text(w, "[INST] ");
        if (first > 0 && i == first) {
            put_text(w, "<<SYS>>\n");
            put_content(w, w->m[0].text);
            put_text(w, "\n<</SYS>>\n\n");
        }
        put_content(w, str_trim(w->m[i].text));
        put_text(w, " [/INST]");
    }
    return true;
}

static bool llama2_template(str s) {
    return source_has(s, "[INST]") && source_has(s, "<<SYS>>");
}

/* ---- the table ---- */

static bool no_vocab(const tok *t) {
    (void)t;
    return false;
}

const prompt_family prompt_families[] = {
    {"bard", bard_template, bard_vocab, bard_write},
    {"smollm3", smollm3_template, no_vocab, smollm3_write},
    {"chatml", chatml_template, chatml_vocab, chatml_write},
    {"llama3", llama3_template, llama3_vocab, llama3_write},
    {"gemma", gemma_template, gemma_vocab, gemma_write},
    {"llama2", llama2_template, no_vocab, llama2_write},
    {"mistral", mistral_template, mistral_vocab, mistral_write},
    {"phi", phi_template, phi_vocab, phi_write},
    {"zephyr", zephyr_template, no_vocab, zephyr_write},
};
const size_t prompt_n_families = sizeof prompt_families / sizeof *prompt_families;
