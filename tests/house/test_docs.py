"""The docs keep what they promise: each command in them is one that there is, with options that it has; those that need
nothing but this program are run; files, make targets and links that are named are there."""

import functools
import os
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest

import house

ROOT = house.ROOT
HEARTH = os.environ.get("HEARTH_BIN") or str(ROOT / "build" / "hearth")
PAGES = sorted(p for pattern in ("*.md", "docs/*.md", "data/*.md", "models/*/*.md") for p in ROOT.glob(pattern))
WRITTEN = ROOT / "docs" / "cli.md"  # from the table of commands: its examples are as good as any


def blocks(text):
    """(line number, lines) of each indented or fenced piece of code, blanks in front taken away."""
    found, piece, fenced = [], [], False
    for number, line in enumerate([*text.split("\n"), ""], 1):
        if line.startswith("```"):
            fenced = not fenced
        code = fenced and not line.startswith("```") or line.startswith("    ")
        if code:
            piece.append((number, line.strip()))
        elif piece and line.strip():
            found.append(piece)
            piece = []
    return found + [piece] if piece else found


def bare(line):
    """A line of code without what is said beside it."""
    return re.split(r"\s+# |\s{2,}(?=[a-zA-Z,])", line)[0].rstrip("\\ ")


def commands_of(line):
    """The words of each `hearth ...` in a shell line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>()")
    lexer.whitespace_split = True
    try:
        words, at = list(lexer), 0
    except ValueError:
        return  # a quote that ends on another line: no command begins so
    while at < len(words):
        end = next((i for i in range(at, len(words)) if set(words[i]) <= set("|;&<>()")), len(words))
        if words[at:end] and words[at] in ("hearth", "build/hearth"):
            yield words[at + 1:end]
        at = end + 1


@functools.cache
def table():
    """{command: its options}, from the program itself."""
    text = subprocess.run([HEARTH, "help", "--markdown"], capture_output=True, check=True, text=True).stdout
    options = {}
    for part in text.split("\n## hearth ")[1:]:
        labels = re.findall(r"^\| `((?:\\\||[^`|])+)` \|", part, re.M)
        options[part.split("\n")[0]] = {w for label in labels for w in re.findall(r"(?:^|, )(--?[a-z][a-z0-9-]*)", label)}
    return options


def faults_of(words):
    """What is wrong with a command as it stands in a page."""
    if not words or words[0].startswith("-"):
        return [] if set(words) <= {"--help", "--version"} else [f"hearth takes no {words[0]}"]
    if words[0] == words[0].upper():
        return []  # hearth COMMAND
    name = " ".join(words[:2]) if " ".join(words[:2]) in table() else words[0]
    if name not in table():
        return [f'there is no command "{name}"']
    known, bad = table()[name] | {"--help", "-h"}, []
    for word in words:
        option = re.match(r"--[a-z][a-z0-9-]*|-[a-zA-Z]", word)
        if word == "--":
            break
        if option and option.group() not in known and not re.fullmatch(r"-\d.*", word):
            bad.append(f"{name} has no {option.group()}")
    return bad


def lines_with_commands(page):
    text = page.read_text(encoding="utf-8")
    for piece in blocks(text):
        yield from ((number, bare(line)) for number, line in piece)
    outside = re.sub(r"^    .*$|^```.*?^```$", lambda m: re.sub(r"[^\n]", "", m.group()), text, flags=re.M | re.S)
    for number, line in enumerate(outside.split("\n"), 1):
        for code in re.findall(r"`([^`]+)`", line):
            if re.match(r"(HEARTH_\w+=\S+ )?(build/)?hearth ", code):
                yield number, re.sub(r"^HEARTH_\w+=\S+ ", "", code)


def test_commands_and_options_are_there():
    bad, seen = [], 0
    for page in PAGES:
        for number, line in lines_with_commands(page):
            for words in commands_of(line):
                seen += 1
                bad += [f"{page.relative_to(ROOT)}:{number}: {why}: {line}" for why in faults_of(words)]
    assert not bad, "\n".join(bad)
    assert seen > 150


@pytest.mark.parametrize("line, why", [
    ("hearth sing", "no command"), ("hearth run --sing x", "run has no --sing"), ("ls | hearth key list --sing", "key list"),
    ("build/hearth bench -z 3 && true", "bench has no -z"), ("hearth --sing", "hearth takes no"),
])
def test_a_wrong_command_is_found(line, why):
    faults = [f for words in commands_of(line) for f in faults_of(words)]
    assert len(faults) == 1 and why in faults[0]


def test_what_is_named_is_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    bad = []
    for page in PAGES:
        text, here = page.read_text(encoding="utf-8"), page.relative_to(ROOT)
        for target in re.findall(r"(?:^    |`)make ([a-z-]+)", text, re.M):
            bad += [f"{here}: make has no {target}"] if target not in targets else []
        for path in re.findall(r"`((?:src|tests|bench|docs|data|models|packaging|examples|include)/[\w./-]*\w/?)", text):
            bad += [f"{here}: there is no {path}"] if not any(ROOT.glob(path.rstrip("/") + "*")) else []
        for link, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)", text):
            to = page.parent / link if link else page
            if not to.exists():
                bad.append(f"{here}: a link to {link}, which is not there")
            elif anchor and to.suffix == ".md" and anchor[1:] not in anchors(to):
                bad.append(f"{here}: {link} has no {anchor}")
    assert not bad, "\n".join(bad)


def anchors(page):
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"\]\(([^)#]+)\)", index))
    assert {p.name for p in (ROOT / "docs").glob("*.md")} - {"README.md"} <= listed


# ---- those that can be run ----

# What needs a network, a server, a person, a model that is not here, or minutes.
NOT_RUN = re.compile(
    r"hearth (serve|ps|stop|pull|push|search|update|fit|loadtest|bench|perplexity|imatrix|embed)\b|https?://|<letter|"
    r"hearth run$|run --raw|-m model|model-f16|qwen3:|mine|small -f|Modelfile\b|registry\.|example\.|import (ollama|hf|qwen3.tar)|"
    r"--watch|--plug|--hardware this|study (--|verify)|cost split|diff new|man -l|source <|>|\bQwen\b|bash$|git log|groupadd|"
    r"^make|--kl|model\.imatrix")
FIRST = {"key revoke anna": "key create anna", "key rotate anna": "key create anna", "--key anna": "key create anna",
         "run brief": "create brief -f brief.txt"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the pages speak of, small."""
    where = tmp_path_factory.mktemp("docs")
    bard = ROOT / "models" / "bard" / "bard-q8_0.gguf"
    if not bard.exists():
        pytest.skip("the model that comes with Hearth is not in this checkout")
    files = {"person.json": '{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}',
             "answer.json": '{"name": "Anna"}', "rules.gbnf": 'root ::= "yes" | "no"\n', "answer.txt": "yes",
             "pattern.txt": "y(es)?", "case.json": '{"messages": [{"role": "user", "content": "Hello"}]}',
             "qwen3.jinja": "{% for m in messages %}{{ bos_token }}{{ m.content }}{% endfor %}",
             "old.gotmpl": "{{ .System }}{{ .Prompt }}", "hamlet.txt": "To be, or not to be", "brief.txt": "FROM bard\n"}
    for name, text in files.items():
        (where / name).write_text(text)
    for name in ("model.gguf", "Qwen3-8B-Q4_K_M.gguf"):
        shutil.copy(bard, where / name)
    shutil.copy(sorted((ROOT / "data" / "prices").glob("*.csv"))[-1], where / "new.csv")
    (where / "bin").mkdir()
    (where / "bin" / "hearth").symlink_to(pathlib.Path(HEARTH).resolve())
    return where


def run_in(folder, home, line):
    env = {**os.environ, "HEARTH_HOME": str(home), "HEARTH_HOST": "off", "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    return subprocess.run(["bash", "-c", line], cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors="replace", check=False, timeout=300)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_can_be_run_runs(page, folder, tmp_path):
    bad, n = [], 0
    for piece in blocks(page.read_text(encoding="utf-8")):
        home = tmp_path / str(piece[0][0])  # each block begins on a bare machine
        seen = ""
        for number, line in piece:
            line = bare(line).replace("build/hearth", "hearth")
            if not list(commands_of(line)) or NOT_RUN.search(line) or "[OPTIONS]" in line or line.endswith("MODEL"):
                continue
            for needs, first in FIRST.items():
                if needs in line and first not in seen and "create brief" not in seen:
                    assert run_in(folder, home, "hearth " + first).returncode == 0
            if line.startswith(("hearth key create", "hearth cost setup")) and " ".join(line.split()[:3]) in seen:
                continue  # two ways to make one thing
            done = run_in(folder, home, line)
            seen += line + "\n"
            n += 1
            if done.returncode:
                bad.append(f"{page.relative_to(ROOT)}:{number}: {line}: {done.returncode}\n{done.stderr}")
    assert not bad, "\n".join(bad)
    assert n > 40 or page != WRITTEN
