"""What the tests of getting models share: a model in Ollama's form, real registries on loopback (Debian's
docker-registry, nginx with a tree shaped like Hugging Face), and looking at a store with other eyes than ours."""
import hashlib
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tools"))
ROOT = pathlib.Path(os.environ.get("HEARTH_SOURCE") or HERE.parents[1])
HEARTH = os.environ.get("HEARTH_BIN") or str(ROOT / "build" / "hearth")
BARD = ROOT / "models" / "bard" / "bard-q8_0.gguf"
NIGHTLY = os.environ.get("HEARTH_TEST_SIZE") == "nightly"
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
CONFIG = "application/vnd.docker.container.image.v1+json"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Model:
    """Blobs and a manifest as Ollama's registry has them. Without weights of one's own they are noise, that nobody
    runs."""

    def __init__(self, size=3_000_000, seed=1, weights=None, family="llama", **small):
        weights = weights or b"GGUF" + random.Random(seed).randbytes(size - 4)
        layers = [("model", weights), ("license", b"Do as you please."), ("params", b'{"temperature":0.5}'),
                  *((k, v) for k, v in small.items())]
        config = json.dumps({"model_format": "gguf", "model_family": family, "seed": seed}).encode()
        self.weights = weights
        self.blobs = {sha(data): data for _, data in layers} | {sha(config): config}
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": sha(config), "size": len(config)},
            "layers": [{"mediaType": f"application/vnd.ollama.image.{kind}", "digest": sha(data), "size": len(data)}
                       for kind, data in layers]}).encode()
        self.digest = sha(weights)


# ---- hearth ----


def environment(home, **more):
    clean = {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and not k.startswith("HF_")}
    return {**clean, "HEARTH_HOME": str(home), "HOME": str(home), "HEARTH_HOST": "off", **more}


QUICK = ["--retry-wait", "0.02", "--stall", "2", "--chunk", "256"]


def hearth(home, *args, timeout=120, env=None):
    done = subprocess.run([HEARTH, *map(str, args)], capture_output=True, stdin=subprocess.DEVNULL, check=False,
                          timeout=timeout, env=environment(home, **(env or {})))
    assert b"anitizer" not in done.stderr, done.stderr.decode()
    return done


def pull(home, name, *args, **kw):
    """A pull with --json: the finished process, with .events."""
    done = hearth(home, "pull", "--json", *QUICK, *args, name, **kw)
    done.events = [json.loads(line) for line in done.stdout.splitlines()]
    done.text = done.stderr.decode()
    goes_forward(done.events)
    return done


def goes_forward(events):
    last = {}
    for x in events:
        if x["event"] == "blob":
            assert x["completed"] >= last.get(x["what"], 0), events
            assert x["completed"] <= x["total"]
            last[x["what"]] = x["completed"]


# ---- a store, looked at from outside ----


def models(home):
    root = pathlib.Path(home) / "models" / "manifests"
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def check_store(home):
    """Every blob has its name's bytes, and every model all its blobs; gives the models."""
    root = pathlib.Path(home) / "models"
    for p in (root / "blobs").glob("*") if root.exists() else ():
        assert p.name == "sha256-" + hashlib.sha256(p.read_bytes()).hexdigest(), p
    for name, text in models(home).items():
        m = json.loads(text)
        for layer in m["layers"] + [m["config"]]:
            blob = root / "blobs" / layer["digest"].replace(":", "-")
            assert blob.stat().st_size == layer["size"], name
    return models(home)


def absent_or_whole(home, model):
    """Whether it is there; if so, then to the last byte."""
    found = check_store(home)
    for text in found.values():
        assert text == model.manifest
    return bool(found)


# ---- real servers ----


def until(what, child, timeout=60):
    end = time.monotonic() + timeout
    while not what():
        assert child.poll() is None and time.monotonic() < end, "the server did not come up"
        time.sleep(0.02)


class Registry:
    """Debian's docker-registry in a folder of its own."""

    def __init__(self, folder, users=None):
        program = shutil.which("docker-registry", path=PATH)
        if not program:
            pytest.skip("docker-registry is not installed")
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        auth = ""
        if users:
            made = subprocess.run(["openssl", "passwd", "-6", "x"], capture_output=True, check=False)
            assert made.returncode == 0
        (self.folder / "config.yml").write_text(
            f"version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {self.folder}/data\n"
            f"http:\n  addr: 127.0.0.1:0\n{auth}")
        self.child = subprocess.Popen([program, "serve", self.folder / "config.yml"], stdout=subprocess.DEVNULL,
                                      stderr=open(self.folder / "log", "wb"))
        until(self.listens, self.child)

    def listens(self):
        """The system chose the port, and the log says which."""
        found = re.search(r"listening on 127\.0\.0\.1:(\d+)", (self.folder / "log").read_text())
        self.port = int(found.group(1)) if found else 0
        return self.port

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait()

    def name(self, path):
        return f"http://127.0.0.1:{self.port}/{path}"

    def ask(self, method, path, body=None, **headers):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        c.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        r = c.getresponse()
        r.body = r.read()
        c.close()
        return r

    def load(self, path, tag, model):
        for digest, data in model.blobs.items():
            r = self.ask("POST", f"/v2/{path}/blobs/uploads/")
            assert r.status == 202, r.body
            at = r.headers["Location"].replace(f"http://127.0.0.1:{self.port}", "")
            at += ("&" if "?" in at else "?") + "digest=" + digest
            r = self.ask("PUT", at, data, Content_Type="application/octet-stream")
            assert r.status == 201, r.body
        r = self.ask("PUT", f"/v2/{path}/manifests/{tag}", model.manifest, Content_Type=MANIFEST)
        assert r.status == 201, r.body


class Nginx:
    """A folder as a web server: ranges, ETags, nothing else. It is given a socket that listens already, as at an
    upgrade of its own, so that nobody else can have the port."""

    def __init__(self, folder, extra=""):
        program = shutil.which("nginx", path=PATH)
        if not program:
            pytest.skip("nginx is not installed")
        listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.folder = listener.getsockname()[1], pathlib.Path(folder)
        self.www = self.folder / "www"
        self.www.mkdir(parents=True, exist_ok=True)
        user = "user root;" if os.geteuid() == 0 else ""
        (self.folder / "conf").write_text(f"""
            {user} daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/errors;
            events {{ worker_connections 64; }}
            http {{
                access_log {self.folder}/access; sendfile on;
                client_body_temp_path {self.folder}/t1; proxy_temp_path {self.folder}/t2;
                fastcgi_temp_path {self.folder}/t3; uwsgi_temp_path {self.folder}/t4;
                scgi_temp_path {self.folder}/t5;
                server {{ listen 127.0.0.1:{self.port}; root {self.www}; {extra} }}
            }}""")
        fd = listener.fileno()
        self.child = subprocess.Popen([program, "-c", self.folder / "conf", "-e", self.folder / "errors"],
                                      env={**os.environ, "NGINX": f"{fd};"}, pass_fds=[fd])
        listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait()

    def url(self, path=""):
        return f"http://127.0.0.1:{self.port}{path}"

    def put(self, path, data):
        at = self.www / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(data)

    def face(self, repo, files, commit="0123456789abcdef0123456789abcdef01234567", lfs=True, gated=False):
        """A repository as Hugging Face shows it."""
        siblings = []
        for path, data in files.items():
            self.put(f"{repo}/resolve/{commit}/{path}", data)
            row = {"rfilename": path, "size": len(data)}
            if lfs:
                row["lfs"] = {"sha256": sha(data)[7:], "size": len(data), "pointerSize": 134}
            siblings.append(row)
        self.put(f"api/models/{repo}", json.dumps({"id": repo, "sha": commit, "gated": gated,
                                                   "siblings": siblings}).encode())
