"""Hostile names and digests through every entry that takes one, over HTTP and at the command line, under strace: the
server opens nothing that is not the store's, whatever it is called; a command writes nothing outside it, and reads
nothing but a file that it was given the path of."""
import http.client
import itertools
import json
import os
import re
import shutil
import subprocess
import time
import urllib.parse

import pytest

from hearth_store import BIN, NIGHTLY
from test_hostile_names import hostile, opened
from test_http import Server

CALLS = "open,openat,openat2,creat,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,symlink,symlinkat,link,linkat"
SYSTEM = ("/usr/", "/lib", "/etc/ld.so", "/etc/ssl/", "/etc/local", "/etc/nsswitch.conf", "/etc/host", "/etc/resolv.conf",
          "/etc/gai.conf", "/proc/", "/sys/", "/dev/", "pipe:", "socket:", "anon_inode:")
MESSAGES = [{"role": "user", "content": "x"}]


def traced(log, command):
    return ["strace", "-f", "--seccomp-bpf", "-y", "-s", "9000", "-e", "trace=" + CALLS, "-o", str(log), *command]


@pytest.fixture
def strace(store):
    if not shutil.which("strace"):
        pytest.skip("names not watched: strace is not installed")
    log = store.folder / "log"
    done = subprocess.run(traced(log, ["true"]), capture_output=True)
    if done.returncode:
        pytest.skip("names not watched: strace may not trace here")
    # whatever is fetched is fetched from nobody
    store.env.update({k: "http://127.0.0.1:1" for k in ("http_proxy", "https_proxy")}, no_proxy="")
    (store.folder / "secret").write_text("secret")
    return log


def strangers(store, log, given=()):
    """Lines of the log about what is neither the store's nor the system's nor a path that was given."""
    home, found, seen = str(store.folder / "home"), [], 0
    for call, args, result, line in opened(log):
        if result < 0:
            continue
        seen += 1
        resolved = re.search(r"= \d+<([^>]*)>", line)
        path = resolved.group(1) if resolved else args.split('"')[1] if '"' in args else ""
        if not resolved and not path.startswith("/"):  # beneath a descriptor, which -y names
            folder = re.search(r"^\w+<([^>]*)>", args)
            path = os.path.normpath(os.path.join(folder.group(1) if folder else str(store.folder), path))
        mine = path.startswith((home, str(store.ollama), str(store.cache))) or path == str(store.folder)
        mine = mine or path.startswith(str(store.folder / ".hearth-tmp-"))  # what becomes out.tar
        if "secret" in path or not (mine or path in given or path.startswith(SYSTEM)):
            found.append(line)
    return found, seen


def entries(name):
    """Every request that says a model, a file of one, or a digest: (method, path, body)."""
    q = urllib.parse.quote(name, safe="")
    yield "POST", "/api/push", {"model": name, "stream": False}  # before there is such a model, which would be sent
    yield "POST", "/api/create", {"model": name, "from": "bard", "stream": False}
    yield "POST", "/api/create", {"model": "m", "from": name, "stream": False}
    yield "POST", "/api/create", {"model": "m", "files": {name: name}, "stream": False}
    yield "POST", "/api/create", {"model": "m", "from": "bard", "adapters": {name: name}, "stream": False}
    yield "POST", "/api/create", {"model": "m", "modelfile": f"FROM {name}", "stream": False}
    yield "POST", "/api/copy", {"source": name, "destination": "m"}
    yield "POST", "/api/copy", {"source": "m", "destination": name}
    yield "POST", "/api/show", {"model": name}
    yield "POST", "/api/generate", {"model": name, "stream": False}
    yield "POST", "/api/chat", {"model": name, "messages": MESSAGES, "stream": False}
    yield "POST", "/api/embed", {"model": name, "input": "x"}
    yield "HEAD", "/api/blobs/" + q, None
    yield "POST", "/api/blobs/" + q, {}
    yield "POST", "/v1/chat/completions", {"model": name, "messages": MESSAGES}
    yield "POST", "/v1/completions", {"model": name, "prompt": "x"}
    yield "POST", "/v1/responses", {"model": name, "input": "x", "previous_response_id": name}
    yield "POST", "/v1/messages", {"model": name, "messages": MESSAGES, "max_tokens": 1}
    yield "POST", "/v1/embeddings", {"model": name, "input": "x"}
    yield "GET", "/v1/models/" + q, None
    yield "GET", "/v1/responses/" + q, None
    yield "POST", "/completion", {"model": name, "prompt": "x", "lora": [{"id": 7, "path": name}]}
    yield "POST", "/tokenize", {"model": name, "content": "x"}
    yield "DELETE", "/api/delete", {"model": name}


def test_over_http(store, strace):
    store.create("m", "FROM bard")
    at, server = None, None
    store.enter = [*traced(strace, []), "-D"]  # the tracer aside: who stops it stops the server
    server = Server(store)
    try:
        at = urllib.parse.urlparse(server.base)
        c = http.client.HTTPConnection(at.hostname, at.port, timeout=60)
        names = list(hostile(10000 if NIGHTLY else 5000))[:: 1 if NIGHTLY else 100]
        codes, kinds = {}, 0
        for i, name in enumerate(names):
            every = list(entries(name))
            kinds = len(every)
            # at nightly size each of 10,000 goes in by three doors, and every door sees more than 1,000
            if NIGHTLY:
                every = [*itertools.islice(itertools.cycle(every), 3 * i % kinds, 3 * i % kinds + 3), every[-1]]
            for method, path, body in every:
                data = None if body is None else json.dumps(body)
                c.request(method, path, data, {"Content-Type": "application/json"})
                answer = c.getresponse()
                said = answer.read()
                assert b"root:" not in said and answer.status < 600
                assert answer.status != 500, (method, path, body, said)
                codes[answer.status] = codes.get(answer.status, 0) + 1
        assert c.request("GET", "/api/tags") is None and c.getresponse().status == 200
        c.close()
        # fetching: of those that are no names anywhere, since the others would be asked for
        for name in [n for n in names if "\\" in n or " " in n][:2000]:
            c.request("POST", "/api/pull", json.dumps({"model": name, "stream": False}), {"Content-Type": "application/json"})
            answer = c.getresponse()
            answer.read()
            assert answer.status == 400, (name, answer.status)
    finally:
        server.stop()
        end = time.monotonic() + 60
        while b"exited with 0" not in strace.read_bytes()[-200:]:
            assert time.monotonic() < end
            time.sleep(0.05)
    assert codes.get(400, 0) > len(names) and codes.get(404, 0) > 0, codes
    found, seen = strangers(store, strace)
    assert not found and seen > 300, found[:5]
    store.enter = []
    assert store.whole() and (store.folder / "secret").read_text() == "secret"


COMMANDS = [["show", "{}"], ["show", "{}", "--modelfile"], ["rm", "{}"], ["cp", "{}", "n"], ["cp", "m", "{}"], ["verify", "{}"],
            ["create", "{}", "-f", "Modelfile"], ["export", "{}", "out.tar"], ["import", "m.tar", "--name", "{}"],
            ["update", "{}"], ["update", "{}", "--rollback"], ["stop", "{}"], ["push", "{}", "--retries", "0"],
            ["run", "{}", "--raw", "-n", "1", "x"], ["fit", "{}", "--retries", "0"], ["tokenize", "{}", "x"],
            ["pull", "{}", "--retries", "0"]]


def test_at_the_command_line(store, strace):
    store.create("m", "FROM bard")
    store.ok("export", "m", "m.tar")
    (store.folder / "Modelfile").write_text("FROM bard\n")
    before = {str(p) for p in store.folder.rglob("*")} | {str(store.folder / "out.tar")}
    names = [n for n in list(hostile(5000))[:: 5 if NIGHTLY else 500] if not n.startswith("-") and n and "\0" not in n]
    script = store.folder / "home" / "script"
    for command in COMMANDS:
        assert shutil.which("xargs")
        script.write_bytes(b"\0".join(n.encode("utf-8", "surrogatepass") for n in names))
        with open(script, "rb") as f:
            done = subprocess.run(
                traced(strace, ["xargs", "-0", "-I{}", "sh", "-c", '"$@" </dev/null; c=$?; [ $c -lt 100 ] || echo "code $c"', "x",
                                BIN, *command]), stdin=f, capture_output=True, env=store.env, cwd=store.folder, timeout=1200)
        assert done.returncode == 0 and b"code 1" not in done.stdout, (command, done.stdout[-500:])
        given = {os.path.normpath(os.path.join(store.folder, n)) for n in names}
        own = {str(store.folder / x) for x in ("Modelfile", "m.tar", "out.tar")}
        found, seen = strangers(store, strace, given | own | {os.path.realpath(BIN)})
        assert not found and seen > 10 * len(names), (command, found[:3])
        for line in strace.read_text(errors="replace").splitlines():  # nothing is written there, given or not
            if re.search(r"O_WRONLY|O_RDWR|O_CREAT|unlink|rename|mkdir|link", line) and re.search(r'["<]/etc/', line):
                assert re.search(r"= -1 ", line), line
    script.unlink()
    after = {str(p) for p in store.folder.rglob("*") if store.folder / "home" not in p.parents}
    assert not after - before - {str(strace)}, after - before
    assert store.whole()
