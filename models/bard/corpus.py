"""The training text of Bard: files in, streams of token ids out.

The corpus is a folder of plain text files, one work each.  A play looks like

    ACT I
    SCENE II<TAB>A room of state in the castle.
    <TAB>[Enter KING CLAUDIUS]
    HORATIO<TAB>That can I;
    <TAB>At least, the whisper goes so.

and is used twice: as it is written, byte for byte (the plain form), and as
conversations made of consecutive speeches (the chat form).
"""
import random
import re
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCAB = 4096
CONTROL = ["<|endoftext|>", "<|system|>", "<|user|>", "<|bard|>", "<|end|>"]
BOS, SYSTEM, USER, BARD, END = range(VOCAB - len(CONTROL), VOCAB)

# One whole play and one whole poem that neither the vocabulary nor the
# weights have seen.
HELD_OUT = ["twogentlemenofverona.txt", "loverscomplaint.txt"]

SONNET_REQUESTS = [
    "Write a sonnet.", "Write me a sonnet.", "Give me a sonnet.",
    "Speak a sonnet.", "A sonnet, please.", "Let me hear a sonnet.",
    "Can you write a sonnet?", "Write a poem.", "Tell me a poem.",
]


def read_files(folder):
    """Returns {file name: text} of training files and of held-out files."""
    train, held = {}, {}
    for path in sorted(Path(folder).glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        (held if path.name in HELD_OUT else train)[path.name] = text
    missing = set(HELD_OUT) - set(held)
    if not train or missing:
        raise SystemExit(f"{folder}: not the corpus (missing: {sorted(missing) or 'all'})")
    return train, held


def train_tokenizer(texts):
    """A byte-level BPE with GPT-2's pattern; the control tokens come last."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=VOCAB - len(CONTROL), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    if tok.get_vocab_size() != VOCAB - len(CONTROL):
        raise SystemExit("the corpus is too small for the vocabulary")
    tok.add_special_tokens(CONTROL)
    return tok


def scenes(text):
    """Yields (heading, [speech, ...]) for each scene of a play."""
    title = next((line.strip() for line in text.splitlines() if line.strip()), "")
    text = re.sub(r"\[[^\]]*\]", "", text)          # stage directions
    heading, speeches = None, []
    for line in text.splitlines():
        line = line.rstrip()
        start = re.match(r"SCENE\s+[IVX]+[:.]?\s*(.*)", line)
        bare = line.strip()
        ends = re.match(r"ACT [IVX]+$|PROLOGUE$|EPILOGUE$|INDUCTION$", bare)
        if start or ends:
            if speeches:
                yield heading, [s for s in speeches if s]
            place = start.group(1) if start else None
            heading = f"{title}. {place}".strip() if start else None
            speeches = []
        elif heading is None or not bare or bare == title:
            continue
        elif line[0] == "\t":
            if speeches:                            # the speech goes on
                speeches[-1] = (speeches[-1] + "\n" + bare).strip()
        elif "\t" in line:                          # SPEAKER<TAB>first line
            speeches.append(line.split("\t", 1)[1].strip())
    if speeches:
        yield heading, [s for s in speeches if s]


def sonnets(text):
    """Yields the sonnets of sonnets.txt, without their numbers."""
    for part in re.split(r"\n[IVXLC]+\.\n", text)[1:]:
        yield part.strip("\n")


class Corpus:
    """Tokenised works, and the streams of tokens that are cut into windows."""

    def __init__(self, files, tok, seed):
        self.seed = seed
        encode = lambda texts: [e.ids for e in tok.encode_batch(texts, add_special_tokens=False)]
        self.plain = [self._blocks(tok, text) for text in files.values()]
        self.scenes = []
        for text in files.values():
            for heading, speeches in scenes(text):
                self.scenes.append((encode([heading])[0], encode(speeches)))
        self.requests = encode(SONNET_REQUESTS)
        self.sonnets = encode(list(sonnets(files.get("sonnets.txt", ""))))

    @staticmethod
    def _blocks(tok, text):
        """The tokens of a text, cut after blank lines; every byte is kept."""
        whole = tok.encode(text, add_special_tokens=False)
        cuts = [i for i, (at, _) in enumerate(whole.offsets)
                if text[max(at - 2, 0):at] == "\n\n" and text[at] != "\n"]
        return [whole.ids[i:j] for i, j in zip([0, *cuts], [*cuts, len(whole.ids)]) if j > i]

    def _plain_documents(self, rng):
        """Every work cut, at blank lines, into passages of random length."""
        for blocks in self.plain:
            doc, limit = [BOS], rng.randint(200, 3000)
            for ids in blocks:
                if len(doc) > limit:
                    yield doc
                    doc, limit = [BOS], rng.randint(200, 3000)
                doc = doc + ids
            yield doc

    def _chat_documents(self, rng):
        """Every scene cut into conversations, sometimes headed by its place."""
        for heading, speeches in self.scenes:
            at = rng.randint(0, 1)                  # either parity may answer
            while at + 1 < len(speeches):
                turns = 2 * rng.choice([1, 2, 2, 3, 4, 6, 8, 12, 16, 24])
                doc = [BOS]
                if rng.random() < 0.3:
                    doc += [SYSTEM, *heading, END]
                for i, ids in enumerate(speeches[at:at + turns]):
                    doc += [BARD if i % 2 else USER, *ids, END]
                yield doc
                at += turns
        for ids in self.sonnets:
            yield [BOS, USER, *rng.choice(self.requests), END, BARD, *ids, END]

    def stream(self, form, epoch):
        """All documents of one form, shuffled, as one array of token ids."""
        rng = random.Random(f"{self.seed}/{form}/{epoch}")
        docs = list(self._plain_documents(rng) if form == "plain" else self._chat_documents(rng))
        rng.shuffle(docs)
        return np.concatenate([np.array(d, dtype=np.int64) for d in docs])


class Windows:
    """Endless windows of one form, at a position that can be saved."""

    def __init__(self, corpus, form, state=(0, 0)):
        self.corpus, self.form = corpus, form
        self.epoch, self.at = state
        self.data = corpus.stream(form, self.epoch)

    def take(self, count, length):
        """Returns count windows of length + 1 tokens, overlapping by one."""
        out = []
        while len(out) < count:
            if self.at + length + 1 > len(self.data):
                self.epoch, self.at = self.epoch + 1, 0
                self.data = self.corpus.stream(self.form, self.epoch)
            out.append(self.data[self.at:self.at + length + 1])
            self.at += length
        return np.stack(out)

    def state(self):
        return self.epoch, self.at


def held_out_windows(files, tok, length):
    """Fixed held-out windows: {form: ([token ids, ...], bytes of text)}.

    Plain windows are consecutive pieces of a work, each behind its own BOS.
    Chat windows hold whole speeches of one scene as alternating turns.
    """
    encode = lambda text: tok.encode(text, add_special_tokens=False).ids
    plain, chat, plain_bytes, chat_bytes = [], [], 0, 0
    for text in files.values():
        ids = encode(text)
        plain += [[BOS] + ids[i:i + length - 1] for i in range(0, len(ids), length - 1)]
        plain_bytes += len(text.encode())
        for _, speeches in scenes(text):
            doc, turn = [BOS], 0
            for speech in speeches:
                ids = encode(speech)
                if len(doc) + len(ids) + 2 > length and turn:
                    chat.append(doc)
                    doc, turn = [BOS], 0
                doc += [BARD if turn % 2 else USER, *ids, END]
                turn += 1
                chat_bytes += len(speech.encode())
            if turn:
                chat.append(doc[:length])
    return {"plain": (plain, plain_bytes), "chat": (chat, chat_bytes)}
