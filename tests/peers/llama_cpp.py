"""llama.cpp as a peer to compare with, through its C interface (ctypes).

The library is the one in $LLAMA_CPP_LIB (a folder with libllama and libggml), or the one that the npm package
@node-llama-cpp/linux-x64 carries (`make peers` installs it; see package.json beside this file), or that of an
installed llama-cpp-python. Nothing of it is part of Hearth.

    from llama_cpp import Peer
    p = Peer("model.gguf", n_ctx=2048, n_threads=2)
    ids = p.tokenize("Once upon a time", bos=True)
    logits = p.eval(ids)             # [n_vocab] of the last token, or all=True for every token
    p.clear()

Parameter structs are passed by value and differ between releases, so they are treated as opaque: the defaults are
taken from the library and only their first, stable members are changed.
"""
import ctypes as C
import glob
import os
import pathlib
import re
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent


class Opaque(C.Structure):
    """Larger than any parameter struct: passed by value in memory, of which the callee reads its part."""
    _fields_ = [("word", C.c_uint32 * 256)]


class Batch(C.Structure):
    _fields_ = [("n_tokens", C.c_int32), ("token", C.POINTER(C.c_int32)), ("embd", C.POINTER(C.c_float)),
                ("pos", C.POINTER(C.c_int32)), ("n_seq_id", C.POINTER(C.c_int32)),
                ("seq_id", C.POINTER(C.POINTER(C.c_int32))), ("logits", C.POINTER(C.c_int8))]


def library_folder():
    """Where libllama lies, or None."""
    where = os.environ.get("LLAMA_CPP_LIB")
    peers = pathlib.Path(os.environ.get("HEARTH_PEERS", HERE))
    roots = [pathlib.Path(where)] if where else [
        peers / "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64",
        *(pathlib.Path(p) / "llama_cpp/lib" for p in sys.path)]
    for r in roots:
        if glob.glob(str(r / "libllama.*so*")):
            return r
    return None


def version():
    """What the library's file name, or the folder's, says of its version."""
    folder = library_folder()
    for path in sorted(folder.glob("libllama.*so*")):
        found = re.search(r"v?(\d+\.\d+[.\d]*)", path.name)
        if found:
            return found.group(0).strip(".")
    return folder.parent.name


_lib = None


def library():
    """The loaded library; RuntimeError when there is none."""
    global _lib
    if _lib:
        return _lib
    folder = library_folder()
    if not folder:
        raise RuntimeError("no llama.cpp here: run `make peers` once, or set LLAMA_CPP_LIB")
    one = lambda pattern: sorted(glob.glob(str(folder / pattern)))[0]
    C.CDLL(one("libggml-base.*so*"), C.RTLD_GLOBAL)
    ggml = C.CDLL(one("libggml.*so*"), C.RTLD_GLOBAL)
    ggml.ggml_backend_load_all_from_path.argtypes = [C.c_char_p]
    ggml.ggml_backend_load_all_from_path(str(folder).encode())
    lib = C.CDLL(one("libllama.*so*"), C.RTLD_GLOBAL)
    p, i32 = C.c_void_p, C.c_int32
    for name, res, args in [
            ("llama_model_default_params", Opaque, []), ("llama_context_default_params", Opaque, []),
            ("llama_model_quantize_default_params", Opaque, []),
            ("llama_model_load_from_file", p, [C.c_char_p, Opaque]), ("llama_model_free", None, [p]),
            ("llama_init_from_model", p, [p, Opaque]), ("llama_free", None, [p]),
            ("llama_model_get_vocab", p, [p]), ("llama_vocab_n_tokens", i32, [p]),
            ("llama_tokenize", i32, [p, C.c_char_p, i32, C.POINTER(i32), i32, C.c_bool, C.c_bool]),
            ("llama_set_n_threads", None, [p, i32, i32]), ("llama_decode", i32, [p, Batch]),
            ("llama_get_logits_ith", C.POINTER(C.c_float), [p, i32]), ("llama_synchronize", None, [p]),
            ("llama_get_memory", p, [p]), ("llama_memory_clear", None, [p, C.c_bool]),
            ("llama_memory_seq_rm", C.c_bool, [p, i32, i32, i32]),
            ("llama_model_quantize", C.c_uint32, [C.c_char_p, C.c_char_p, p]), ("llama_backend_init", None, [])]:
        f = getattr(lib, name)
        f.restype, f.argtypes = res, args
    log = C.CFUNCTYPE(None, C.c_int, C.c_char_p, C.c_void_p)(lambda *_: None)
    lib.llama_log_set.argtypes = [type(log), C.c_void_p]
    lib.llama_log_set(log, None)
    lib._keep = log
    lib.llama_backend_init()
    _lib = lib
    return lib


GGML_F16, GGML_Q8_0 = 1, 8


def kv_types_at(params):
    """Where the defaults have the types of keys and values: the first two neighbours that say F16."""
    for i in range(16, 60):
        if params.word[i] == params.word[i + 1] == GGML_F16:
            return i
    raise RuntimeError("this llama.cpp keeps the types of its KV cache elsewhere")


class Peer:
    def __init__(self, path, n_ctx=4096, n_threads=2, n_batch=2048, n_ubatch=512, q8_kv=False):
        lib = library()
        self.model = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
        if not self.model:
            raise RuntimeError(f"llama.cpp cannot load {path}")
        c = lib.llama_context_default_params()
        c.word[0], c.word[1], c.word[2] = n_ctx, n_batch, n_ubatch
        if q8_kv:
            at = kv_types_at(c)
            c.word[at], c.word[at + 1] = GGML_Q8_0, GGML_Q8_0
        self.ctx = lib.llama_init_from_model(self.model, c)
        if not self.ctx:
            raise RuntimeError(f"llama.cpp cannot make a context for {path}")
        lib.llama_set_n_threads(self.ctx, n_threads, n_threads)
        self.vocab = lib.llama_model_get_vocab(self.model)
        self.n_vocab = lib.llama_vocab_n_tokens(self.vocab)
        self.n_batch, self.pos = n_batch, 0

    def close(self):
        library().llama_free(self.ctx)
        library().llama_model_free(self.model)

    def tokenize(self, text, bos=False, special=False):
        raw = text if isinstance(text, bytes) else text.encode()
        ids = (C.c_int32 * (len(raw) + 16))()
        n = library().llama_tokenize(self.vocab, raw, len(raw), ids, len(ids), bos, special)
        if n < 0:
            raise RuntimeError("llama_tokenize failed")
        return list(ids[:n])

    def clear(self):
        library().llama_memory_clear(library().llama_get_memory(self.ctx), True)
        self.pos = 0

    def cut(self, n):
        """Forgets everything from position n on."""
        if not library().llama_memory_seq_rm(library().llama_get_memory(self.ctx), 0, n, -1):
            raise RuntimeError("llama.cpp cannot cut its context")
        self.pos = n

    def eval(self, ids, all=False, wait_only=False):
        """Appends tokens. Logits of the last one, or of each; nothing when wait_only."""
        lib, out = library(), []
        for at in range(0, len(ids), self.n_batch):
            part = ids[at:at + self.n_batch]
            n = len(part)
            last = at + n == len(ids)
            zero = (C.c_int32 * 1)(0)
            seqs = (C.POINTER(C.c_int32) * n)(*[C.cast(zero, C.POINTER(C.c_int32))] * n)
            want = (C.c_int8 * n)(*[1 if all or (last and i == n - 1) else 0 for i in range(n)])
            b = Batch(n, (C.c_int32 * n)(*part), None, (C.c_int32 * n)(*range(self.pos, self.pos + n)),
                      (C.c_int32 * n)(*[1] * n), seqs, want)
            if lib.llama_decode(self.ctx, b) != 0:
                raise RuntimeError("llama_decode failed")
            self.pos += n
            if not wait_only:
                for i in range(n):
                    if want[i]:
                        out.append(np.ctypeslib.as_array(lib.llama_get_logits_ith(self.ctx, i), (self.n_vocab,)).copy())
        lib.llama_synchronize(self.ctx)
        if wait_only:
            return None
        return np.stack(out) if all else out[-1]


FTYPES = {"F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_M": 12, "Q4_K_S": 14,
          "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "IQ4_NL": 25, "IQ4_XS": 30}


def quantize(src, dst, ftype, n_threads=2):
    """Writes dst from src in one of FTYPES."""
    lib = library()
    p = lib.llama_model_quantize_default_params()
    p.word[0], p.word[1] = n_threads, FTYPES[ftype]
    if lib.llama_model_quantize(str(src).encode(), str(dst).encode(), C.byref(p)) != 0:
        raise RuntimeError(f"llama.cpp cannot quantize {src} to {ftype}")
