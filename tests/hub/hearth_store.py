"""A store of its own for each test, and the program on it."""

import hashlib
import json
import os
import pathlib
import subprocess

import pytest

BIN = os.environ["HEARTH_BIN"]
NIGHTLY = os.environ.get("HEARTH_TEST_SIZE") == "nightly"


class Store:
    """A home of its own; neither Ollama's store nor Hugging Face's cache of this machine is seen."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.models = self.folder / "home" / "models"
        self.ollama = self.folder / "ollama"
        self.cache = self.folder / "hf"
        self.env = {**os.environ, "HEARTH_HOME": str(self.folder / "home"), "HOME": str(self.folder),
                    "OLLAMA_MODELS": str(self.ollama), "HF_HUB_CACHE": str(self.cache), "HEARTH_HOST": "off"}
        self.enter = []  # what the program is started by

    def run(self, *args, input=None, cwd=None, **more):
        return subprocess.run([*self.enter, BIN, *map(str, args)], input=input, capture_output=True, env=self.env,
                              cwd=cwd or self.folder, timeout=120, **more)

    def ok(self, *args, **more):
        done = self.run(*args, **more)
        assert done.returncode == 0, (args, done.stderr.decode())
        return done.stdout.decode()

    def json(self, *args):
        return json.loads(self.ok(*args, "--json"))

    def fails(self, code, *args, **more):
        done = self.run(*args, **more)
        assert done.returncode == code, (args, done.returncode, done.stderr.decode())
        assert done.stderr.count(b"\n") == 1, done.stderr.decode()
        return done.stderr.decode()

    def create(self, name, text, *more):
        return self.run("create", name, "-f", "-", *more, input=text.encode())

    def names(self):
        return [m["name"] for m in self.json("list")["models"]]

    def blobs(self):
        return sorted(p.name for p in (self.models / "blobs").iterdir())

    def whole(self):
        return json.loads(self.run("verify", "--json").stdout)["faults"] == []


class SmallDisk:
    """64 MB of memory as the store's disk, in a mount namespace of its own: no other program sees it, it goes with
    the process that holds it, and no rights are needed where users may have namespaces."""

    def __init__(self, store, size="64m"):
        home = store.folder / "home"
        home.mkdir()
        alone = os.geteuid() != 0
        self.holder = subprocess.Popen(
            ["unshare", *(["-r"] if alone else []), "-m", "sh", "-c",
             'mount -t tmpfs -o "size=$1" none "$0" && echo ready && exec cat', str(home), size],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if self.holder.stdout.readline() != b"ready\n":
            self.close()
            pytest.skip("1 test left out: no small disk can be mounted here (no rights, no user namespaces)")
        store.enter = ["nsenter", "-t", str(self.holder.pid), "-m",
                       *(["-U", "--preserve-credentials"] if alone else []), "--wd=" + str(store.folder), "--"]
        self.home = pathlib.Path(f"/proc/{self.holder.pid}/root{home}")

    def close(self):
        self.holder.stdin.close()
        self.holder.stdout.close()
        self.holder.wait()

    def fill(self, left):
        """Until so many bytes are free, in whole pages."""
        self.free()
        with open(self.home / "fill", "wb") as f:
            for at in range(100):  # a server writes meanwhile
                here = os.statvfs(self.home)
                most = os.fstat(f.fileno()).st_size + here.f_bavail * here.f_frsize - left
                try:
                    if most > 0:
                        os.posix_fallocate(f.fileno(), 0, most)
                    return
                except OSError:
                    assert at < 99

    def free(self):
        (self.home / "fill").unlink(missing_ok=True)


def put_ollama(folder, name, layers):
    """A model as Ollama keeps it: layers is [(kind, bytes)]."""
    blobs = folder / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    rows = []
    for kind, data in [("config", b'{"model_format":"gguf","model_family":"llama"}'), *layers]:
        hex_ = hashlib.sha256(data).hexdigest()
        (blobs / f"sha256-{hex_}").write_bytes(data)
        media = ("application/vnd.docker.container.image.v1+json" if kind == "config"
                 else f"application/vnd.ollama.image.{kind}")
        rows.append({"mediaType": media, "digest": f"sha256:{hex_}", "size": len(data)})
    path = folder / "manifests" / "registry.ollama.ai" / "library" / name / "latest"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"schemaVersion": 2, "config": rows[0], "layers": rows[1:]}))
    return path
