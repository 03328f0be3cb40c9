"""Hostile names and digests through every entry of the store, watched from outside."""

import os
import pathlib
import random
import re
import shutil
import subprocess

import pytest

PROGRAM = pathlib.Path(os.environ.get("HEARTH_BUILD", ".")) / "tests" / "hub_hostile"
PIECES = ["..", ".", "/", "//", "\\", ":", "-", "%2e", "%2f", "%00", "~", "sha256", "sha256:", "sha256-", "a", "B", "0",
          "0" * 63, "0" * 64, "0" * 65, "A" * 64, "f" * 64, "\u0660" * 64, "\u202e", "\x01", "\x7f", "C:", "nul", "con",
          "::$DATA", "etc/passwd", "/etc/shadow", "/proc/self/environ", "file://", "http://", "https://h/", "@", "?", "#",
          "registry.ollama.ai", "library", "latest", "hf.co", "manifests", "blobs", "../blobs", " ", "\t", "'", '"', "$(id)",
          "x" * 4096, "x" * 128, "x" * 129, "x.gguf", "bard"]


def hostile(count):
    rng = random.Random(7)
    for i in range(count):
        text = "".join(rng.choice(PIECES) for _ in range(rng.randint(1, 7)))
        if i % 5 == 0:
            text = "sha256" + rng.choice(":-/.") + text
        if i % 11 == 0:
            text = "../" * rng.randint(1, 9) + text
        yield text.replace("\n", "")


def opened(log):
    """Each path that the program opened, made, renamed or removed, with the folder it was beneath."""
    for line in log.read_text(errors="replace").splitlines():
        match = re.match(r"\d* *(openat2?|open|unlinkat|renameat2?|mkdirat|symlinkat|creat|unlink|rename|mkdir)\((.*)\) += (-?\d+)",
                         line)
        if match:
            yield match.group(1), match.group(2), int(match.group(3)), line


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_nothing_outside_the_store_is_opened(store):
    store.ok("du")  # makes it
    count = 10000 if os.environ.get("HEARTH_TEST_SIZE") == "nightly" else 600
    log = store.folder / "strace.log"
    text = "\n".join(hostile(count)) + "\n"
    (store.folder / "secret").write_text("secret")
    run = subprocess.run(["strace", "-f", "--seccomp-bpf", "-y", "-s", "8192", "-e",
                          "trace=open,openat,openat2,creat,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,symlinkat",
                          "-o", str(log), str(PROGRAM)], input=text.encode("utf-8", "surrogatepass"), env=store.env,
                         cwd=store.folder, capture_output=True, timeout=550)
    if b"ptrace" in run.stderr.lower():
        pytest.skip("names not watched: strace may not trace here")
    assert run.returncode == 0 and run.stdout.strip() == b"%d" % count, run.stderr
    root, begun, seen = str(store.models), False, 0
    for call, args, result, line in opened(log):
        begun = begun or root in args
        if not begun or result < 0:  # libraries, before the store is opened
            continue
        seen += 1
        resolved = re.search(r"= -?\d+<([^>]*)>", line)
        if resolved:
            path = resolved.group(1)
            assert path.startswith((root, str(store.ollama), str(store.cache))) or path == str(store.folder) or (
                path.startswith(("/usr/", "/etc/ld", "/proc/sys/", "/lib", "/dev/urandom", "/etc/ssl/openssl.cnf")) and "passwd" not in path), line
        elif call not in ("openat", "openat2", "open"):
            assert root in args and "/../" not in args.split('"')[1], line
    assert seen > 1000
    assert (store.folder / "secret").read_text() == "secret"
    assert store.whole()


def test_hostile_names_through_the_program(store):
    """The commands themselves, fewer: each ends with one line and a code, and nothing is made outside."""
    store.ok("du")
    before = {str(p) for p in store.folder.rglob("*") if str(store.models) not in str(p)}
    for text in list(hostile(4000))[:: 4000 // (400 if os.environ.get("HEARTH_TEST_SIZE") == "nightly" else 40)]:
        if "\0" in text or text.startswith("-"):
            continue
        for args in (["rm", text], ["cp", "bard", text + "/.."], ["verify", text], ["show", text, "--system"]):
            done = store.run(*args)
            assert 0 < done.returncode < 128 and done.stderr.count(b"\n") == 1, (args, done)
    assert before == {str(p) for p in store.folder.rglob("*") if str(store.models) not in str(p)}
    assert store.whole()
