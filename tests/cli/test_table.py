"""Everything that is made from the table of commands: help, man page, completions, docs; and what a wrong
command line gives."""
import re
import shutil
import subprocess

import pytest

from hearth_cli import ROOT, ok, one_line, run

COMMANDS = ["run", "serve", "ps", "stop", "pull", "search", "fit", "update", "list", "show", "cp", "rm", "create", "import",
            "export", "push", "du", "gc", "verify", "key", "key create", "key list", "key revoke", "key rotate", "usage",
            "cost", "cost setup", "cost split", "cost compare", "prices", "prices list", "prices import", "prices diff",
            "meter", "study", "study bet", "study verify", "tokenize", "detokenize", "embed", "template", "schema", "logits",
            "perplexity", "quantize", "imatrix", "bench", "loadtest", "config", "help", "completion"]


def options_of(command):
    """The options that the table gives this command, from docs/cli.md's generator."""
    text = ok("help", "--markdown").decode()
    part = text.split(f"\n## hearth {command}\n")[1].split("\n## ")[0]
    labels = re.findall(r"^\| `((?:\\\||[^`|])+)` \|", part, re.M)
    return [word for label in labels for word in re.findall(r"(?:^|, )(--?[a-z][a-z0-9-]*)", label)]


def test_every_command_is_listed():
    text = ok("help").decode()
    assert ok("--help").decode() == text
    assert re.findall(r"^  ([a-z]+) ", text, re.M) == [c for c in COMMANDS if " " not in c]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_every_option(command):
    options = options_of(command)
    text = ok(*command.split(), "--help").decode()
    assert text == ok("help", *command.split()).decode()
    for option in options:
        assert re.search(rf"(^|[\s,]){option}([\s,]|$)", text, re.M), option
    assert len(options) >= 2
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_every_option(command, shell):
    text = ok("completion", shell).decode()
    for option in options_of(command):
        bare = option.lstrip("-")
        dashes = "-l " if len(bare) > 1 else "-s "
        assert (dashes + bare if shell == "fish" else option) in text, option


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_loads(shell, tmp_path):
    if not shutil.which(shell):
        pytest.skip(f"1 script not loaded: {shell} is not installed")
    script = tmp_path / "script"
    script.write_bytes(ok("completion", shell))
    subprocess.run([shell, "-n", str(script)], check=True)
    if shell == "bash":
        ask = ('source "$1"; COMP_WORDS=(hearth run --te); COMP_CWORD=2; _hearth; echo "${COMPREPLY[@]}"; '
               'COMP_WORDS=(hearth sh); COMP_CWORD=1; _hearth; echo "${COMPREPLY[@]}"; '
               'COMP_WORDS=(hearth run --kv ""); COMP_CWORD=3; _hearth; echo "${COMPREPLY[@]}"; '
               'COMP_WORDS=(hearth key r); COMP_CWORD=2; _hearth; echo "${COMPREPLY[@]}"; '
               'COMP_WORDS=(hearth key create --ra); COMP_CWORD=3; _hearth; echo "${COMPREPLY[@]}"')
        said = subprocess.run(["bash", "-c", ask, "-", str(script)], check=True, capture_output=True).stdout
        assert said.decode().splitlines() == ["--temp", "show", "f16 q8 f32", "revoke rotate", "--rate"]


def test_completion_of_an_unknown_shell():
    done = run("completion", "tcsh")
    assert done.returncode == 2 and "tcsh" in one_line(done)


def test_man_page():
    page = ok("help", "--man").decode()
    for command in COMMANDS:
        assert f".SS hearth {command}\n" in page
    for code in (0, 1, 2, 3, 4, 5, 6, 7, 130):
        assert f"\n.B {code}\n" in page
    if not shutil.which("groff"):
        pytest.skip("1 check of the man page left out: groff is not installed")
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=page.encode(), capture_output=True, check=True)
    assert done.stderr == b""


def test_docs_are_up_to_date():
    assert ok("help", "--markdown").decode() == (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


def test_version():
    assert re.fullmatch(r"hearth \d+\.\d+\.\d+\n", ok("--version").decode())


@pytest.mark.parametrize("args, near", [
    (["rnu"], '"run"'),
    (["key", "lsit"], '"key list"'),
    (["key", "create", "--budgte", "x"], "--budget"),
    (["tokenise"], '"tokenize"'),
    (["shw", "x"], '"show"'),
    (["run", "--tmep", "1", "x y"], "--temp"),
    (["show", "--jsno", "x"], "--json"),
    (["bench", "x", "--threds=3"], "--threads"),
])
def test_suggestions(args, near):
    done = run(*args)
    assert done.returncode == 2 and done.stdout == b""
    assert "did you mean " + near in one_line(done)


@pytest.mark.parametrize("args", [
    [], ["key"], ["key", "qqqqq"], ["key create"], ["qqqqq"], ["--frobnicate"], ["run", "--qqqqq", "x y"],
    ["run", "-q", "x y"], ["run", "-temp", "x y"],
    ["show"], ["show", "a", "b"], ["run", "--temp"], ["run", "--temp", "warm", "x y"], ["run", "--temp", "-1", "x y"],
    ["run", "--top-k", "1.5", "x y"], ["run", "--seed", "-1", "x y"], ["run", "--kv", "f64", "x y"],
    ["run", "--raw=yes", "x y"], ["run"], ["run", "--logprobs", "21", "x y"], ["logits", "bard"],
    ["logits", "bard", "--tokens", "1,x"], ["logits", "bard", "--tokens", ""], ["perplexity", "bard"],
    ["bench", "bard", "-r", "0"], ["help", "qqqqq"], ["tokenize", "bard", "text", "--file", "x"],
])
def test_wrong_usage_gives_2(args):
    done = run(*args)
    assert done.returncode == 2 and done.stdout == b"", done.stderr
    one_line(done)


def test_options_may_come_in_every_form():
    """-n 3, -n3, -n=3, --name 3, --name=3; before and after arguments; -- ends them."""
    for form in (["-n", "x"], ["-nx"], ["-n=x"], ["--max-tokens", "x"], ["--max-tokens=x"]):
        assert "no number" in one_line(run("run", "a b", *form)) and "no number" in one_line(run("run", *form, "a b"))
    assert "no model" in one_line(run("show", "--", "--json"))
