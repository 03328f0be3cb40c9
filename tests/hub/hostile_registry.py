"""A registry that does wrong by script, beside a stranger who listens for secrets.

    with Stranger() as b, Hostile(SCRIPTS["cut, resets"], stranger=b) as s:
        pull(home, s.name(), "--insecure", env=s.secret())

What a script does wrong is a function `wrong(s, q, w)` of registry, request and wire, which gives True when it has
answered; `at` says to which requests: "model" (the weights), "manifest", "token", "config". Everything else is
right. The registry wants a token, and gives it to who knows the password. Scripts are in hostile_scripts.py."""
import base64
import json
import random
import threading

from hub_rig import Model
from script_server import ScriptServer

MODEL = Model(size=2_000_000, seed=3)
CHUNK = 256 << 10  # of hub_rig.QUICK
BASIC = "Basic " + base64.b64encode(b"me:secret").decode()


class Stranger:
    """Another host: it has the same blobs, wants nothing for them, and keeps every request."""

    def __init__(self, model=MODEL):
        self.model = model
        self.server = ScriptServer(self.answer, host="127.0.0.2")
        self.wrong = None

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *x):
        self.server.__exit__(*x)

    def url(self, path="/"):
        return self.server.url(path)

    def answer(self, q, w):
        if self.wrong and self.wrong(q, w):
            return
        if q.path == "/token":
            w.send(200, b'{"token":"good"}')
        elif "/manifests/" in q.path:
            w.send(200, self.model.manifest)
        elif data := self.model.blobs.get(q.path.rpartition("/")[2]):
            give(q, w, data)
        else:
            w.send(404)

    def heard(self):
        """What of a secret came here."""
        names = ("authorization", "proxy-authorization", "cookie")
        words = ("secret", "good", BASIC[6:])
        return [q.target for q in self.server.requests
                if any(n in q.fields for n in names) or any(x in q.target + str(q.fields) for x in words)]


def give(q, w, data, stop=None, status=None, etag='"one"', sent=None, **fields):
    """The blob or its range. stop: the connection ends after so many bytes of the answer; sent: is told of
    bytes as they leave."""
    first, last = q.range() or (0, None)
    last = len(data) - 1 if last is None else min(last, len(data) - 1)
    body = data[first:last + 1]
    if q.range():
        fields.setdefault("Content_Range", f"bytes {first}-{last}/{len(data)}")
    head = {"Content_Length": len(body), "ETag": etag, **fields}
    w.head(status or (206 if q.range() else 200), **{k: v for k, v in head.items() if v is not None})
    part = body if stop is None else body[:stop]
    for at in range(0, len(part), 16384):
        w.raw(part[at:at + 16384])
        if sent:
            sent(len(part[at:at + 16384]))
    if stop is not None:
        w.close()


class Hostile:
    """The registry. .served counts bytes of the weights that left, .asked the requests that the script saw."""

    def __init__(self, wrong=None, at="model", model=MODEL, host="127.0.0.1", cert=None, manifest=None, guarded=True,
                 stranger=None):
        self.wrong, self.at, self.model, self.guarded, self.stranger = wrong, at, model, guarded, stranger
        self.manifest = model.manifest if manifest is None else manifest
        self.served, self.asked, self.turn = 0, 0, 1
        self.lock, self.random, self.mine = threading.Lock(), random.Random(7), threading.local()
        self.server = ScriptServer(self.answer, host, cert)

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *x):
        self.server.__exit__(*x)

    def name(self, path="ns/m", host=None):
        return self.server.url("/" + path, host)

    def secret(self):
        return {"HEARTH_REGISTRY_AUTH": f"{self.server.host}:{self.server.port}=me:secret"}

    def begin(self):
        """Counts from 0 again. What still is on its way to a client that has left counts no more, and a request
        of its that is read only now has a token that holds no longer."""
        with self.lock:
            self.served, self.asked, self.turn = 0, 0, self.turn + 1

    def token(self):
        return "good" if self.turn == 1 else f"good{self.turn}"

    def kind(self, q):
        if q.path == "/token":
            return "token"
        if q.path.startswith("/v2/ns/m/manifests/"):
            return "manifest"
        digest = q.path.rpartition("/")[2]
        if digest == self.model.digest:
            return "model"
        return "config" if digest in self.model.blobs else None

    def answer(self, q, w):
        kind, self.mine.turn = self.kind(q), self.turn
        if kind and kind == self.at:
            with self.lock:
                self.asked += 1
                q.number = self.asked
            if self.wrong and self.wrong(self, q, w):
                return
        self.right(kind, q, w)

    def right(self, kind, q, w):
        if kind == "token":
            text = json.dumps({"token": self.token()}).encode()
            w.send(200, text) if q.fields.get("authorization") == BASIC else w.send(401)
        elif self.guarded and q.fields.get("authorization") != "Bearer " + self.token():
            self.challenge(w, self.server.url("/token"))
        elif kind == "manifest":
            w.send(200, self.manifest, Content_Type="application/json")
        elif kind is None:
            w.send(404, b'{"errors":[{"message":"no such blob"}]}')
        else:
            self.give(q, w, self.model.blobs[q.path.rpartition("/")[2]])

    def challenge(self, w, realm, scheme="Bearer"):
        w.send(401, b"", WWW_Authenticate=f'{scheme} realm="{realm}",service="registry",scope="x"')

    def count(self, n):
        with self.lock:
            if self.mine.turn == self.turn:
                self.served += n

    def give(self, q, w, data, **kw):
        give(q, w, data, sent=self.count if self.kind(q) == "model" else None, **kw)

    @property
    def weights(self):
        return self.model.weights

    @property
    def total(self):
        return len(self.model.weights)


def without(key):
    m = json.loads(MODEL.manifest)
    del m[key]
    return json.dumps(m).encode()


def layer(**change):
    m = json.loads(MODEL.manifest)
    m["layers"][0].update(change)
    return json.dumps(m).encode()
