"""The HTTP client against servers that are right (nginx, Hearth's own) and against one that is wrong."""
import gzip
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tools")]
from net_server import BUILD, Server, until  # noqa: E402
from script_server import ScriptServer  # noqa: E402

FETCH = BUILD / "tests" / "net_fetch"
TEXT = bytes(range(32, 127)) * 100


def fetch(*args, env=None):
    clean = {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and k != "SSL_CERT_FILE"}
    done = subprocess.run([FETCH, *map(str, args)], capture_output=True, text=True, timeout=60,
                          env={**clean, **(env or {})})
    assert done.returncode == 0 and "anitizer" not in done.stderr, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return answers[0] if len(answers) == 1 else answers


# ---- with Hearth's own server ----


def test_methods_and_fields():
    with Server() as s:
        url = f"http://127.0.0.1:{s.port}/some%20path?q=a%26b"
        a = fetch("--header", "X-Test: yes", url)
        seen = json.loads(a["body"])
        assert (a["status"], a["x-seen"], a["ok"]) == (200, "yes", True)
        assert (seen["method"], seen["path"], seen["q"], seen["X-Test"]) == ("GET", "/some path", "a&b", "yes")
        a = json.loads(fetch("--body", "{}", url)["body"])
        assert (a["method"], a["body"]) == ("POST", "{}")
        assert json.loads(fetch("--method", "DELETE", "--body", "x", url)["body"])["method"] == "DELETE"
        assert json.loads(fetch("--method", "PUT", url)["body"])["method"] == "PUT"
        a = fetch("--method", "HEAD", url)
        assert a["status"] == 200 and a["body"] == "" and a["ok"]
        assert fetch(f"http://127.0.0.1:{s.port}/none")["status"] == 204


def test_connections_are_kept():
    with Server() as s:
        assert all(a["ok"] for a in fetch("--times", 5, f"http://127.0.0.1:{s.port}/hello"))
        assert s.stats()["accepted"] == 2  # one of net_fetch, one of this question


def test_streams_and_unix_sockets(tmp_path):
    with Server(addresses=("127.0.0.1:0", f"unix:{tmp_path}/s")) as s:
        a = fetch("--stream", "--unix", tmp_path / "s", "http://localhost/stream?n=50&size=1000")
        assert a["bytes"] == 50000 and a["body"].startswith("aaa")
        a = fetch("--end-at", 3000, f"http://127.0.0.1:{s.port}/stream?n=50&size=1000&ms=5")
        assert a["fault"] == "caller" and 3000 <= a["bytes"] < 50000
        a = fetch("--stop-at", 3000, f"http://127.0.0.1:{s.port}/stream?n=50&size=1000&ms=5")
        assert (a["fault"], a["code"]) == ("stopped", 130)
        a = fetch("--timeout-ms", 300, f"http://127.0.0.1:{s.port}/park")
        assert a["fault"] == "stall" and not a["ok"]


def test_tls(tmp_path):
    with Server("--tls-self", tmp_path) as s:
        url = f"https://localhost:{s.port}/hello"
        assert fetch(url, env={"SSL_CERT_FILE": str(tmp_path / "cert.pem")})["body"] == "hello\n"
        a = fetch(url)
        assert (a["fault"], a["code"]) == ("tls", 5)
        assert fetch("--no-verify", url)["status"] == 200
        a = fetch(f"https://127.0.0.2:{s.port}/", env={"SSL_CERT_FILE": str(tmp_path / "cert.pem")})
        assert a["fault"] in ("tls", "connect")


# ---- with a server that is wrong ----


def wrong(script, *args, **kw):
    with ScriptServer(script) as s:
        a = fetch(*args, s.url("/x"), **kw)
        a["requests"] = s.requests
        return a


@pytest.mark.parametrize("script, fault", [
    (lambda q, w: (w.head(200, Content_Length=100), w.raw(b"short"), w.close()), "cut"),
    (lambda q, w: (w.head(200, Content_Length=100), w.raw(b"short"), w.reset()), "cut"),
    (lambda q, w: w.close(), "cut"),
    (lambda q, w: (w.raw(b"HTTP/1.1 200 OK\r\nContent-"), w.close()), "cut"),
    (lambda q, w: (w.raw(b"SSH-2.0-hello\r\n"), w.close()), "bad"),
    (lambda q, w: w.send(200, gzip.compress(TEXT), Content_Encoding="gzip"), "refused"),
    (lambda q, w: w.send(200, gzip.compress(TEXT), Content_Encoding="br"), "refused"),
    (lambda q, w: (w.head(200, Transfer_Encoding="gzip, chunked"), w.close()), "refused"),
    (lambda q, w: (w.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
                   w.close()), "bad"),
    (lambda q, w: w.raw(b"HTTP/1.1 200 OK\r\n" + b"X-Y: " + b"z" * 70000 + b"\r\n\r\n"), "bad"),
    (lambda q, w: w.raw(b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 200 + b"\r\n"), "bad"),
    (lambda q, w: w.send(206, b"hello", Content_Range="bytes 0-4/5"), "bad"),  # was not asked for
    (lambda q, w: (w.head(200, Transfer_Encoding="chunked"), w.raw(b"zz\r\n"), w.close()), "cut"),
    (lambda q, w: (w.head(200, Transfer_Encoding="chunked"), w.raw(b"5\r\nhello\r\n"), w.close()), "cut"),
    (lambda q, w: w.send(302, Location="gopher://127.0.0.1/"), "refused"),
    (lambda q, w: w.send(302, Location="http://me:secret@127.0.0.1/"), "refused"),
    (lambda q, w: w.send(302, Location="/round/and/round"), "refused"),
    (lambda q, w: w.send(302, Location="file:///etc/passwd"), "refused"),
    (lambda q, w: w.send(404, b"x" * 100000), "too big"),
])
def test_faults(script, fault):
    a = wrong(script)
    assert a["fault"] == fault and not a["ok"] and a["message"] and "\n" not in a["message"]


def test_stalls():
    a = wrong(lambda q, w: (w.head(200, Content_Length=10), w.raw(b"abc"), time.sleep(30)), "--stall-ms", 300)
    assert a["fault"] == "stall" and a["body"] == "abc"
    a = wrong(lambda q, w: time.sleep(30), "--stall-ms", 300)
    assert a["fault"] == "stall"

    def drip(q, w):
        w.head(200, Content_Length=1000)
        for _ in range(1000):
            w.raw(b"x")
            time.sleep(0.02)

    a = wrong(drip, "--stall-ms", 500, "--stall-bytes", 100)
    assert a["fault"] == "stall" and a["bytes"] < 200


def test_ranges():
    a = wrong(lambda q, w: w.send(206, TEXT[5:11], Content_Range=f"bytes 5-10/{len(TEXT)}"), "--range", 5, 10)
    assert a["partial"] and a["body"].encode() == TEXT[5:11] and a["total"] == len(TEXT)
    assert a["requests"][0].fields["range"] == "bytes=5-10"
    a = wrong(lambda q, w: w.send(206, TEXT[90:95], Content_Range="bytes 90-94/95"), "--range", 90, 200)
    assert a["partial"]  # the end of the file came before the end of the range
    a = wrong(lambda q, w: w.send(200, TEXT), "--range", 5, 10)
    assert a["ok"] and not a["partial"] and a["bytes"] == len(TEXT)
    for bad in ("bytes 4-10/100", "bytes 5-11/100", "bytes 5-10/7", "bytes 10-5/100", "lines 5-10/100",
                "bytes 5-10", "bytes */100", "bytes 5-99999999999999999999/100"):
        a = wrong(lambda q, w: w.send(206, TEXT[5:11], Content_Range=bad), "--range", 5, 10)
        assert a["fault"] == "bad", bad
    a = wrong(lambda q, w: w.send(206, TEXT[5:11]), "--range", 5, 10)
    assert a["fault"] == "bad"
    a = wrong(lambda q, w: w.send(206, TEXT[5:12], Content_Range="bytes 5-10/100"), "--range", 5, 10)
    assert a["fault"] == "bad"
    a = wrong(lambda q, w: (w.head(206, Content_Range="bytes 5-10/100", Transfer_Encoding="chunked"),
                            w.raw(b"8\r\n12345678\r\n0\r\n\r\n")), "--range", 5, 10)
    assert a["fault"] == "bad"
    a = wrong(lambda q, w: w.send(416, b"no", Content_Range="bytes */100"), "--range", 500, 510)
    assert (a["status"], a["total"], a["body"]) == (416, 100, "no")


def test_caps():
    a = wrong(lambda q, w: w.send(200, TEXT), "--max", 1000)
    assert a["fault"] == "too big" and a["code"] == 6 and a["bytes"] == 0
    a = wrong(lambda q, w: (w.head(200, Transfer_Encoding="chunked"), w.raw(b"7d0\r\n" + b"x" * 2000)),
              "--max", 1000, "--stream")
    assert a["fault"] == "too big" and a["bytes"] <= 1000


def test_an_early_answer_may_precede_the_last():
    a = wrong(lambda q, w: (w.raw(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n"), w.send(200, b"late", X_Seen="two")))
    assert (a["status"], a["body"], a["x-seen"]) == (200, "late", "two")


def test_secrets_stay_at_home():
    """The token reaches the origin that was asked, also after a redirect within it, and no other."""
    def foreign(q, w):
        w.send(200, b"foreign")

    with ScriptServer(foreign) as b:
        def home(q, w):
            where = {"/x": "/y", "/y": "/z", "/z": b.url("/there")}[q.path]
            w.send(307, Location=where)

        with ScriptServer(home) as a:
            got = fetch("--auth", "Bearer secret", "--header", "X-Plain: 1", a.url("/x"))
            assert (got["body"], got["redirects"], got["url"]) == ("foreign", 3, b.url("/there"))
            assert [q.fields.get("authorization") for q in a.requests] == ["Bearer secret"] * 3
            assert "authorization" not in b.requests[0].fields and b.requests[0].fields["x-plain"] == "1"
            # the same port under another name is another host
            for how in (a.url("/z", "localhost"), a.url("/x", "127.0.0.1")):
                fetch("--auth", "Bearer secret", how)
            assert not any("authorization" in q.fields for q in b.requests)
    for name in ("Authorization", "cookie", "Proxy-Authorization", "Host", "Range"):
        assert fetch("--header", f"{name}: x", "http://127.0.0.1:1/")["fault"] == "failed"
    assert fetch("--header", "X: a\nAuthorization: b", "http://127.0.0.1:1/")["fault"] == "failed"
    assert fetch("--auth", "a\r\nX: b", "http://127.0.0.1:1/")["fault"] == "failed"


def test_redirects(tmp_path):
    # from TLS to plain HTTP: never
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", tmp_path / "key", "-out", tmp_path / "cert", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    with ScriptServer(lambda q, w: w.send(200, b"plain")) as plain:
        with ScriptServer(lambda q, w: w.send(302, Location=plain.url("/")),
                          cert=(tmp_path / "cert", tmp_path / "key")) as s:
            a = fetch("--no-verify", s.url("/", "localhost"))
            assert a["fault"] == "refused" and "plain http" in a["message"] and not plain.requests
            trusted = {"SSL_CERT_FILE": str(tmp_path / "cert")}
            assert fetch(s.url("/", "localhost"), env=trusted)["fault"] == "refused"
            assert fetch(s.url("/", "127.0.0.1"), env=trusted)["fault"] == "tls"  # another name
    # what sends a body keeps its method, or is refused
    with ScriptServer(lambda q, w: w.send(200, q.body) if q.path == "/to" else
                      w.send(int(q.path[1:]), Location="/to")) as s:
        assert fetch("--body", "sent", s.url("/307"))["body"] == "sent"
        assert s.requests[-1].method == "POST"
        assert fetch("--body", "sent", s.url("/302"))["fault"] == "refused"
        a = fetch("--redirects", -1, s.url("/302"))
        assert a["status"] == 302 and a["ok"]
        assert fetch("--redirects", 1, s.url("/301"))["ok"]


def test_addresses():
    for bad in ("ftp://localhost/", "localhost/x", "http:///x", "http://me@localhost/", "http://a b/", "http://",
                "file:///etc/passwd", "http://h\u00f6st/", "http://x:99999/", "http://x:0/", "http://" + "a" * 9000, ""):
        a = fetch(bad)
        assert a["fault"] == "failed" and a["code"] == 2, bad
        assert "me@" not in a["message"]


def test_nobody_there():
    a = fetch("http://127.0.0.1:1/")
    assert (a["fault"], a["code"]) == ("connect", 4)
    assert fetch("http://nowhere.invalid/")["fault"] == "connect"


def test_proxy():
    """The environment's proxy is asked, unless the client is direct or the host excepted."""
    def answer(q, w):
        w.send(200, q.target.encode())

    with ScriptServer(answer) as s:
        env = {"http_proxy": s.url("")}
        assert fetch("http://somewhere.invalid/a", env=env)["body"] == "http://somewhere.invalid/a"
        assert fetch("--direct", s.url("/b"), env=env)["body"] == "/b"
        assert fetch(s.url("/c"), env={**env, "no_proxy": "127.0.0.1"})["body"] == "/c"


def test_rate():
    """That a limit holds is arithmetic: 20 kB above what is saved up, at 100 kB/s, take no less than 0.1 s."""
    a = wrong(lambda q, w: w.send(200, b"x" * 40000), "--rate", 100000)
    assert a["ok"] and a["seconds"] > 0.1


# ---- with nginx ----

NGINX = """
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/errors;
events {{ worker_connections 32; }}
http {{
    access_log off;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    server {{ listen unix:{folder}/nginx; root {folder}/www; }}
}}
"""


def test_nginx(tmp_path):
    nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not nginx:
        pytest.skip("nginx is not installed")
    www = tmp_path / "www"
    www.mkdir()
    (www / "file").write_bytes(TEXT)
    user = "user root;" if os.geteuid() == 0 else ""  # the test's folder is its owner's alone
    (tmp_path / "conf").write_text(NGINX.format(folder=tmp_path, user=user))
    server = subprocess.Popen([nginx, "-c", tmp_path / "conf", "-e", tmp_path / "errors"])
    try:
        until((tmp_path / "nginx").exists)
        ask = ["--unix", tmp_path / "nginx"]
        a = fetch(*ask, "http://localhost/file")
        assert a["body"].encode() == TEXT
        a = fetch(*ask, "--range", 100, 199, "http://localhost/file")
        assert a["partial"] and a["body"].encode() == TEXT[100:200] and a["total"] == len(TEXT)
        a = fetch(*ask, "--range", len(TEXT) - 3, 10 ** 9, "http://localhost/file")
        assert a["body"].encode() == TEXT[-3:]
        assert fetch(*ask, "--range", len(TEXT), 10 ** 9, "http://localhost/file")["status"] == 416
        assert fetch(*ask, "http://localhost/none")["status"] == 404
    finally:
        server.terminate()
        server.wait()
