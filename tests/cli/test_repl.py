"""The chat, through a real terminal."""
import json
import re
import stat
import sys

import pytest

from hearth_cli import BARD, Terminal, needs_bard, plain

pytestmark = needs_bard


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


class Chat:
    """Says lines and gives what came between them, as plain text."""

    def __init__(self, home, *args, **kw):
        self.t = Terminal("run", "--seed", "1", "-n", "16", *args, home=home, columns=1000, **kw)
        self.banner = self.until_prompt()

    def until_prompt(self):
        start = getattr(self.t, "seen", 0)
        self.t.prompt()
        return plain(self.t.text[start:self.t.seen - 4])

    def say(self, line):
        self.t.line(line)
        text = self.until_prompt()
        return text.split("\n", 1)[1] if "\n" in text else ""

    def ask(self, line):
        """The answer alone: without notes such as that it has reached its length."""
        return "".join(row for row in self.say(line).splitlines(True) if row[:1] != "(").strip()

    def messages(self):
        found = re.findall(r"^(user|assistant): (.*?)(?=^user: |^assistant: |\Z)", self.say("/show messages"), re.M | re.S)
        return [(role, text.strip()) for role, text in found]

    def end(self):
        self.t.type("\x04")
        return self.t.end()


@pytest.fixture
def chat(home):
    c = Chat(home)
    yield c
    assert c.end() == 0


def test_a_conversation(chat):
    assert "Bard, context 1024 tokens" in chat.banner
    first = chat.ask("Who art thou?")
    second = chat.ask("Whence comest thou?")
    assert first and second
    assert chat.messages() == [("user", "Who art thou?"), ("assistant", first), ("user", "Whence comest thou?"),
                               ("assistant", second)]
    usage = chat.say("/usage")
    assert "tokens/s" in usage and "answers so far: 2" in usage
    assert int(re.search(r"\((\d+) reused\)", usage).group(1)) > 0, "earlier turns are not computed again"


def test_clear_and_retry(chat):
    first = chat.ask("Who art thou?")
    again = chat.ask("/retry")
    third = chat.ask("/retry")
    assert len({first, again, third}) > 1
    assert chat.messages() == [("user", "Who art thou?"), ("assistant", third)]
    chat.say("/clear")
    assert chat.messages() == []
    assert "nothing to answer" in chat.say("/retry")
    assert chat.ask("Who art thou?") == first, "the same seed and conversation give the same answer"


def test_set_and_show(chat):
    for name, value in [("temp", "0.25"), ("top_k", "7"), ("top-p", "0.5"), ("min_p", "0.1"), ("typical", "0.9"),
                        ("xtc-probability", "0.1"), ("xtc-threshold", "0.2"), ("repeat_penalty", "1.5"),
                        ("frequency_penalty", "0.5"), ("presence_penalty", "0.25"), ("repeat_last_n", "32"),
                        ("dry-multiplier", "0.8"), ("dry-base", "2"), ("dry-allowed-length", "3"), ("dry-last-n", "99"),
                        ("mirostat", "2"), ("mirostat_tau", "4"), ("mirostat_eta", "0.2"), ("seed", "77"),
                        ("max-tokens", "5"), ("ctx", "512"), ("threads", "1")]:
        assert chat.say(f"/set parameter {name} {value}") == ""
        shown = chat.say("/set")
        assert re.search(rf"^ +{name.replace('_', '-')} +{re.escape(value)} ", shown, re.M), (name, shown)
    assert "did you mean temp" in chat.say("/set tmep 1")
    assert "no number" in chat.say("/set temp warm")
    assert "not between" in chat.say("/set top-p 2")
    assert "to what?" in chat.say("/set top-p")
    assert "on or off" in chat.say("/set verbose perhaps")
    assert chat.say("/set verbose on") == ""
    assert "seed 77" in chat.say("Who art thou?") and "512" in chat.say("/show info")


def test_system(chat):
    assert "no system text" in chat.say("/system")
    chat.say("/system Verona. A public place.")
    assert chat.say("/show system").strip() == "Verona. A public place."
    chat.say("/system none")
    assert "no system text" in chat.say("/show system")
    assert "family: bard" in chat.say("/show template")
    assert "info, parameters" in chat.say("/show nonsense")


def test_stop_string(chat):
    first = chat.ask("Who art thou?")
    chat.say("/clear")
    cut = re.search(r"[a-z]{3}", first[2:]).group()
    chat.say(f"/set stop {cut}")
    assert chat.ask("Who art thou?") == first[:first.index(cut)].strip()


def test_save_and_load(home, tmp_path):
    chat = Chat(home)
    chat.say("/system A street.")
    chat.say("/set temp 0.5")
    chat.say("/set stop XYZ")
    chat.say("Who art thou?")
    before = chat.messages()
    file = tmp_path / "my chat.json"
    assert "2 messages saved" in chat.say(f"/save {file}")
    assert chat.end() == 0
    saved = json.loads(file.read_text(encoding="utf-8"))
    assert saved["messages"][0] == {"role": "user", "content": "Who art thou?"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    other = Chat(home)
    assert "2 messages from" in other.say(f"/load {file}")
    assert other.messages() == before
    assert other.say("/show system").strip() == "A street."
    assert re.search(r"^ +temp +0.5 +\*", other.say("/set"), re.M)
    broken = tmp_path / "broken.json"
    broken.write_text('{"messages": 3}', encoding="utf-8")
    assert "is no saved chat" in other.say(f"/load {broken}")
    assert "cannot open" in other.say(f"/load {tmp_path}/none.json")
    assert other.messages() == before, "a failed load changes nothing"
    assert "now talking with Bard" in other.say(f"/load {BARD}")
    assert other.messages() == before
    assert other.end() == 0


def test_several_lines(chat):
    chat.t.line('"""Who art thou,')
    chat.t.expect(r"\.\.\. ")
    chat.t.line('friend?"""')
    chat.until_prompt()
    assert chat.messages()[0] == ("user", "Who art thou,\nfriend?")
    chat.say("/clear")
    chat.t.type("\x1b[200~Two lines\rpasted\x1b[201~\r")
    chat.until_prompt()
    assert chat.messages()[0] == ("user", "Two lines\npasted")


def test_control_c(home):
    chat = Chat(home, "--ignore-eos", "--temp", "1")
    chat.t.type("half a line")
    chat.t.expect("half a line")  # the terminal forgets what was not read yet when Ctrl-C comes
    chat.t.interrupt()
    assert "leaves" not in chat.until_prompt()
    chat.t.interrupt()
    assert "/bye or Ctrl-D leaves" in chat.until_prompt()
    chat.say("/set max-tokens -1")
    for _ in range(5):
        chat.say("/clear")
        chat.t.line("Tell me a long tale.")
        chat.t.expect(r"tale\.\r\n.*[a-z]{3}")
        chat.t.interrupt()
        if "what was written is kept" in chat.until_prompt():
            break
    else:
        raise AssertionError("no answer could be stopped in five attempts")
    kept = chat.messages()
    assert kept[0][0] == "user" and kept[1][0] == "assistant" and kept[1][1]
    assert chat.say("Go on.").strip()
    assert chat.end() == 0


def test_full_context(home):
    """Both numbers are told, and nothing is dropped."""
    chat = Chat(home, "--ctx", "64", "--ignore-eos")
    said = chat.say("/set max-tokens -1") + chat.say("Who art thou?")
    assert "the context of 64 tokens is full" in said and "/clear" in said
    before = chat.messages()
    said = chat.say("And now? " * 20)  # longer than what the first answer can have left
    assert "64" in said and "/clear" in said
    assert chat.messages() == before
    chat.say("/clear")
    assert chat.say("/set max-tokens 4") == "" and chat.say("Hi.").strip()
    assert chat.end() == 0


def test_edit(home, tmp_path):
    editor = tmp_path / "editor"
    editor.write_text(f"#!{sys.executable}\nimport sys\npath = sys.argv[-1]\ntext = open(path).read()\n"
                      "open(path, 'w').write(text.replace('thou', 'he'))\n", encoding="utf-8")
    editor.chmod(0o755)
    chat = Chat(home, env={"EDITOR": str(editor), "VISUAL": ""})
    chat.say("Who art thou?")
    chat.say("/edit")
    chat.until_prompt()  # the edited message is shown behind a prompt
    now = chat.messages()
    assert now[0] == ("user", "Who art he?") and now[1][0] == "assistant" and len(now) == 2
    assert chat.end() == 0
    failing = Chat(home, env={"EDITOR": "false", "VISUAL": ""})
    failing.say("Who art thou?")
    assert "nothing is changed" in failing.say("/edit")
    assert failing.messages()[0] == ("user", "Who art thou?")
    assert failing.end() == 0


def test_history(home):
    chat = Chat(home)
    chat.say("/show info")
    chat.say("/usage")
    assert chat.end() == 0
    file = home / "history"
    assert [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] == ["/show info", "/usage"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    chat = Chat(home)
    chat.t.type("\x1b[A")
    chat.t.expect("/usage")
    chat.t.type("\x1b[A")
    chat.t.expect("show info")  # what is the same on the screen is not written again
    chat.t.line("")
    chat.t.expect("layers")
    chat.until_prompt()
    assert chat.end() == 0


def test_help_bye_and_mistakes(home):
    chat = Chat(home)
    text = chat.say("/help")
    for name in ("set", "show", "load", "save", "system", "clear", "retry", "edit", "usage", "help", "bye"):
        assert f"/{name} " in text
    assert chat.say("/?") == text
    assert "did you mean /retry" in chat.say("/rety")
    assert "/help lists them" in chat.say("/qqqqqq")
    assert chat.say("") == "" and chat.say("   ") == ""
    chat.t.line("/bye")
    assert chat.t.end() == 0


def test_unicode_line(chat):
    chat.say("Wer bist du, schöner Jüngling? 世界")
    assert chat.messages()[0] == ("user", "Wer bist du, schöner Jüngling? 世界")


def test_answers_into_a_file(home, tmp_path):
    """A terminal to type on, a file for the answers: prompts and notes stay out of it."""
    with open(tmp_path / "out", "wb") as out:
        t = Terminal("run", "--seed", "1", "-n", "8", home=home, stdout=out)
        t.prompt()
        t.line("Who art thou?")
        t.prompt()
        t.type("\x04")
        assert t.end() == 0
    text = (tmp_path / "out").read_bytes()
    assert text.strip() and b">>>" not in text and b"\x1b" not in text and b"Bard, context" not in text


def test_markdown_is_rendered_on_a_terminal_only(home):
    """The same bytes of an answer, with and without markup, depending on where they go."""
    t = Terminal("run", "--raw", "--echo", "-n", "1", "--seed", "1", "-m", "bard", "**x**", home=home)
    assert t.end() == 0
    assert b"**x**" in t.text, "raw text is not rendered"


def test_no_color(home):
    chat = Chat(home, env={"NO_COLOR": "1"})
    start = chat.t.seen
    chat.say("Who art thou?")
    assert b"\x1b[0" not in chat.t.text[start:]
    assert chat.end() == 0
