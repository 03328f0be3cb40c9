#!/usr/bin/env python3
"""Makes the tokenizer vectors of tests/tok/data: small vocabularies, and what the reference libraries
make of a list of texts with them.

    python tests/reference/make_tok_vectors.py TEXT-FOLDER

TEXT-FOLDER holds plain English text (*.txt) to train the vocabularies on. Needs sentencepiece,
tokenizers and gguf (requirements.txt). Everything is deterministic. What it writes:

    pre.json         per pre-tokenizer name: the words that Hugging Face's tokenizers cuts each text into, as
                     lengths in bytes. The patterns are those of the models' tokenizer.json, written out
                     here once more, so that a slip in src/tok/pre_table.h shows
    NAME.gguf        vocabulary-only files: bpe, gemma4 (tokenizers), spm, spm-plain, t5, t5-bytes
                     (sentencepiece), bert (tokenizers)
    NAME.json        the ids of each text with that vocabulary
"""
import io
import json
import pathlib
import sys

import gguf
import sentencepiece as spm
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,
                        trainers)

OUT = pathlib.Path(__file__).resolve().parent.parent / "tok" / "data"

FOREIGN = """Der König grüßt die Königin: Äpfel, Öl und Übermut. Le garçon a mangé des crêpes à Noël.
Я помню чудное мгновенье: передо мной явилась ты. Быть или не быть, вот в чём вопрос.
生存还是毁灭，这是一个值得考虑的问题。你好，世界！こんにちは世界。한국어 텍스트입니다.
العربية لغة جميلة. שלום עולם. हिन्दी भाषा में लिखा हुआ पाठ। ภาษาไทย
def main(argc, argv):\n\treturn {"x": [1, 22, 333, 4444], 'y': 0.5e-3}  # 100%\n"""

TEXTS = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\n\n\n", " \n", "\n ", " \n \n  x", "\r\n\r\n", "a\r\nb",
    "Hello world", " Hello world", "Hello  world", "   Hello   world   ", "Hello, world!", "a", "ab",
    "To be, or not to be: that is the question.", "HAMLET", "McDonald's iPhone OpenAI HTTPServer",
    "I'm you're he's we'll they've I'd can't", "I'M YOU'RE HE'S WE'LL THEY'VE I'D CAN'T", "it's'll",
    "x=1+2*3/(4-5)%6^7", "1 12 123 1234 12345 123456 1234567", "3.14159, 1,234,567.89", "v2.0.1-rc.3",
    "٣٤٥ ½ ² ③ Ⅳ १२३", "tabs\tand\tmore\t\ttabs", "line one\nline two\n\nline four\n",
    "   leading\n    indented\n\n\n  code", "trailing   ", "trailing\n", "trailing \n ", "a \n\n b",
    "don't\u2019t \u201csmart\u201d \u2018quotes\u2019\u2026 \u2014 dash", "!!!???...,,,", "$5 + €6 = £7 <tag> `x` ~y~ a|b ^c",
    "naïve café coöperate", "nai\u0308ve cafe\u0301 coo\u0308perate", "Äpfel ÄPFEL Straße STRASSE",
    "Быть или не быть", "生存还是毁灭，这是一个问题。", "你好，世界！Hello世界", "こんにちは世界 カタカナ",
    "한국어 텍스트", "العربية شَدَّة", "עברית", "हिन्दी में लिखा हुआ पाठ।", "ภาษาไทย", "ខ្មែរ",
    "👩\u200d👩\u200d👧\u200d👦 🏳️\u200d🌈 🇨🇭 🧑🏽\u200d🚀", "😀😁😂", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "ﬁne ＦＵＬＬ ｗｉｄｔｈ １２",
    "a\u00a0b\u2009c\u3000d\u200be\ufefff", "x\u180ey \u180e z", "a\u0085b\u2028c\u2029d",
    "\u0000a\u0001b\u007f", "def f(x):\n\treturn x  # done\n\n\n\n", "{\"a\": [1, 22, 333], 'b': \"it's\"}",
    "https://example.org/a_b?c=d&e=f#g", "/usr/local/bin/ // /* */ */ \\n \\\\", "snake_case camelCase kebab-case",
    "AAAA aaaa AaAa aAaA AAAa", "ǅ ǈ ʰx ªb", "\u0301\u0301 a\u0301\u0301", "e\u0301E\u0301 'S 's 'ſ", "...\n\n  ...\n",
    "ſtreet", "a'b''c'''d", "100km/h 5'11\" 20°C", "\u2581\u2581x \u2581y", "x" * 70, "ab" * 60, " " * 40 + "x", "\n" * 9 + "x",
    "the the the the the", "question" * 9, "—" * 20, "1" * 25, "好" * 30, "a" + " " * 11,
    "<s>no</s> <unk> [CLS] [SEP] <|im_end|>", "<0x41> <0x0A>", "end of\u3000text。",
]

SPACE = "\u2581"


# ---- pre-tokenizers -------------------------------------------------------------------------------

def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN35 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
          r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"""
             r"|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK_LETTERS = (
    r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕ"
    "ἠ-ὅὈ-Ὅὐ-ὗὙὛὝ\u1f5f-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄ"
    "Ⰰ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+")
DIGITS = pre_tokenizers.Digits(individual_digits=True)
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
BYTES_GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)

PRE = {
    "gpt-2": [BYTES_GPT2],
    "mpt": [BYTES_GPT2],
    "starcoder": [DIGITS, BYTES_GPT2],
    "refact": [DIGITS, BYTES_GPT2],
    "smollm": [DIGITS, BYTES_GPT2],
    "command-r": [DIGITS, BYTES_GPT2],
    "llama-bpe": [split(LLAMA3)],
    "llama3": [split(LLAMA3)],
    "chatglm-bpe": [split(LLAMA3)],
    "glm4": [split(LLAMA3)],
    "qwen2": [split(QWEN2)],
    "deepseek-r1-qwen": [split(QWEN2)],
    "qwen35": [split(QWEN35)],
    "gpt-4o": [split(GPT4O)],
    "llama4": [split(GPT4O)],
    "tekken": [split(TEKKEN)],
    "deepseek-llm": [split(r"[\r\n]"), split(DEEPSEEK_LETTERS), split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"), split(r"\s+$"),
                     split("[一-龥ࠀ-一가-퟿]+"), DIGITS],
    "deepseek-coder": [split(r"[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split("[一-龥ࠀ-一가-퟿]+"), DIGITS],
    "deepseek-v3": [split(r"\p{N}{1,3}"), split("[一-龥\u3040-ゟ゠-ヿ]+"), split(DEEPSEEK3)],
    "falcon": [pre_tokenizers.Punctuation("contiguous"), split(GPT2), split("[0-9][0-9][0-9]")],
    "bailingmoe": [split(r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
                         r"|\s+(?!\S)|\s+")],
    "seed-coder": [split(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+"
                         r"|\s+(?!\S)|\s+")],
    "bloom": [split(r" ?[^(\s|[.,!?…。，、।۔،])]+")],
}


def words(steps, text):
    """Lengths in bytes of the pieces, by offsets into the text (ByteLevel rewrites the pieces)."""
    cut = pre_tokenizers.Sequence(steps).pre_tokenize_str(text)
    return [len(text[a:b].encode()) for _, (a, b) in cut]


def make_pre():
    lists = {}
    for name, steps in PRE.items():
        lists[name] = [words(steps, t) for t in TEXTS]
    dump("pre", {"texts": TEXTS, "words": lists})


# ---- files ----------------------------------------------------------------------------------------

def dump(name, value):
    """One list a line: small, and a diff says which text changed."""
    def lines(v):
        return "[\n" + ",\n".join(json.dumps(x, separators=(",", ":")) for x in v) + "\n]"
    if "words" in value:
        body = '{"texts":' + lines(value["texts"]) + ',\n"words":{\n'
        body += ",\n".join(f'"{k}":' + json.dumps(v, separators=(",", ":")) for k, v in value["words"].items()) + "}}\n"
    else:
        body = '{"cases":' + lines(value["cases"]) + "}\n"
    (OUT / f"{name}.json").write_text(body)


def dump_cases(name, encode):
    dump(name, {"cases": [[t, encode(t)] for t in TEXTS]})


def write_gguf(name, model, tokens, types, scores=None, merges=None, **keys):
    w = gguf.GGUFWriter(str(OUT / f"{name}.gguf"), "llama")
    w.add_tokenizer_model(model)
    w.add_token_list(tokens)
    w.add_token_types(types)
    if scores is not None:
        w.add_token_scores(scores)
    if merges is not None:
        w.add_token_merges(merges)
    for key, value in keys.items():
        key = "tokenizer.ggml." + key
        if isinstance(value, bool):
            w.add_bool(key, value)
        elif isinstance(value, int):
            w.add_uint32(key, value)
        elif isinstance(value, bytes):
            w.add_array(key, list(value)) if not value else w.add_key_value(
                key, value, gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.UINT8)
        else:
            w.add_string(key, value)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()


NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


# ---- Hugging Face tokenizers ----------------------------------------------------------------------

def parts(tk):
    """Tokens by id, and merges as 'left right'."""
    state = json.loads(tk.to_str())
    vocab = state["model"]["vocab"]
    tokens = [t for t, _ in sorted(vocab.items(), key=lambda x: x[1])]
    merges = [m if isinstance(m, str) else " ".join(m) for m in state["model"]["merges"]]
    return tokens, merges


def make_bpe(corpus):
    """Byte-level; whole words that are tokens are taken without merging, as Llama 3's are."""
    tk = Tokenizer(models.BPE())
    tk.pre_tokenizer = pre_tokenizers.Sequence([split(LLAMA3), BYTES])
    tk.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=900, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokens, merges = parts(tk)
    # A token that merging alone does not reach: the two differ on it.
    tokens.append("\u0120question")
    vocab = {t: i for i, t in enumerate(dict.fromkeys(tokens))}
    tokens = list(vocab)
    pairs = [tuple(m.split(" ")) for m in merges if "quest" not in m.replace(" ", "")]
    for name, pre, whole in [("bpe", LLAMA3, True), ("bpe-merged", QWEN2, False)]:
        tk = Tokenizer(models.BPE(vocab, pairs, ignore_merges=whole))
        tk.pre_tokenizer = pre_tokenizers.Sequence([split(pre), BYTES])
        dump_cases(name, lambda t: tk.encode(t, add_special_tokens=False).ids)
        write_gguf(name, "gpt2", tokens, [NORMAL] * len(tokens), merges=[" ".join(p) for p in pairs],
                   pre="llama-bpe" if whole else "qwen2", add_bos_token=False)


def make_gemma4(corpus):
    """BPE over characters with byte fallback, spaces as U+2581, no pre-tokenizer."""
    mark = normalizers.Replace(" ", SPACE)
    trained = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    trained.normalizer = mark
    trained.pre_tokenizer = split(r"\u2581*[^\u2581\n]+|\n+|\u2581+".replace(r"\u2581", SPACE))
    specials = ["<pad>", "<eos>", "<bos>", "<unk>"]
    trained.train_from_iterator([*corpus, "a\n\nb\n\n\nc\n" * 300, "\n\n\n\n".join("abc") * 200],
                                trainers.BpeTrainer(vocab_size=900, show_progress=False, limit_alphabet=150,
                                                    special_tokens=specials + [f"<0x{b:02X}>" for b in range(256)]))
    tokens, merges = parts(trained)
    vocab = {t: i for i, t in enumerate(tokens)}
    tk = Tokenizer(models.BPE(vocab, [tuple(m.split(" ")) for m in merges], byte_fallback=True, unk_token="<unk>",
                              fuse_unk=True))
    tk.normalizer = mark
    dump_cases("gemma4", lambda t: tk.encode(t, add_special_tokens=False).ids)
    types = [CONTROL] * 3 + [UNKNOWN] + [BYTE] * 256 + [NORMAL] * (len(tokens) - 260)
    write_gguf("gemma4", "gemma4", tokens, types, merges=merges, bos_token_id=2, eos_token_id=1,
               unknown_token_id=3, add_bos_token=True)


def make_bert(corpus):
    tk = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tk.normalizer = normalizers.BertNormalizer(lowercase=True)
    tk.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tk.train_from_iterator(corpus, trainers.WordPieceTrainer(
        vocab_size=900, show_progress=False, limit_alphabet=200,
        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    vocab = json.loads(tk.to_str())["model"]["vocab"]
    tokens = [t for t, _ in sorted(vocab.items(), key=lambda x: x[1])]
    marked = [t if t.startswith("[") and t.endswith("]") else t[2:] if t.startswith("##") else SPACE + t for t in tokens]
    # Where the format's vectors are coarser than BERT itself (see src/tok/wordpiece.c): nothing to compare.
    coarse = ("한국어", "हिन्दी", "ខ្មែរ", "ภาษาไทย", "العربية ش")
    dump("bert", {"cases": [[t, tk.encode(t, add_special_tokens=False).ids] for t in TEXTS
                            if not any(c in t for c in coarse) and "[CLS]" not in t]})
    write_gguf("bert", "bert", marked, [CONTROL] * 5 + [NORMAL] * (len(tokens) - 5), unknown_token_id=1,
               cls_token_id=2, bos_token_id=2, seperator_token_id=3, padding_token_id=0, mask_token_id=4)


# ---- sentencepiece --------------------------------------------------------------------------------

RULES = """
FF21\t41
FF22\t42
FF26\t46
FF35\t55
FF2C\t4C
FF57\t77
FF49\t69
FF44\t64
FF54\t74
FF48\t68
FF11\t31
FF12\t32
FB01\t66 69
2026\t2E 2E 2E
3000\t20
A0\t20
9\t20
A\t20
D\t20
200B\t
FEFF\t
65 301\te9
1F600\t3A 29
2460\t31
2462\t28 33 29
BD\t31 2F 32
""".strip()


def wire(data):
    """(field, value) of a protobuf message; varints and bytes are all that is needed here."""
    at = 0

    def varint():
        nonlocal at
        v = shift = 0
        while True:
            b = data[at]
            at += 1
            v |= (b & 127) << shift
            shift += 7
            if b < 128:
                return v
    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 2:
            n = varint()
            yield key >> 3, data[at:at + n]
            at += n
        else:
            n = 4 if key & 7 == 5 else 8
            yield key >> 3, data[at:at + n]
            at += n


def make_sentencepiece(name, corpus, gguf_model, rules=False, **options):
    tsv = OUT / "rules.tsv"
    if rules:
        tsv.write_text(RULES + "\n")
        options["normalization_rule_tsv"] = str(tsv)
    else:
        options["normalization_rule_name"] = "identity"
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_writer=model, num_threads=1,
                                   minloglevel=2, character_coverage=0.999, **options)
    tsv.unlink(missing_ok=True)
    sp = spm.SentencePieceProcessor(model_proto=model.getvalue())
    spec = dict(wire(dict(wire(model.getvalue()))[3]))
    ids = range(sp.get_piece_size())
    types = [UNKNOWN if sp.is_unknown(i) else CONTROL if sp.is_control(i) else BYTE if sp.is_byte(i) else
             UNUSED if sp.is_unused(i) else NORMAL for i in ids]
    keys = {"add_space_prefix": options.get("add_dummy_prefix", True),
            "remove_extra_whitespaces": options.get("remove_extra_whitespaces", True)}
    if spec.get(2):
        keys["precompiled_charsmap"] = spec[2]
    for key, value in [("unknown_token_id", sp.unk_id()), ("bos_token_id", sp.bos_id()), ("eos_token_id", sp.eos_id())]:
        if value >= 0:
            keys[key] = value
    write_gguf(name, gguf_model, [sp.id_to_piece(i) for i in ids], types, scores=[sp.get_score(i) for i in ids],
               add_bos_token=False, add_eos_token=False, **keys)
    # NUL ends a string in the normaliser's table; the library's own bindings disagree about it.
    dump(name, {"cases": [[t, sp.encode(t)] for t in TEXTS if "\0" not in t]})


def main():
    OUT.mkdir(exist_ok=True)
    corpus = FOREIGN.splitlines() * 4
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.txt"))[:6]:
        corpus += [line for line in path.read_text(errors="replace").splitlines() if line.strip()][:2500]
    make_pre()
    make_bpe(corpus)
    make_gemma4(corpus)
    make_bert(corpus)
    make_sentencepiece("spm", corpus, "llama", model_type="bpe", vocab_size=1000, byte_fallback=True,
                       remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True)
    make_sentencepiece("spm-plain", corpus, "llama", model_type="bpe", vocab_size=700, rules=True)
    make_sentencepiece("t5", corpus, "t5", model_type="unigram", vocab_size=900, rules=True,
                       pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    make_sentencepiece("t5-bytes", corpus, "t5", model_type="unigram", vocab_size=1000, byte_fallback=True,
                       remove_extra_whitespaces=False, add_dummy_prefix=False, split_by_whitespace=False)
    for path in sorted(OUT.iterdir()):
        print(f"{path.stat().st_size:8d} {path.name}")


main()
