"""`make install` gives a tree that is whole: the program with its pages, and a library that a stranger's
program is compiled and linked against with pkg-config and nothing else. Also the commands of the README."""

import os
import pathlib
import shutil
import subprocess

import pytest

import house

BUILD = pathlib.Path(os.environ.get("HEARTH_BUILD") or house.ROOT / "build")
BARD = house.ROOT / "models" / "bard" / "bard-q8_0.gguf"


def run(*command, code=0, **options):
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          **options)
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    where = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", BUILD, "--prefix", where)
    return where


def test_program_and_its_pages(prefix):
    program = prefix / "bin" / "hearth"
    version = run(program, "--version").stdout
    assert version.startswith("hearth ")
    page = (prefix / "share/man/man1/hearth.1").read_text()
    assert page.startswith((".TH", '.\\"')) and ".SH" in page
    for path in ("share/bash-completion/completions/hearth", "share/zsh/site-functions/_hearth",
                 "share/fish/vendor_completions.d/hearth.fish"):
        assert "hearth" in (prefix / path).read_text(), path
    run("bash", "-n", prefix / "share/bash-completion/completions/hearth")


def test_destdir(tmp_path):
    run("cmake", "--install", BUILD, "--prefix", "/opt/hearth", env={**os.environ, "DESTDIR": str(tmp_path)})
    assert (tmp_path / "opt/hearth/bin/hearth").exists()
    assert (tmp_path / "opt/hearth/share/man/man1/hearth.1").exists()


@pytest.fixture(scope="module")
def hello(prefix, tmp_path_factory):
    """examples/hello.c, copied to where nothing of the source tree can help it."""
    folder = tmp_path_factory.mktemp("hello")
    shutil.copy(house.ROOT / "examples" / "hello.c", folder)
    pc = next(prefix.rglob("hearth.pc"))
    # the prefix given at install time, as a packager would have configured it
    flags = run("pkg-config", f"--define-variable=prefix={prefix}", "--cflags", "--libs", "hearth",
                env={**os.environ, "PKG_CONFIG_PATH": str(pc.parent)}).stdout.split()
    assert f"-I{prefix}/include" in flags
    run("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "hello.c", "-o", "hello", *flags, cwd=folder)
    return folder / "hello"


def test_library_opens_no_nonsense(hello, tmp_path):
    assert "usage" in run(hello, code=2).stderr
    run(hello, tmp_path / "absent.gguf", code=3)
    (tmp_path / "bad.gguf").write_bytes(b"GGUF but not really")
    assert "bad.gguf" in run(hello, tmp_path / "bad.gguf", code=7).stderr


def test_library_writes_text(hello):
    done = run(hello, BARD, "To be, or not to be,")
    assert done.stdout.startswith("To be, or not to be,") and len(done.stdout) > 40
    assert run(hello, BARD, "To be, or not to be,").stdout == done.stdout


def make(*arguments):
    """make as from a shell: nothing of the make that runs this test, if any, in the way."""
    settings = BUILD / ".configured"
    if not settings.exists():
        pytest.skip("this build was not made by make")
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    return run("make", "-C", house.ROOT, "--no-print-directory", f"BUILD={BUILD}",
               f"CMAKE_ARGS={settings.read_text().strip()}", *arguments, env=environment)


def test_make_run():
    first, second = make("run"), make("run")
    assert len(first.stdout) > 100 and first.stdout == second.stdout
    assert "Entering directory" not in first.stdout and "ninja" not in first.stdout
    assert "token" in first.stderr and "/s" in first.stderr


def test_make_help():
    said = run("make", "-s", "-C", house.ROOT, "help").stdout
    for target in "run test build conformance asan tsan fuzz bench peers install clean help".split():
        assert f"make {target} " in said
