"""A registry that plays every script of hostile_scripts.py, one with every wrong certificate, and a disk that is full
at every point of it. After each the model is absent or byte-identical; a later pull gets it and fetches at most a chunk
again; progress never goes back; a stranger hears of no secret."""
import datetime
import os
import pathlib
import random
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from hostile_registry import CHUNK, MODEL, Hostile, Stranger  # noqa: E402
from hostile_scripts import SCRIPTS  # noqa: E402
from hub_rig import NIGHTLY, absent_or_whole, pull  # noqa: E402


def told(done):
    """(bytes that were there before, bytes that it last said are there) of the weights."""
    rows = [x for x in done.events if x.get("event") == "blob" and x["what"] == "model"]
    return (rows[0]["resumed"], rows[-1]["completed"]) if rows else (None, 0)


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(name, tmp_path):
    script = SCRIPTS[name]
    codes = script.code if isinstance(script.code, tuple) else (script.code,)
    with Stranger() as stranger, Hostile(script.wrong, script.at, manifest=script.manifest, stranger=stranger) as s:
        args = ["--retries", "30" if codes == (0,) else "2", *script.args]
        done = pull(tmp_path, s.name(), "--insecure", *args, env=s.secret())
        assert done.returncode in codes, (done.returncode, done.text)
        assert absent_or_whole(tmp_path, MODEL) == (done.returncode == 0)
        if done.returncode:
            assert done.text.startswith("hearth: ") and done.text.count("\n") == 1, done.text
        assert not stranger.heard(), stranger.heard()
        assert not [p for p in tmp_path.rglob("*") if "passwd" in p.name]

        stranger.wrong = s.wrong = None  # all is well again
        s.manifest = MODEL.manifest
        s.begin()
        again = pull(tmp_path, s.name(), "--insecure", env=s.secret())
        assert again.returncode == 0 and absent_or_whole(tmp_path, MODEL), again.text
        assert not stranger.heard()
        resumed, _ = told(again)
        if done.returncode == 0:
            assert resumed is None and s.served == 0
        else:
            kept = told(done)[1] if done.returncode != 7 else 0  # what proved wrong is dropped
            assert resumed + CHUNK >= kept
            assert s.served == len(MODEL.weights) - resumed


def later(tmp_path, s, stranger, before, *args, env=None):
    """All is well again: the model comes, and of what the first call had at most a chunk comes once more."""
    stranger.wrong = s.wrong = None
    s.begin()
    again = pull(tmp_path, s.name(), *args, env={**s.secret(), **(env or {})})
    assert again.returncode == 0 and absent_or_whole(tmp_path, MODEL), again.text
    assert not stranger.heard(), stranger.heard()
    resumed = told(again)[0]
    assert resumed + CHUNK >= before and s.served == len(MODEL.weights) - resumed


# ---- a disk that is full ----

FULL = pathlib.Path(os.environ.get("HEARTH_BUILD", ".")) / "tests" / "libfull_disk.so"
POINTS = [0, 1, 5, 13, 25, 40, 50, 61, 75, 88, 97, 100, *([random.Random(1).uniform(0, 100) for _ in range(60)] if NIGHTLY else [])]


@pytest.mark.skipif(bool(os.environ.get("HEARTH_SANITIZE")), reason="sanitizers must be loaded before all else")
@pytest.mark.parametrize("parallel", ["1", "4"])
@pytest.mark.parametrize("percent", POINTS)
def test_disk_full(percent, parallel, tmp_path):
    """Writes fail from k % of the weights on. What is there stays, and the message says how much is to come."""
    with Stranger() as stranger, Hostile(None, stranger=stranger) as s:
        full = {"LD_PRELOAD": str(FULL), "FULL_DISK_UNDER": str(tmp_path),
                "FULL_DISK_AFTER": str(int(len(MODEL.weights) * percent / 100))}
        done = pull(tmp_path, s.name(), "--insecure", "--max-parallel", parallel, env={**s.secret(), **full})
        assert done.returncode == 6 and done.text.count("\n") == 1, (done.returncode, done.text)
        assert " bytes " in done.text and any(c.isdigit() for c in done.text), done.text
        assert not absent_or_whole(tmp_path, MODEL)
        assert not [p for p in tmp_path.rglob("*") if p.name.startswith(".hearth-tmp")]
        written = min(told(done)[1], int(len(MODEL.weights) * percent / 100))
        # a journal that cannot be written any more loses what came since the last: that is a chunk
        later(tmp_path, s, stranger, written, "--insecure")


# ---- certificates ----


def openssl(folder, *args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, cwd=folder)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Somebody who vouches for others, as (folder, file to trust)."""
    folder = tmp_path_factory.mktemp("authority")
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
            "-out", "ca.crt", "-days", "2", "-subj", "/CN=Those who know")
    return folder, folder / "ca.crt"


def certificate(authority, name, hosts="DNS:localhost,IP:127.0.0.1", days=(-1, 1), own=False):
    """A certificate and its key; own: it vouches for itself."""
    folder, _ = authority
    begin, end = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=d) for d in days)
    form = "%Y%m%d%H%M%SZ"
    (folder / f"{name}.cnf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\nserial=serial\ndefault_md=sha256\npolicy=p\n"
        f"x509_extensions=x\nunique_subject=no\n[p]\ncommonName=supplied\n[x]\nsubjectAltName={hosts}\n")
    (folder / "index").write_text("")
    (folder / "serial").write_text(f"{random.Random(name).randrange(16, 2 ** 32):08x}\n")
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
            "-out", f"{name}.csr", "-subj", "/CN=localhost")
    signer = ["-selfsign", "-keyfile", f"{name}.key"] if own else ["-cert", "ca.crt", "-keyfile", "ca.key"]
    openssl(folder, "ca", "-batch", "-notext", "-config", f"{name}.cnf", *signer, "-in", f"{name}.csr", "-out", f"{name}.crt",
            "-startdate", begin.strftime(form), "-enddate", end.strftime(form))
    return folder / f"{name}.crt", folder / f"{name}.key"


CERTIFICATES = {"good": {}, "expired": {"days": (-9, -1)}, "not yet valid": {"days": (1, 9)}, "self-signed": {"own": True},
                "wrong host": {"hosts": "DNS:other.example"}, "wrong address": {"hosts": "DNS:localhost,IP:127.0.0.2"},
                "a wildcard of nothing": {"hosts": "DNS:*"}, "a longer name": {"hosts": "DNS:127.0.0.1.example"}}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_certificates(name, authority, tmp_path):
    """Nothing is asked, and no secret told, of a host that cannot show who it is; --insecure is the person's word."""
    made = certificate(authority, name.replace(" ", "_"), **CERTIFICATES[name])
    trust = {"SSL_CERT_FILE": str(authority[1])}
    with Stranger() as stranger, Hostile(cert=made, stranger=stranger) as s:
        address = f"127.0.0.1:{s.server.port}/ns/m"
        done = pull(tmp_path, address, "--retries", "1", env={**s.secret(), **trust})
        if name == "good":
            assert done.returncode == 0 and absent_or_whole(tmp_path, MODEL), done.text
        else:
            assert done.returncode == 5 and "secure connection" in done.text and done.text.count("\n") == 1, done.text
            assert not absent_or_whole(tmp_path, MODEL) and not s.server.requests
            done = pull(tmp_path, address, "--insecure", env=s.secret())
            assert done.returncode == 0 and absent_or_whole(tmp_path, MODEL), done.text
        assert not stranger.heard()


def test_a_certificate_that_expires_meanwhile(authority, tmp_path):
    """Half of it came from the right host; then somebody else answers there. What came stays."""
    good, old = certificate(authority, "was_good"), certificate(authority, "is_old", days=(-9, -1))
    trust = {"SSL_CERT_FILE": str(authority[1])}

    def half(s, q, w):
        if s.served >= 800_000:
            s.server.context.load_cert_chain(*old)
            w.close()
        return False

    with Stranger() as stranger, Hostile(half, cert=good, stranger=stranger) as s:
        name = f"127.0.0.1:{s.server.port}/ns/m"
        done = pull(tmp_path, name, "--retries", "1", "--max-parallel", "1", env={**s.secret(), **trust})
        assert done.returncode in (4, 5) and not absent_or_whole(tmp_path, MODEL), done.text
        kept = s.served  # a range that was answered to its end, before the next was asked for
        assert 800_000 <= kept < len(MODEL.weights)
        s.server.context.load_cert_chain(*good)
        s.name = lambda: name
        later(tmp_path, s, stranger, kept, env=trust)
