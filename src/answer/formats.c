/* The formats: one row each, recognised in this order by what the model's template says.
 *
 * To add one: a row with what its templates have and no other's has, the calls it writes as a
 * pattern (answer_private.h), and a sample in tests/answer/answers.json. */
#include <pthread.h>
#include <string.h>

#include "answer/answer_private.h"

#define THINK                                                                                      \
    { "<think>", "</think>", "\n</think>\n\n" }

static const answer_params params_qwen = {"<parameter=", ">", NULL, "</parameter>", PARAMS_LINES};
static const answer_params params_named = {"<parameter name=\"", "\">", NULL, "</parameter>", 0};
static const answer_params params_minicpm = {"<param name=\"", "\">", NULL, "</param>",
                                             PARAMS_CDATA};
static const answer_params params_dsml = {"<｜DSML｜parameter name=\"", "\"", NULL,
                                          "</｜DSML｜parameter>", PARAMS_TYPED};
static const answer_params params_glm = {"<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>",
                                         PARAMS_SPACED};
static const answer_params params_hunyuan = {"<arg_key:opensource>", "</arg_key:opensource>",
                                             "<arg_value:opensource>", "</arg_value:opensource>",
                                             PARAMS_SPACED};

/* clang-format off */
const answer_format answer_formats[] = {
    {.name = "gpt-oss",
     .known_by = {"<|channel|>\1<|message|>\1analysis"},
     .arch = "gpt-oss",
     .thought = {{"<|channel|>analysis<|message|>", "<|end|>",
                  "<|end|><|start|>assistant<|channel|>final<|message|>"}},
     .call = {"<|start|>%h%a%;<|call|>", "<|channel|>%h%a%;<|call|>"},
     .drop = {"<|end|>", "<|call|>", "<|return|>"},
     .opening = "<|start|>assistant",
     .flags = FORMAT_INLINE_THOUGHTS | FORMAT_BREAKS_THOUGHT | FORMAT_HEADERS},
    {.name = "solar",
     .known_by = {"<|tool_call:args|>"},
     .thought = {{"<|think|>", "<|end|>", "<|end|><|begin|>assistant<|content|>"}},
     .call = {"<|tool_calls|>%*(<|tool_call:begin|>%i<|tool_call:name|>%n<|tool_call:args|>%a"
              "<|tool_call:end|>%)%;<|calls|>"},
     .drop = {"<|begin|>assistant", "<|content|>", "<|end|>"},
     .id_rule = "[a-z0-9]{10}",
     .text_begin = "<|content|>",
     .after_thought = "<|begin|>assistant",
     .flags = FORMAT_IDS | FORMAT_INLINE_THOUGHTS},
    {.name = "kimi-k2",
     .known_by = {"<|tool_call_argument_begin|>"},
     .arch = "kimi-k2",
     .thought = {THINK},
     .call = {"<|tool_calls_section_begin|>%*(<|tool_call_begin|>%k<|tool_call_argument_begin|>%a"
              "<|tool_call_end|>%)<|tool_calls_section_end|>",
              "<|tool_call_begin|>%k<|tool_call_argument_begin|>%a<|tool_call_end|>"},
     .flags = FORMAT_IDS | FORMAT_BREAKS_THOUGHT},
    {.name = "minimax-m3",
     .known_by = {"]<]minimax[>["},
     .thought = {{"<mm:think>", "</mm:think>", "</mm:think>"}},
     .call = {"]<]minimax[>[<tool_call>\n%*(]<]minimax[>[<invoke name=\"%n\">%m\n%)"
              "]<]minimax[>[</tool_call>"},
     .flags = FORMAT_INLINE_THOUGHTS},
    {.name = "minimax-m2",
     .known_by = {"<minimax:tool_call>"},
     .arch = "minimax-m2",
     .thought = {THINK},
     .call = {"<minimax:tool_call>\n%*(<invoke name=\"%n\">\n%x</invoke>\n%)</minimax:tool_call>"},
     .params = &params_named},
    {.name = "deepseek-v3.2",
     .known_by = {"｜DSML｜"},
     .thought = {THINK},
     .call = {"<｜DSML｜function_calls>\n%*(<｜DSML｜invoke name=\"%n\">\n%x</｜DSML｜invoke>\n%)"
              "</｜DSML｜function_calls>",
              "<｜DSML｜tool_calls>\n%*(<｜DSML｜invoke name=\"%n\">\n%x</｜DSML｜invoke>\n%)"
              "</｜DSML｜tool_calls>"},
     .params = &params_dsml},
    {.name = "deepseek-r1",
     .known_by = {"<｜tool▁sep｜>\1```json"},
     .thought = {THINK},
     .call = {"<｜tool▁calls▁begin｜>%*(<｜tool▁call▁begin｜>function<｜tool▁sep｜>%n\n```json\n%a\n"
              "```<｜tool▁call▁end｜>\n%)<｜tool▁calls▁end｜>",
              "<｜tool▁calls▁begin｜>%*(<｜tool▁call▁begin｜>%n<｜tool▁sep｜>%a<｜tool▁call▁end｜>%)"
              "<｜tool▁calls▁end｜>",
              "<｜tool▁call▁begin｜>function<｜tool▁sep｜>%n\n```json\n%a\n```<｜tool▁call▁end｜>"
              "%?(\n<｜tool▁calls▁end｜>%)",
              "<｜tool▁calls｜>function<｜tool▁sep｜>%n\n```json\n%a\n```<｜tool▁call▁end｜>"
              "%?(\n<｜tool▁calls▁end｜>%)"}},
    {.name = "deepseek-v3.1",
     .known_by = {"<｜tool▁sep｜>"},
     .arch = "deepseek2",
     .thought = {{"<think>", "</think>", "</think>"}},
     .call = {"<｜tool▁calls▁begin｜>%*(<｜tool▁call▁begin｜>%n<｜tool▁sep｜>%a<｜tool▁call▁end｜>%)"
              "<｜tool▁calls▁end｜>",
              "<｜tool▁calls▁begin｜>%*(<｜tool▁call▁begin｜>function<｜tool▁sep｜>%n\n```json\n%a\n"
              "```<｜tool▁call▁end｜>\n%)<｜tool▁calls▁end｜>",
              "<｜tool▁call▁begin｜>%n<｜tool▁sep｜>%a<｜tool▁call▁end｜>%?(<｜tool▁calls▁end｜>%)"}},
    {.name = "hunyuan",
     .known_by = {"<tool_sep:opensource>", "<tool_sep{}>"},
     .thought = {{"<think:opensource>", "</think:opensource>", "</think:opensource>"}},
     .call = {"<tool_calls:opensource>\n%*(<tool_call:opensource>%n<tool_sep:opensource>\n%x"
              "</tool_call:opensource>\n%)</tool_calls:opensource>"},
     .params = &params_hunyuan},
    {.name = "glm-4.5",
     .known_by = {"</arg_key>\n<arg_value>", "</arg_key>\\n"},
     .arch = "glm4moe",
     .thought = {{"<think>", "</think>", "</think>\n"}},
     .call = {"<tool_call>%n\n%x</tool_call>"},
     .params = &params_glm},
    {.name = "glm",
     .known_by = {"<arg_key>\1<arg_value>"},
     .thought = {{"<think>", "</think>", "</think>"}},
     .call = {"<tool_call>%n%x</tool_call>"},
     .params = &params_glm},
    {.name = "seed-oss",
     .known_by = {"<seed:tool_call>"},
     .arch = "seed_oss",
     .thought = {{"<seed:think>", "</seed:think>", "\n</seed:think>"}},
     .call = {"<seed:tool_call>\n<function=%n>\n%x</function>\n</seed:tool_call>"},
     .params = &params_qwen},
    {.name = "qwen3-coder",
     .known_by = {"<function=\1<parameter="},
     .thought = {THINK},
     .call = {"<tool_call>\n<function=%n>\n%x</function>\n</tool_call>",
              "<function=%n>\n%x</function>%?(\n</tool_call>%)",
              "<tool_call>\n%l\n</tool_call>"},
     .params = &params_qwen},
    {.name = "minicpm",
     .known_by = {"<function name=\1<param name="},
     .thought = {THINK},
     .call = {"<function name=\"%n\">%x</function>"},
     .params = &params_minicpm},
    {.name = "functionary-v3.2",
     .known_by = {">>>all"},
     .call = {">>>%n\n%a"},
     .text_begin = "all\n",
     .opening = ">>>",
     .flags = FORMAT_ALL_IS_TEXT},
    {.name = "mistral-v11",
     .known_by = {"[TOOL_CALLS]\1[CALL_ID]\1[ARGS]"},
     .thought = {{"[THINK]", "[/THINK]", "[/THINK]"}, THINK},
     .call = {"[TOOL_CALLS]%n[CALL_ID]%i[ARGS]%a", "[TOOL_CALLS]%n%?([ARGS]%)%a",
              "[TOOL_CALLS]%l"},
     .id_rule = "[a-zA-Z0-9]{9}",
     .flags = FORMAT_IDS},
    {.name = "mistral-v13",
     .known_by = {"[TOOL_CALLS]\1[ARGS]"},
     .thought = {{"[THINK]", "[/THINK]", "[/THINK]"}, THINK},
     .call = {"[TOOL_CALLS]%n[ARGS]%a", "[TOOL_CALLS]%n[CALL_ID]%i[ARGS]%a",
              "[TOOL_CALLS]%n%a", "[TOOL_CALLS]%l"},
     .flags = FORMAT_IDS},
    {.name = "mistral",
     .known_by = {"[TOOL_CALLS]"},
     .thought = {THINK, {"[THINK]", "[/THINK]", "[/THINK]"}},
     .call = {"[TOOL_CALLS]%l", "[TOOL_CALLS]%n%?([ARGS]%)%a"},
     .flags = FORMAT_IDS},
    {.name = "gemma4",
     .known_by = {"<|tool_call>call:"},
     .arch = "gemma4",
     .thought = {{"<|channel>thought", "<channel|>", "<channel|>"}},
     .call = {"<|tool_call>call:%n%g<tool_call|>"},
     .quote = "<|\"|>",
     .flags = FORMAT_INLINE_THOUGHTS},
    {.name = "function-gemma",
     .known_by = {"<start_function_call>"},
     .thought = {THINK},
     .call = {"<start_function_call>call:%n%g<end_function_call>"},
     .quote = "<escape>"},
    {.name = "lfm2",
     .known_by = {"<|tool_call_start|>"},
     .arch = "lfm2 lfm2moe",
     .thought = {THINK},
     .call = {"<|tool_call_start|>%p<|tool_call_end|>", "<|tool_call_start|>%l<|tool_call_end|>"}},
    {.name = "olmo3",
     .known_by = {"<function_calls>"},
     .arch = "olmo3",
     .thought = {THINK},
     .call = {"<function_calls>\n%p\n</function_calls>",
              "<function_calls>\n%l\n</function_calls>"}},
    {.name = "command-r7b",
     .known_by = {"<|START_ACTION|>"},
     .arch = "cohere2",
     .thought = {{"<|START_THINKING|>", "<|END_THINKING|>", "<|END_THINKING|>"}},
     .call = {"<|START_ACTION|>%l<|END_ACTION|>"},
     .arguments = "parameters",
     .drop = {"<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>"},
     .text_begin = "<|START_RESPONSE|>",
     .text_end = "<|END_RESPONSE|>",
     .flags = FORMAT_TOOL_NAME | FORMAT_INLINE_THOUGHTS},
    {.name = "command-r",
     .known_by = {"Action:\1tool_name\1```json"},
     .arch = "command-r",
     .thought = {THINK},
     .call = {"Action: ```json\n%l\n```", "Action:\n```json\n%l\n```", "Action:\n```\n%l\n```"},
     .arguments = "parameters",
     .flags = FORMAT_TOOL_NAME},
    {.name = "nemotron-v2",
     .known_by = {"<TOOLCALL>"},
     .thought = {THINK},
     .call = {"<TOOLCALL>%l</TOOLCALL>"}},
    {.name = "apriel",
     .known_by = {"<tool_calls>[\1[BEGIN FINAL RESPONSE]"},
     .thought = {{"Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]",
                  "\n[BEGIN FINAL RESPONSE]\n"}, THINK},
     .call = {"<tool_calls>%l</tool_calls>"},
     .drop = {"[END FINAL RESPONSE]"},
     .flags = FORMAT_IDS},
    {.name = "tool-calls",
     .known_by = {"<tool_calls>"},
     .thought = {THINK},
     .call = {"<tool_calls>\n%l\n</tool_calls>"}},
    {.name = "phi4-mini",
     .known_by = {"<|tool_call|>\1<|/tool_call|>"},
     .thought = {THINK},
     .call = {"<|tool_call|>%l<|/tool_call|>", "functools%l"}},
    {.name = "granite",
     .known_by = {"<|tool_call|>"},
     .arch = "granite granitemoe",
     .thought = {THINK, {"Here is my thought process:", "Here is my response:",
                         "\nHere is my response:\n"}},
     .call = {"<|tool_call|>%l", "<tool_call>\n%l\n</tool_call>"},
     .drop = {"<response>", "</response>"}},
    {.name = "firefunction",
     .known_by = {"functools["},
     .thought = {THINK},
     .call = {"functools%l"}},
    {.name = "gigachat3.1",
     .known_by = {"<|function_call|>"},
     .thought = {THINK},
     .call = {"<|function_call|>%c"}},
    {.name = "gigachat3",
     .known_by = {"function call<|role_sep|>", "'function call'\1<|role_sep|>",
                  "\"function call\"\1<|role_sep|>", "function call\1<|message_sep|>"},
     .thought = {THINK},
     .call = {"<|message_sep|>\n\nfunction call<|role_sep|>\n%c"}},
    {.name = "pythonic",
     .known_by = {"[func_name1(", "<|python_start|>"},
     .arch = "llama4",
     .thought = {THINK},
     .call = {"%p", "<|python_start|>%p<|python_end|>"}},
    {.name = "functionary-v3.1",
     .known_by = {"<function=\1<|python_tag|>", "<function="},
     .thought = {THINK},
     .call = {"<function=%n>%a</function>", "<|python_tag|>%t"}},
    {.name = "llama3",
     .known_by = {"<|python_tag|>", "\"parameters\": dictionary"},
     .thought = {THINK},
     .call = {"%c", "<|python_tag|>%t", "<function=%n>%a</function>", "%l"},
     .arguments = "parameters"},
    {.name = "hermes",
     .known_by = {"<tool_call>"},
     .arch = "qwen2 qwen3 qwen2moe qwen3moe smollm3 exaone4",
     .thought = {THINK},
     .call = {"<tool_call>\n%c\n</tool_call>"}},
    {.name = "gemma3",
     .known_by = {"tool_code"},
     .arch = "gemma3 gemma3n",
     .thought = {THINK},
     .call = {"```tool_code\n%p\n```", "```json\n%l\n```", "%l", "%p"}},
    {.name = "generic",
     .thought = {THINK},
     .call = {"%c", "```json\n%l\n```", "<tool_call>\n%l\n</tool_call>", "%l"}},
};
/* clang-format on */
const size_t answer_n_formats = sizeof answer_formats / sizeof answer_formats[0];

#define N_FORMATS (sizeof answer_formats / sizeof answer_formats[0])

/* All of the texts, separated by \1, occur. */
static bool has_all(str source, const char *texts) {
    for (;;) {
        size_t n = strcspn(texts, "\1");
        if (str_find(source, (str){texts, n}, 0) == (size_t)-1) return false;
        if (!texts[n]) return true;
        texts += n + 1;
    }
}

static bool has_word(const char *words, str word) {
    while (words && *words) {
        size_t n = strcspn(words, " ");
        if (str_eq((str){words, n}, word)) return true;
        words += n + (words[n] == ' ');
    }
    return false;
}

const answer_format *answer_format_of(str source, str arch) {
    for (size_t i = 0; i < N_FORMATS; i++)
        for (int k = 0; k < 4 && answer_formats[i].known_by[k]; k++)
            if (has_all(source, answer_formats[i].known_by[k])) return &answer_formats[i];
    for (size_t i = 0; arch.n > 0 && i < N_FORMATS; i++)
        if (has_word(answer_formats[i].arch, arch)) return &answer_formats[i];
    return &answer_formats[N_FORMATS - 1];
}

const answer_format *answer_format_find(const char *name) {
    for (size_t i = 0; name && i < N_FORMATS; i++)
        if (strcmp(answer_formats[i].name, name) == 0) return &answer_formats[i];
    return NULL;
}

const char *answer_format_name(const answer_format *f) {
    return f->name;
}

static const char *names[N_FORMATS + 1];

static void make_names(void) {
    for (size_t i = 0; i < N_FORMATS; i++) names[i] = answer_formats[i].name;
}

const char *const *answer_format_names(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_names);
    return names;
}

/* ---- thoughts ---- */

/* Whether the tail ends inside a thought: it opens one, and after that comes neither its end nor
 * anything that templates write between messages. (A person may have written "<think>" too.) */
static bool is_open(str tail, const answer_pair *p) {
    static const char *const borders[] = {"<|",   "|>",      "<｜",    "[/INST]", "[e~[",
                                          "</s>", "</user>", "_turn>", "<turn|>", "<start_of_"};
    str begin = str_of(p->begin);
    size_t at = (size_t)-1;
    for (size_t next = 0; (next = str_find(tail, begin, next)) != (size_t)-1; next++) at = next;
    if (at == (size_t)-1) return false;
    str after = {tail.p + at + begin.n, tail.n - at - begin.n};
    if (str_find(after, str_of(p->end), 0) != (size_t)-1) return false;
    for (size_t i = 0; i < sizeof borders / sizeof borders[0]; i++)
        if (str_find(after, str_of(borders[i]), 0) != (size_t)-1) return false;
    return true;
}

bool answer_thought(const answer_format *f, str tail, answer_thought_info *out) {
    const answer_pair *p = &f->thought[0];
    *out = (answer_thought_info){.begin = NULL};
    if (!p->begin) return false;
    for (int i = 0; i < ANSWER_PAIRS && f->thought[i].begin && !out->open; i++) {
        out->open = is_open(tail, &f->thought[i]);
        if (out->open) p = &f->thought[i];
    }
    out->begin = p->begin;
    out->end = p->end;
    out->close = p->close;
    return true;
}
