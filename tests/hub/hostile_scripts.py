"""What a registry can do wrong: scripts by name. Each says what the pull's exit code is: 0 where a pull gets over it
by itself; else what it ends with, and nothing of the model is there. What is done with them: test_scripts.py."""
import dataclasses
import gzip
import time
import typing
import zlib

from hostile_registry import MODEL, give, layer, without
from hub_rig import Model, sha


@dataclasses.dataclass
class Script:
    wrong: typing.Callable
    code: typing.Any = 0  # of the pull; several where two connections may come to different ends
    at: str = "model"
    args: tuple = ()
    manifest: bytes | None = None


SCRIPTS = {}


def script(name, code=0, at="model", **more):
    def add(wrong):
        assert name not in SCRIPTS, name
        SCRIPTS[name] = Script(wrong, code, at, **more)
        return wrong
    return add


def first(n, wrong):
    """Only the first n requests go wrong."""
    return lambda s, q, w: q.number <= n and wrong(s, q, w)


def always(status, body=b"", **fields):
    def answer(s, q, w):
        w.send(status, body, **fields)
        return True
    return answer


def raw(data):
    def answer(s, q, w):
        w.raw(data)
        w.close()
    return answer


def span(s, q):
    a, b = q.range()
    return s.weights[a:b + 1], f"bytes {a}-{b}/{s.total}"


# ---- connections that end ----

for n in (0, 1, 999, 65_536, 123_457, 600_000):
    script(f"cut after {n} bytes, thrice")(first(3, lambda s, q, w, n=n: s.give(q, w, s.weights, stop=n)))


@script("cut somewhere, every time")
def cut(s, q, w):
    s.give(q, w, s.weights, stop=s.random.randrange(100_000, 400_000))


@script("cut before the last byte, twice")
def cut_last(s, q, w):
    if q.number > 2:
        return False
    s.give(q, w, s.weights, stop=q.range()[1] - q.range()[0])


@script("cut within the header, thrice")
def cut_head(s, q, w):
    if q.number <= 3:
        w.raw(b"HTTP/1.1 206 Partial Content\r\nContent-Le")
        w.close()


@script("cut without a word, thrice")
def cut_at_once(s, q, w):
    if q.number <= 3:
        w.close()


@script("reset, every second time")
def reset(s, q, w):
    if q.number % 2:
        w.head(206, Content_Length=q.range()[1] - q.range()[0] + 1, Content_Range=span(s, q)[1])
        w.raw(span(s, q)[0][:100_000])
        w.reset()


@script("cut at once, always", 4)
def cut_always(s, q, w):
    w.head(206, Content_Length=len(span(s, q)[0]), Content_Range=span(s, q)[1])
    w.close()


script("the manifest cut, twice", at="manifest")(
    first(2, lambda s, q, w: w.head(200, Content_Length=len(s.manifest)) or w.raw(s.manifest[:99]) or w.close()))
script("the token cut, once", at="token")(first(1, lambda s, q, w: w.head(200, Content_Length=99) or w.close()))
script("a small blob cut, always", 4, at="config")(lambda s, q, w: s.give(q, w, s.model.blobs[q.path.rpartition("/")[2]], stop=0))


# ---- servers that wait ----


def stall(n):
    """Nothing more after n bytes of the answer's body, until the client has left."""
    def wait(s, q, w):
        if q.number > 1:
            return False
        data, what = span(s, q)
        w.head(206, Content_Length=len(data), Content_Range=what)
        w.raw(data[:n])
        w.sock.settimeout(60)
        w.sock.recv(1)
        w.close()
    return wait


for n in (0, 100_000, 999_999):
    script(f"silence after {n} bytes, once", args=("--stall", "1"))(stall(n))


@script("silence instead of an answer, once", args=("--stall", "1"))
def silence(s, q, w):
    if q.number == 1:
        w.sock.settimeout(60)
        w.sock.recv(1)
        w.close()


@script("silence within the header, once", args=("--stall", "1"))
def silence_in_head(s, q, w):
    if q.number == 1:
        w.raw(b"HTTP/1.1 206 Partial Content\r\nContent-Le")
        w.sock.settimeout(60)
        w.sock.recv(1)
        w.close()


@script("silence instead of a manifest", 4, at="manifest", args=("--stall", "1", "--retries", "1"))
def silent_manifest(s, q, w):
    w.sock.settimeout(60)
    w.sock.recv(1)
    w.close()


@script("a byte at a time, once", args=("--stall", "1"))
def drip(s, q, w):
    if q.number == 1:
        data, what = span(s, q)
        w.head(206, Content_Length=len(data), Content_Range=what)
        for i in range(600):
            w.raw(data[i:i + 1])
            time.sleep(0.05)
        w.close()


@script("a header that never ends, slowly", args=("--stall", "1"))
def drip_head(s, q, w):
    if q.number == 1:
        w.raw(b"HTTP/1.1 206 X\r\n")
        for i in range(600):
            w.raw(b"X-%d: y\r\n" % i)
            time.sleep(0.05)
        w.close()


# ---- lengths ----


@script("no length: the connection's end is the end")
def no_length(s, q, w):
    data, what = span(s, q)
    w.head(206, Content_Range=what, Connection="close")
    w.raw(data)
    s.count(len(data))
    w.close()


@script("chunks")
def chunked(s, q, w):
    data, what = span(s, q)
    w.head(206, Content_Range=what, Transfer_Encoding="chunked")
    for at in range(0, len(data), 50_000):
        w.raw(b"%x\r\n%s\r\n" % (len(data[at:at + 50_000]), data[at:at + 50_000]))
    w.raw(b"0\r\n\r\n")
    s.count(len(data))
    return True


def odd_chunks(text):
    def answer(s, q, w):
        data, what = span(s, q)
        w.head(206, Content_Range=what, Transfer_Encoding="chunked")
        w.raw(text % data[:5])
        w.close()
    return answer


script("a chunk of no size", (4, 7))(odd_chunks(b"zz\r\n%s\r\n0\r\n\r\n"))
script("a chunk of 2^64 bytes", (4, 7))(odd_chunks(b"10000000000000000\r\n%s\r\n"))
script("a chunk that is cut", (4, 7))(odd_chunks(b"1000\r\n%s"))
script("chunks that stop early", 4)(odd_chunks(b"5\r\n%s\r\n0\r\n\r\n"))


def length(text, code=(4, 7)):
    """The right bytes under a wrong announcement."""
    def answer(s, q, w):
        data, what = span(s, q)
        w.raw(f"HTTP/1.1 206 X\r\nContent-Range: {what}\r\n{text.format(n=len(data), more=len(data) + 1)}\r\n\r\n"
              .encode() + data)
        w.close()
    return answer


for name, text in {"too long": "{more}", "negative": "-1", "2^64": "18446744073709551616", "a word": "many",
                   "signed": "+{n}", "fraction": "{n}.0", "two": "{n}\r\nContent-Length: {more}"}.items():
    script(f"a length that is {name}", (4, 7))(length("Content-Length: " + text))
script("a length that is said twice")(length("Content-Length: {n}\r\nContent-Length: {n}\r\nConnection: close"))


@script("a range and more", 7)
def range_and_more(s, q, w):
    data, what = span(s, q)
    w.head(206, Content_Range=what, Connection="close")
    w.raw(data + b"more")
    w.close()


@script("a byte less than the range", (4, 7))
def range_less(s, q, w):
    data, what = span(s, q)
    w.send(206, data[:-1], Content_Range=what)
    return True


@script("the whole and more", 7)
def whole_and_more(s, q, w):
    w.send(200, s.weights + b"more")
    return True


@script("the whole, too short", 7)
def whole_less(s, q, w):
    w.send(200, s.weights[:-1])
    return True


@script("the whole without a length, and without an end", 7)
def whole_endless(s, q, w):
    w.head(200, Connection="close")
    for _ in range(400):
        w.raw(s.weights[:100_000])
    w.close()


# ---- ranges ----


@script("the whole for a range, once")
def whole_once(s, q, w):
    if q.number == 2:
        w.send(200, s.weights)
        return True


@script("the whole for every range")
def whole(s, q, w):
    w.send(200, s.weights)
    s.count(s.total)
    return True


@script("the whole for every range, cut and cut")
def whole_cut(s, q, w):
    w.head(200, Content_Length=s.total)
    w.raw(s.weights[:500_000 * q.number])
    if 500_000 * q.number < s.total:
        w.close()
    return True


def other_range(text):
    def answer(s, q, w):
        a, b = q.range()
        w.send(206, s.weights[a:b + 1], **({"Content_Range": text.format(a=a, b=b, n=s.total, n1=s.total + 1, a1=a + 1,
                                                                         b1=b + 1)} if text else {}))
        return True
    return answer


RANGES = {"none": "", "another beginning": "bytes {a1}-{b1}/{n}", "another end": "bytes {a}-{b1}/{n}",
          "reversed": "bytes {b}-{a}/{n}", "other units": "pages {a}-{b}/{n}", "no numbers": "bytes a-b/c",
          "past its end": "bytes {a}-{b}/5", "unsatisfied": "bytes */{n}", "negative": "bytes -{b}/{n}",
          "2^64": "bytes 0-18446744073709551615/18446744073709551616"}
for name, text in RANGES.items():
    script(f"Content-Range: {name}, always", (4, 7))(other_range(text))
script("Content-Range: another total, always", 7)(other_range("bytes {a}-{b}/{n1}"))
script("Content-Range: another range, once")(first(1, other_range("bytes 5-104/{n}")))
script("Content-Range: no total")(other_range("bytes {a}-{b}/*"))
script("ranges as a multipart", (4, 7))(lambda s, q, w: w.send(
    206, b"--x\r\nContent-Range: bytes 0-1/2000000\r\n\r\nGG\r\n--x--", Content_Type="multipart/byteranges; boundary=x")
    or True)
script("416, once")(first(1, always(416, Content_Range="bytes */2000000")))
script("416, always", 1)(always(416, Content_Range="bytes */2000000"))


# ---- what it says instead ----

for n in (408, 425, 500, 502, 503, 504, 599):
    script(f"{n}, twice")(first(2, always(n, b'{"errors":[{"message":"later"}]}')))
for n, text in {"a second": "1", "none": "0", "negative": "-5", "a date": "Wed, 21 Oct 2015 07:28:00 GMT",
                "no sense": "soon", "empty": ""}.items():
    script(f"429, Retry-After {n}, twice")(first(2, always(429, Retry_After=text)))
script("429, always", 9)(always(429))
for n, code in {400: 1, 402: 1, 403: 5, 404: 3, 405: 1, 410: 3, 418: 1, 451: 1, 204: (1, 4, 7), 205: (1, 4, 7),
                206: (4, 7), 300: 1, 304: 1, 305: 1, 500: 4, 503: 4, 999: (1, 4, 7)}.items():
    script(f"{n}, always", code)(always(n, b"<html>no</html>" if n not in (204, 205, 304) else b""))
script("503 for the manifest, always", 4, at="manifest")(always(503))
script("404 for the manifest", 3, at="manifest")(always(404))
script("a page for the manifest", 7, at="manifest")(always(200, b"<html>Please log in to the hotel's network</html>"))


@script("100 before each answer")
def goes_on(s, q, w):
    w.raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
    return False


@script("100 and no end of it", (4, 7))
def only_goes_on(s, q, w):
    for _ in range(20_000):
        w.raw(b"HTTP/1.1 100 Continue\r\n\r\n")
    w.close()


# ---- versions: a digest says what is wanted, so that an ETag cannot confuse ----

for name, tag in {"another each time": '"{}"', "weak": 'W/"{}"', "long": '"' + "x" * 9000 + '{}"', "none": None}.items():
    script(f"ETag: {name}")(lambda s, q, w, tag=tag: s.give(
        q, w, s.weights, etag=tag and tag.format(q.number)) or True)


# ---- bytes that are not those ----


def flipped(at):
    data = bytearray(MODEL.weights)
    data[at] ^= 4
    return bytes(data)


for at in (0, 1_234_567, len(MODEL.weights) - 1):
    script(f"a bit, at {at}", 7)(lambda s, q, w, data=flipped(at): s.give(q, w, data) or True)
OTHER = Model(size=len(MODEL.weights), seed=4).weights
script("another file of that length", 7)(lambda s, q, w: s.give(q, w, OTHER) or True)
script("zeros", 7)(lambda s, q, w: s.give(q, w, bytes(s.total)) or True)
script("two halves of two versions", 7)(lambda s, q, w: s.give(q, w, OTHER if q.range()[0] else s.weights) or True)
script("a longer file", 7)(lambda s, q, w: s.give(q, w, s.weights + b"more") or True)
script("a shorter file", 7)(lambda s, q, w: s.give(q, w, s.weights[:1_999_999]) or True)
script("a small blob with other bytes", 7, at="config")(
    lambda s, q, w: s.give(q, w, bytes(len(s.model.blobs[q.path.rpartition("/")[2]]))) or True)
BOMB = gzip.compress(bytes(20_000_000), 1)
script("gzip", 7)(lambda s, q, w: w.send(200, gzip.compress(s.weights, 1), Content_Encoding="gzip") or True)
script("deflate, in chunks", 7)(lambda s, q, w: w.raw(
    b"HTTP/1.1 206 X\r\nTransfer-Encoding: deflate, chunked\r\nContent-Range: " + span(s, q)[1].encode() +
    b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n") or True)
script("br", 7)(lambda s, q, w: w.send(206, span(s, q)[0], Content_Encoding="br", Content_Range=span(s, q)[1]) or True)
script("gzip that says nothing", 7)(lambda s, q, w: w.send(200, gzip.compress(s.weights, 1)) or True)
script("a bomb", 7)(lambda s, q, w: w.send(206, BOMB, Content_Encoding="gzip", Content_Range=span(s, q)[1]) or True)
script("a bomb for a manifest", 7, at="manifest")(
    always(200, zlib.compress(bytes(50_000_000), 1), Content_Encoding="deflate"))
script("a bomb for a token", (5, 7), at="token")(always(200, BOMB, Content_Encoding="gzip"))


# ---- elsewhere ----


def to(text):
    """A redirect; {stranger} has the right blobs, {own} is the registry."""
    def answer(s, q, w):
        w.send(302, b"", Location=text.format(
            stranger=s.stranger.url(q.target), there=s.stranger.url()[:-1].removeprefix("http:"), target=q.target,
            own=s.server.url(), port=s.stranger.server.port))
        return True
    return answer


for n in (301, 302, 303, 307, 308):
    script(f"{n} to a stranger, who has it")(lambda s, q, w, n=n: w.send(
        n, b"", Location=s.stranger.url(q.target)) or True)
script("to a stranger, by //")(to("{there}{target}"))
script("a small blob at a stranger", at="config")(to("{stranger}"))
script("to itself with other words")(lambda s, q, w: not q.target.endswith("?again") and (
    w.send(302, b"", Location=q.target + "?again") or True))
for name, text in {"a file": "file:///etc/passwd", "ftp": "ftp://127.0.0.1/x", "a password": "http://me:secret@127.0.0.1/",
                   "a port of 0": "http://127.0.0.1:0/", "a port too large": "http://127.0.0.1:65536/",
                   "no host": "http:///x", "nothing": "", "an ear": "javascript:alert(1)",
                   "a backslash": "http://127.0.0.1\\@127.0.0.2:{port}/", "a tab": "http://127.0.0.2:{port}/\tx",
                   "a newline": "http://127.0.0.1/\rX-Secret: 1", "a name with a NUL": "http://127.0.0.1%00.example/"}.items():
    script(f"to {name}", (1, 4, 5, 7))(to(text))
script("to a host that is not", 4)(to("http://nowhere.invalid/"))
script("to a port where nobody is", 4)(to("http://127.0.0.1:1/"))
script("in a circle", 5)(to("{target}"))
script("in a growing circle", 5)(lambda s, q, w: w.send(
    302, b"", Location=q.target + ("x" if "?" in q.target else "?")) or True)


@script("50 steps and then the file", 5)
def steps(s, q, w):
    n = int(q.target.partition("?")[2] or 0)
    if n < 50:
        w.send(302, b"", Location=f"{q.path}?{n + 1}")
        return True


@script("back and forth with a stranger", 5)
def to_and_fro(s, q, w):
    s.stranger.wrong = lambda q2, w2: w2.send(302, b"", Location=s.server.url(q2.target)) or True
    w.send(302, b"", Location=s.stranger.url(q.target))
    return True


@script("to a stranger, who wants a token", 5)
def stranger_asks(s, q, w):
    s.stranger.wrong = lambda q2, w2: w2.send(401, b"", WWW_Authenticate=f'Bearer realm="{s.stranger.url("/token")}"') \
        or True
    w.send(302, b"", Location=s.stranger.url(q.target))
    return True


@script("to a stranger, who lies", 7)
def stranger_lies(s, q, w):
    s.stranger.wrong = lambda q2, w2: give(q2, w2, OTHER) or True
    w.send(307, b"", Location=s.stranger.url(q.target))
    return True


script("the manifest at a stranger", at="manifest")(to("{stranger}"))
script("the token at a stranger", at="token")(lambda s, q, w: w.send(302, b"", Location=s.stranger.url("/token")) or True)


# ---- tokens ----


def realm(text, scheme="Bearer"):
    """Another token is wanted, and is to be had there."""
    def answer(s, q, w):
        own, port = s.server.port, s.stranger.server.port
        s.challenge(w, text.format(stranger=s.stranger.url("/token"), own=own, port=port), scheme)
        return True
    return answer


REALMS = {"another host": "{stranger}", "another port": "http://127.0.0.1:{port}/token",
          "userinfo": "http://127.0.0.1:{own}@127.0.0.2:{port}/token", "a look-alike": "http://127.0.0.1.nip.invalid/token",
          "an IDN look-alike": "http://\u0661\u0662\u0667.0.0.1:{own}/token", "a file": "file:///etc/passwd",
          "https": "https://127.0.0.1:{own}/token", "a number for the host": "http://2130706434:{port}/token",
          "no address": "here", "nothing": "", "a backslash": "http://127.0.0.1:{own}\\@127.0.0.2:{port}/token",
          "too long": "http://127.0.0.1:{own}/" + "x" * 9000}
for name, text in REALMS.items():
    script(f"a realm that is {name}", (2, 5, 7), at="manifest")(realm(text))
script("a realm that is another host, in the middle", 5)(
    lambda s, q, w: q.number > 1 and realm("{stranger}")(s, q, w))
script("a proof of an unknown kind", 5, at="manifest")(realm("{stranger}", "Negotiate"))
script("401 without a challenge", 5, at="manifest")(always(401))
script("401 to every token", 5)(lambda s, q, w: s.challenge(w, s.server.url("/token")) or True)
for name, text in {"empty": b'{"token":""}', "not there": b"{}", "a number": b'{"token":7}', "no JSON": b"good",
                   "with a newline": b'{"token":"a\\r\\nX: y"}', "with a NUL": b'{"token":"a\\u0000b"}',
                   "too long": b'{"token":"' + b"x" * 5000 + b'"}', "too deep": b"[" * 50_000}.items():
    script(f"a token that is {name}", (5, 7), at="token")(always(200, text))
script("a token for nobody", 5, at="token")(always(403, b'{"errors":[{"message":"who are you?"}]}'))


@script("a token that holds for three requests")
def short_token(s, q, w):
    s.uses = getattr(s, "uses", 0) + 1
    if s.uses % 4 == 0:
        s.challenge(w, s.server.url("/token"))
        return True


# ---- what is no HTTP ----

LINE = b"HTTP/1.1 206 X\r\n"
for name, data in {
        "an endless field": LINE + b"A: " + b"b" * 100_000, "fields without end": LINE + b"A: b\r\n" * 20_000,
        "a thousand fields": LINE + b"".join(b"A%d: b\r\n" % i for i in range(1000)) + b"\r\n",
        "a NUL": LINE + b"A: b\0c\r\nContent-Length: 0\r\n\r\n", "a field without a colon": LINE + b"hello\r\n\r\n",
        "mail": b"220 mail.example ESMTP\r\n", "no line": b"\r\n\r\n", "HTTP/0.9": b"GGUF" + b"x" * 1000,
        "HTTP/9.9": b"HTTP/9.9 206 X\r\n\r\n", "no status": b"HTTP/1.1\r\n\r\n", "status 0": b"HTTP/1.1 000 X\r\n\r\n",
        "status words": b"HTTP/1.1 two X\r\n\r\n", "a line of 1 MB": b"HTTP/1.1 206 " + b"x" * 1_000_000,
        "HTTP/2": b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x80\0\4\0\1\0\0\0\5\0\xff\xff\xff"}.items():
    script(f"no HTTP: {name}", (1, 4, 7))(raw(data))


@script("an answer to what was not asked", (0,))
def smuggled(s, q, w):
    """More after the answer's end: the next request on that connection must not take it for its own."""
    data, what = span(s, q)
    w.send(206, data, Content_Range=what)
    s.count(len(data))
    w.raw(b"HTTP/1.1 206 X\r\nContent-Length: 5\r\nContent-Range: bytes 0-4/2000000\r\n\r\nwrong")
    return True


# ---- manifests ----

MANIFESTS = {
    "empty": (b"", 7), "no JSON": (b"<html>hello</html>", 7), "an array": (b"[]", 7), "cut": (MODEL.manifest[:200], 7),
    "no layers": (without("layers"), (2, 7)), "no weights": (without("layers")[:-1] + b',"layers":[]}', (2, 7)),
    "another digest": (layer(digest=sha(b"else")), 3), "a path": (layer(digest="sha256:../../../../etc/passwd"), 7),
    "capitals": (layer(digest=MODEL.digest.upper()), 7), "63 digits": (layer(digest=MODEL.digest[:-1]), 7),
    "a NUL": (layer(digest=MODEL.digest[:-1] + "\0"), 7), "negative": (layer(size=-1), 7),
    "huge": (layer(size=2 ** 62), (6, 7)), "too small": (layer(size=1000), 7), "too large": (layer(size=2_000_001), 7),
    "safetensors": (layer(mediaType="application/vnd.ollama.image.tensor"), 2), "deep": (b"[" * 100_000, 7),
    "long": (b"{" + b'"a":1,' * 1_000_000, 7), "another algorithm": (layer(digest="sha512:" + "a" * 128), 7),
    "a number for a digest": (layer(digest=7), 7), "a size in words": (layer(size="2000000"), 7),
    "half a byte": (layer(size=0.5), 7), "1e300 bytes": (layer(size=1e300), 7), "nothing": (b"null", 7),
    "bytes that are no UTF-8": (b'{"layers":"\xff\xfe"}', 7)}
for name, (text, code) in MANIFESTS.items():
    script(f"a manifest: {name}", code, manifest=text)(lambda s, q, w: False)

assert len(SCRIPTS) >= 120
