"""hearth run without a terminal: where the text goes, what the prompt is made of, settings, exit codes."""
import json
import os
import signal
import subprocess
import tempfile

import pytest

from hearth_cli import BARD, HEARTH, needs_bard, ok, one_line, run

pytestmark = needs_bard
OPENING = "Now is the winter of our discontent"


def answer(*args, **kw):
    """The JSON object of a short greedy answer."""
    return json.loads(ok("run", "--json", "--temp", "0", "-n", "12", *args, **kw))


def test_the_answer_alone_is_on_stdout():
    done = run("run", "--verbose", "--seed", "3", "-n", "20", "Who art thou?")
    assert done.returncode == 0
    assert done.stdout.endswith(b"\n") and b"tokens/s" not in done.stdout and b"\x1b" not in done.stdout
    said = done.stderr.decode().splitlines()
    assert said[0] == "seed 3" and "tokens/s" in said[1] and len(said) == 2
    assert run("run", "--seed", "3", "-n", "20", "Who art thou?").stderr == b""


def test_same_seed_same_text():
    args = ["run", "--raw", "-n", "30", OPENING, "--seed"]
    one = ok(*args, 1, "--threads", "1")
    assert one == ok(*args, 1, "--threads", "2") != ok(*args, 2)
    assert len({ok("run", "--raw", "-n", "30", OPENING) for _ in range(3)}) > 1


def test_what_the_prompt_is():
    """Words are joined; the first is the model unless it holds white space; -m takes them all."""
    plain = answer("Who art thou?")
    for args in (["bard", "Who art thou?"], ["bard", "Who", "art", "thou?"], ["-m", "bard", "Who", "art", "thou?"],
                 [BARD, "Who art thou?"], ["--", "bard", "Who art thou?"]):
        assert answer(*args)["tokens"] == plain["tokens"], args


def test_stdin_comes_before_the_prompt():
    text = answer("A letter.\n\nWho wrote it?")["tokens"]
    assert answer("Who wrote it?", "-m", "bard", stdin=b"A letter.")["tokens"] == text
    assert answer("-m", "bard", "Who wrote it?", stdin=b"A letter.\n")["tokens"] == text
    assert answer("-m", "bard", stdin=b"A letter.\n\nWho wrote it?")["tokens"] == text
    raw = answer("--raw", OPENING)["tokens"]
    assert answer("--raw", "-m", "bard", stdin=OPENING.encode())["tokens"] == raw
    assert answer("--raw", "-m", "bard", "discontent", stdin=b"Now is the winter of our ")["tokens"] == raw


def test_a_prompt_must_be_text():
    done = run("run", "-m", "bard", stdin=b"two\0words")
    assert done.returncode == 2 and "byte 3" in one_line(done)


def test_raw_and_echo():
    raw = ok("run", "--raw", "--temp", "0", "-n", "12", OPENING).decode()
    assert raw != ok("run", "--temp", "0", "-n", "12", OPENING).decode()
    assert ok("run", "--raw", "--echo", "--temp", "0", "-n", "12", OPENING).decode() == OPENING + raw


def test_stop_strings():
    whole = answer("--raw", OPENING, "--ignore-eos")["text"]
    cut = whole[4:7]
    stopped = answer("--raw", OPENING, "--ignore-eos", "--stop", "never this", "--stop", cut)
    assert stopped["finish"] == "stop" and stopped["text"] == whole[:whole.index(cut)]


def test_ignore_eos_and_length():
    long = json.loads(ok("run", "--json", "--seed", "1", "--ignore-eos", "-n", "200", "Who art thou?"))
    assert long["finish"] == "length" and long["answer_tokens"] == 200 == len(long["tokens"])


def test_system_text_is_used():
    assert answer("--system", "Verona. A public place.", "Who art thou?")["prompt_tokens"] > answer("Who art thou?")["prompt_tokens"]


def test_logprobs():
    done = run("run", "--raw", "--ignore-eos", "--temp", "0", "-n", "4", "--logprobs", "2", OPENING)
    rows = done.stderr.decode().splitlines()
    assert done.returncode == 0 and len(rows) == 4 and all(" of: " in row for row in rows)
    assert len(run("run", "--temp", "0", "-n", "4", "--logprobs", "Who art thou?").stderr.splitlines()) <= 4
    got = answer("--raw", OPENING, "--logprobs", "3")["logprobs"]
    for row in got:
        assert row["logprob"] <= 0 and len(row["top"]) == 3
        assert row["top"][0]["token"] == row["token"] and row["top"][0]["logprob"] == row["logprob"]
        assert row["top"][0]["logprob"] >= row["top"][1]["logprob"] >= row["top"][2]["logprob"]


@pytest.mark.parametrize("option", [
    ["--top-k", "1"], ["--top-p", "0"], ["--min-p", "1"],
])
def test_samplers_that_leave_one_choice_are_greedy(option):
    args = ["run", "--raw", "-n", "20", OPENING, "--seed", "5"]
    assert ok(*args, *option) == ok(*args, "--temp", "0")


@pytest.mark.parametrize("option", [
    ["--temp", "2", "--top-k", "0", "--top-p", "1", "--min-p", "0"], ["--typical", "0.2"], ["--repeat-penalty", "5"],
    ["--frequency-penalty", "5"], ["--presence-penalty", "5"], ["--mirostat", "2", "--mirostat-tau", "1"],
    ["--xtc-probability", "1", "--xtc-threshold", "0.05"], ["--dry-multiplier", "20", "--dry-allowed-length", "1"],
])
def test_samplers_change_the_text(option):
    args = ["run", "--raw", "-n", "150", OPENING, "--seed", "5", "--ignore-eos"]
    assert ok(*args, *option) != ok(*args)


def test_context():
    """--ctx is what there is; too long a prompt is an error that names both numbers, never cut."""
    done = run("run", "--raw", "--ctx", "64", "--ignore-eos", "--seed", "1", OPENING)
    assert done.returncode == 0 and b"the context of 64 tokens is full" in done.stderr
    done = run("run", "--raw", "--ctx", "64", "word " * 200)
    assert done.returncode == 6 and done.stdout == b""
    line = one_line(done)
    assert "64" in line and str(len(json.loads(ok("tokenize", "bard", "--bos", "--json", "word " * 200)))) in line


def test_exit_codes(tmp_path):
    assert run("run", "nosuchmodel", "hi").returncode == 3
    assert run("run", tmp_path / "none.gguf", "hi").returncode == 3
    assert run("run", tmp_path, "hi there").returncode == 1
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(BARD.read_bytes()[:100000])
    done = run("run", cut, "hi")
    assert done.returncode == 7 and "cut.gguf: byte " in one_line(done)
    text = tmp_path / "text.gguf"
    text.write_text("no model")
    assert run("run", text, "hi").returncode == 7


def test_a_file_that_must_not_be_read():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        model = os.path.join(folder, "secret.gguf")
        with open(model, "wb") as f:
            f.write(b"GGUF")
        os.chmod(model, 0)

        def nobody():
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)

        try:
            done = subprocess.run([HEARTH, "run", model, "hi"], stdin=subprocess.DEVNULL, capture_output=True, preexec_fn=nobody,
                                  check=False)
        except OSError as why:
            pytest.skip(f"1 check of permissions: {why}")
    assert done.returncode == 5, done.stderr
    assert "secret.gguf" in one_line(done)


def test_full_disk_and_closed_pipe():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([HEARTH, "run", "-n", "8", "Who art thou?"], stdin=subprocess.DEVNULL, stdout=full,
                              stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1 and b"No space left" in done.stderr
    out, into = os.pipe()
    os.close(out)
    done = subprocess.run([HEARTH, "run", "-n", "8", "Who art thou?"], stdin=subprocess.DEVNULL, stdout=into,
                          stderr=subprocess.PIPE, check=False)
    os.close(into)
    assert done.returncode == 1 and done.stderr == b""


def test_interrupt():
    child = subprocess.Popen([HEARTH, "run", "--raw", "--ctx", "1024", "--ignore-eos", OPENING], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first = os.read(child.stdout.fileno(), 1)
    child.send_signal(signal.SIGINT)
    rest, _ = child.communicate(timeout=60)
    assert child.returncode in (130, 0) and first
    if child.returncode == 0:
        pytest.skip("1 check of Ctrl-C: the answer was complete before it came")
    assert rest.endswith(b"\n")


def test_no_prompt_without_a_terminal():
    done = run("run")
    assert done.returncode == 2 and "no prompt" in one_line(done)


def test_starts_at_once():
    """Nothing is downloaded or unpacked: no file is written by an answer."""
    home = os.environ.get("HEARTH_HOME", "/nonexistent")
    before = set(os.listdir(home)) if os.path.isdir(home) else set()
    ok("run", "-n", "1", "Who art thou?")
    assert (set(os.listdir(home)) if os.path.isdir(home) else set()) == before
