"""TLS: a certificate of one's own, what is spoken, clients that leave, and nginx in front."""
import http.client
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from net_server import Answer, Server, request, reset, rest, until  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def server(folder):
    with Server("--tls-self", folder) as s:
        yield s


def dial(server, folder, name="localhost", context=None):
    if context is None:
        context = ssl.create_default_context(cafile=folder / "cert.pem")
    return context.wrap_socket(server.dial(), server_hostname=name)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", socket.gethostname()])
def test_names(server, folder, name):
    with dial(server, folder, name) as s:
        s.sendall(request("/e"))
        assert json.loads(Answer(s).body)["tls"] is True


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_what_is_spoken(server, folder):
    old = ssl.create_default_context(cafile=folder / "cert.pem")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(OSError):
        dial(server, folder, context=old)
    both = ssl.create_default_context(cafile=folder / "cert.pem")
    both.set_alpn_protocols(["h2", "http/1.1"])
    with dial(server, folder, context=both) as s:
        assert s.selected_alpn_protocol() == "http/1.1" and s.version() == "TLSv1.3"
    middle = ssl.create_default_context(cafile=folder / "cert.pem")
    middle.maximum_version = ssl.TLSVersion.TLSv1_2
    with dial(server, folder, context=middle) as s:
        s.sendall(request("/hello"))
        assert Answer(s).body == b"hello\n" and s.version() == "TLSv1.2"
    with server.dial() as s:  # plain HTTP at this port
        s.sendall(request("/hello"))
        assert b"hello" not in rest(s)
    with dial(server, folder) as s:
        s.sendall(request("/hello"))
        assert Answer(s).status == 200


def test_answers(server, folder):
    with dial(server, folder) as s:
        s.sendall(request("/big?n=3000000") + request("/stream?n=5&size=4&ms=2") +
                  request("/e", method="POST", body=b"y" * 300000))
        assert len(Answer(s).body) == 3000000
        assert Answer(s).body == b"aaaabbbbccccddddeeee"
        assert json.loads(Answer(s).body)["body"] == "y" * 300000
        s.sendall(request("/hello", "Connection: close"))
        assert Answer(s).body == b"hello\n"
        assert s.recv(1) == b""  # close_notify: python would call a ragged end an error
    with dial(server, folder) as s:
        s.sendall(request("/e", "Content-Length: 1", "Content-Length: 1") + b"x")
        assert rest(s).startswith(b"HTTP/1.1 400 ")


def test_leaving(server, folder):
    def stats():
        with dial(server, folder) as s:
            s.sendall(request("/stats"))
            return json.loads(Answer(s).body)

    gone = stats()["gone"]
    for i in range(24):
        s = dial(server, folder)
        if i % 2:
            s.sendall(request("/park"))
            until(lambda: stats()["parked"] == 1)
        else:
            s.sendall(request("/tick?ms=5"))
            Answer.need(s, 50)
        how = i // 2 % 4
        if how == 0:
            s.close()
        elif how == 1:
            reset(s)
        elif how == 2:
            socket.socket.shutdown(s, socket.SHUT_WR)  # beneath TLS, without close_notify
        else:
            s.settimeout(0.01)
            try:
                s.unwrap()  # close_notify alone, the socket stays open
            except (OSError, ValueError):
                pass
        until(lambda: stats()["gone"] == gone + i + 1)
        s.close()
    until(server.has_no_clients)


def test_half_a_handshake():
    with Server("--header-ms", 200, "--tls-self", pathlib.Path(os.environ.get("HEARTH_BUILD", ".")) / "test-tls") as s:
        clients = [s.dial() for _ in range(50)]
        for i, c in enumerate(clients):
            c.sendall(b"\x16\x03\x01\x02\x00\x01"[:i % 7])
        assert all(rest(c) == b"" for c in clients)
        for c in clients:
            c.close()
        until(s.has_no_clients)


def test_certificate_is_kept(folder):
    with Server("--tls-self", folder) as s:
        first = s.fingerprint
    with Server("--tls-self", folder) as s:
        assert s.fingerprint == first
    assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600
    os.chmod(folder / "key.pem", 0o644)
    with Server("--tls-self", folder) as s:
        assert s.fingerprint == first
    assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600
    text = subprocess.run(["openssl", "x509", "-in", folder / "cert.pem", "-noout", "-text", "-checkend",
                           str(9 * 365 * 86400)], capture_output=True, text=True)
    if text.returncode != 127:
        assert text.returncode == 0 and "DNS:localhost" in text.stdout and "IP Address:127.0.0.1" in text.stdout


@pytest.mark.parametrize("cert, key, word", [
    ("absent.pem", "key.pem", "absent.pem: cannot be read"),
    ("cert.pem", "absent.pem", "absent.pem: cannot be read"),
    ("key.pem", "key.pem", "no certificate"),
    ("cert.pem", "cert.pem", "no key"),
    ("cert.pem", "other.pem", "key"),
])
def test_wrong_files(server, folder, tmp_path, cert, key, word):
    with Server("--tls-self", tmp_path):
        shutil.copy(tmp_path / "key.pem", folder / "other.pem")
    with pytest.raises(AssertionError) as told:
        Server("--tls", folder / cert, folder / key)
    assert word in str(told.value) and str(told.value).count("\n") == 1


def test_damaged_certificate_is_made_anew(tmp_path):
    with Server("--tls-self", tmp_path) as s:
        first = s.fingerprint
    (tmp_path / "cert.pem").write_text("nonsense")
    with Server("--tls-self", tmp_path) as s:
        assert s.fingerprint != first


NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;
events {{ worker_connections 64; }}
http {{
    access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    upstream hearth {{ server 127.0.0.1:{port}; keepalive 4; }}
    server {{
        listen unix:{folder}/nginx;
        location / {{ proxy_pass http://hearth; proxy_http_version 1.1; proxy_set_header Connection "";
                      proxy_buffering off; proxy_request_buffering off; client_max_body_size 0; }}
    }}
}}
"""


def test_behind_nginx(tmp_path):
    nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not nginx:
        pytest.skip("nginx is not installed")
    with Server() as server:
        (tmp_path / "conf").write_text(NGINX.format(folder=tmp_path, port=server.port))
        proxy = subprocess.Popen([nginx, "-c", tmp_path / "conf", "-e", tmp_path / "errors"])
        try:
            until((tmp_path / "nginx").exists)

            def connect():
                c = http.client.HTTPConnection("localhost")
                c.sock = socket.socket(socket.AF_UNIX)
                c.sock.connect(str(tmp_path / "nginx"))
                return c

            c = connect()
            for _ in range(20):
                c.request("GET", "/hello")
                assert c.getresponse().read() == b"hello\n"
            c.request("POST", "/e", body=b"x" * 100000)
            assert len(json.loads(c.getresponse().read())["body"]) == 100000
            c.request("POST", "/e", body=iter([b"ab", b"cd"]), encode_chunked=True,
                      headers={"Transfer-Encoding": "chunked"})
            assert json.loads(c.getresponse().read())["body"] == "abcd"
            c.request("GET", "/stream?n=4&size=3&ms=5")
            assert c.getresponse().read() == b"aaabbbcccddd"
            parked = connect()
            parked.request("GET", "/park")
            until(lambda: server.stats()["parked"] == 1)
            parked.close()  # nginx leaves too
            until(lambda: server.stats()["gone"] == 1)
        finally:
            proxy.terminate()
            proxy.wait()
