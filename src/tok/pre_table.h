/* The published pre-tokenizer patterns, as the models' tokenizer.json give them, and which model
 * family uses which. Included by pre.c alone.
 *
 * Ranges are written as \x{...} where the published file has the characters themselves, since some
 * of them (U+1FBE, U+2126, U+212A ...) change under Unicode normalisation and an editor might do
 * that.
 */

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORD_TAIL " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3 CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" WORD_TAIL
#define MINICPM5 CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}+|" WORD_TAIL
#define QWEN2 CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|" WORD_TAIL
#define QWEN35                                                                                     \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}"                                   \
                 "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SEED_CODER                                                                                 \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}"                                        \
                 "| ?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define BAILING                                                                                    \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}"                                  \
    "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"

/* Words that begin with capitals or hold none: the o200k family. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(suffix)                                                                              \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" suffix "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER  \
    "*" suffix
#define SLASH_TAIL " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define GPT4O CASED(CONTRACTIONS "?") "|\\p{N}{1,3}|" SLASH_TAIL
#define TEKKEN CASED("") "|\\p{N}|" SLASH_TAIL
#define YOUTU CASED(CONTRACTIONS "?") "|\\p{N}|" SLASH_TAIL
#define YOUTU_CJK                                                                                  \
    "[\\x{ac00}-\\x{d7a3}\\x{3131}-\\x{318e}]+"                                                    \
    "|[\\x{ff01}\\x{2026}\\x{201c}\\x{201d}\\x{2018}\\x{2019}\\x{2014}\\x{ff1a}\\x{ff1b}\\x{ff0c}" \
    "\\x{3001}-\\x{303f}\\x{fe30}-\\x{fe4f}]+|[\\x{3105}-\\x{312f}]+"                              \
    "|[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+"

#define DEEPSEEK_LETTERS                                                                           \
    "\\s?[A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}"            \
    "\\x{1c4}-\\x{293}\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}"         \
    "\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}"                  \
    "\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}"                       \
    "\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}"                 \
    "\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}"                 \
    "\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}"                 \
    "\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}"         \
    "\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}"                           \
    "\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}"                 \
    "\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}"                   \
    "\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}"                            \
    "\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}"                            \
    "\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}"                  \
    "\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}\\x{a771}-\\x{a787}"                 \
    "\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}"                 \
    "\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}"             \
    "\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}"                              \
    "\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}]+"
#define DEEPSEEK_MARKS                                                                             \
    "\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+"
#define DEEPSEEK_CJK "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
#define DEEPSEEK3_CJK "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+"
#define DEEPSEEK3_WORD                                                                             \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"                                        \
    "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
#define DEEPSEEK3 DEEPSEEK3_WORD "| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SPARK DEEPSEEK3_WORD "| ?[\\p{P}\\p{S}]+|[\\r\\n]|\\s+(?!\\S)|\\s+"

#define BLOOM " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+"

/* "\s+$" of the DeepSeek families, done without PCRE2: looked for from the left it costs a run's
 * square. Newlines were split off before, so `$` is the piece's end and the match its trailing
 * space. */
#define TRAILING_SPACE ""

#define MAX_STAGES 6

typedef struct pattern_set {
    const char *stage[MAX_STAGES]; /* NULL after the last */
} pattern_set;

static const pattern_set SET_GPT2 = {{GPT2}};
static const pattern_set SET_LLAMA3 = {{LLAMA3}};
static const pattern_set SET_QWEN2 = {{QWEN2}};
static const pattern_set SET_QWEN35 = {{QWEN35}};
static const pattern_set SET_GPT4O = {{GPT4O}};
static const pattern_set SET_TEKKEN = {{TEKKEN}};
static const pattern_set SET_SEED_CODER = {{SEED_CODER}};
static const pattern_set SET_BAILING = {{BAILING}};
static const pattern_set SET_BLOOM = {{BLOOM}};
static const pattern_set SET_VIKING = {{BLOOM, "\\p{N}"}};
static const pattern_set SET_DIGITS_GPT2 = {{"\\p{N}", GPT2}};
static const pattern_set SET_FALCON = {{"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}};
static const pattern_set SET_DEEPSEEK_LLM = {
    {"[\\r\\n]", DEEPSEEK_LETTERS, DEEPSEEK_MARKS, TRAILING_SPACE, DEEPSEEK_CJK, "\\p{N}"}};
static const pattern_set SET_DEEPSEEK_CODER = {
    {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", DEEPSEEK_CJK, "\\p{N}"}};
static const pattern_set SET_DEEPSEEK3 = {{"\\p{N}{1,3}", DEEPSEEK3_CJK, DEEPSEEK3}};
static const pattern_set SET_SPARK = {{"\\p{N}{1,3}", DEEPSEEK3_CJK, SPARK, "\\p{N}"}};
static const pattern_set SET_YOUTU = {{YOUTU_CJK, YOUTU}};
static const pattern_set SET_MINICPM5 = {{"\\p{N}{1,3}", MINICPM5}};
static const pattern_set SET_LAGUNA = {{"[^\\n]+|[\\n]+", QWEN2}};
/* Files that name no pre-tokenizer, or "default": what the format's own tools assume for them. */
static const pattern_set SET_DEFAULT = {
    {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}};

enum { WHOLE_WORDS = 1, WITH_BOS = 2 };

static const struct pre_name {
    const char *name;
    const pattern_set *set;
    unsigned traits;
} PRE_NAMES[] = {
    {"default", &SET_DEFAULT, 0},
    {"a.x-4.0", &SET_GPT2, 0},
    {"bailingmoe", &SET_BAILING, 0},
    {"bailingmoe2", &SET_BAILING, 0},
    {"bloom", &SET_BLOOM, 0},
    {"chatglm-bpe", &SET_LLAMA3, 0},
    {"codeshell", &SET_DIGITS_GPT2, 0},
    {"command-r", &SET_DIGITS_GPT2, 0},
    {"dbrx", &SET_LLAMA3, 0},
    {"deepseek-coder", &SET_DEEPSEEK_CODER, 0},
    {"deepseek-llm", &SET_DEEPSEEK_LLM, 0},
    {"deepseek-r1-qwen", &SET_QWEN2, 0},
    {"deepseek-v3", &SET_DEEPSEEK3, 0},
    {"exaone", &SET_DIGITS_GPT2, 0},
    {"exaone4", &SET_GPT2, 0},
    {"f2llmv2", &SET_QWEN2, 0},
    {"falcon", &SET_FALCON, 0},
    {"falcon-h1", &SET_LLAMA3, WHOLE_WORDS | WITH_BOS},
    {"falcon3", &SET_LLAMA3, WHOLE_WORDS | WITH_BOS},
    {"gigachat", &SET_GPT2, 0},
    {"glm4", &SET_LLAMA3, 0},
    {"gpt-2", &SET_GPT2, 0},
    {"gpt-4o", &SET_GPT4O, 0},
    {"gpt3-finnish", &SET_BLOOM, 0},
    {"granite-docling", &SET_GPT2, 0},
    {"granite-embed-multi-97m", &SET_GPT4O, WHOLE_WORDS},
    {"grok-2", &SET_QWEN2, 0},
    {"hunyuan", &SET_QWEN2, 0},
    {"hunyuan-dense", &SET_DEEPSEEK3, 0},
    {"jais", &SET_GPT2, 0},
    {"jina-de", &SET_GPT2, 0},
    {"jina-es", &SET_GPT2, 0},
    {"jina-v1-en", &SET_GPT2, 0},
    {"jina-v2-code", &SET_GPT2, 0},
    {"jina-v2-de", &SET_GPT2, 0},
    {"jina-v2-es", &SET_GPT2, 0},
    {"jina-v5-nano", &SET_LLAMA3, WHOLE_WORDS | WITH_BOS},
    {"joyai-llm", &SET_DEEPSEEK3, 0},
    {"kanana2", &SET_GPT4O, 0},
    {"kormo", &SET_QWEN2, 0},
    {"laguna", &SET_LAGUNA, 0},
    {"lfm2", &SET_LLAMA3, WHOLE_WORDS | WITH_BOS},
    {"llada-moe", &SET_BAILING, 0},
    {"llama-bpe", &SET_LLAMA3, WHOLE_WORDS | WITH_BOS},
    {"llama-v3", &SET_LLAMA3, WHOLE_WORDS | WITH_BOS},
    {"llama3", &SET_LLAMA3, WHOLE_WORDS | WITH_BOS},
    {"llama4", &SET_GPT4O, 0},
    {"megrez", &SET_QWEN2, 0},
    {"mellum", &SET_GPT2, 0},
    {"mellum2", &SET_DIGITS_GPT2, 0},
    {"midm-2.0", &SET_LLAMA3, WHOLE_WORDS | WITH_BOS},
    {"minerva-7b", &SET_DIGITS_GPT2, 0},
    {"minicpm5", &SET_MINICPM5, WHOLE_WORDS},
    {"minimax-m2", &SET_GPT4O, 0},
    {"modern-bert", &SET_GPT2, 0},
    {"mpt", &SET_GPT2, 0},
    {"olmo", &SET_GPT2, 0},
    {"phi-2", &SET_GPT2, 0},
    {"pixtral", &SET_LLAMA3, WHOLE_WORDS | WITH_BOS},
    {"poro-chat", &SET_BLOOM, 0},
    {"qwen2", &SET_QWEN2, 0},
    {"qwen35", &SET_QWEN35, 0},
    {"refact", &SET_DIGITS_GPT2, 0},
    {"roberta-bpe", &SET_GPT2, 0},
    {"seed-coder", &SET_SEED_CODER, 0},
    {"smaug-bpe", &SET_LLAMA3, 0},
    {"smollm", &SET_DIGITS_GPT2, 0},
    {"solar-open", &SET_QWEN2, 0},
    {"spark2_5", &SET_SPARK, 0},
    {"stablelm2", &SET_QWEN2, 0},
    {"starcoder", &SET_DIGITS_GPT2, 0},
    {"talkie", &SET_GPT4O, 0},
    {"tekken", &SET_TEKKEN, WHOLE_WORDS | WITH_BOS},
    {"trillion", &SET_GPT2, 0},
    {"viking", &SET_VIKING, 0},
    {"youtu", &SET_YOUTU, WHOLE_WORDS},
};
