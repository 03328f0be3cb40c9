"""Where settings come from: the command line, the environment, the file; and what hearth config says of it."""
import json

import pytest

from hearth_cli import needs_bard, ok, one_line, run


class Home:
    """A folder of Hearth's with a configuration file in it."""

    def __init__(self, path):
        self.path = path
        self.file = path / "hearth.toml"
        self.env = {"HEARTH_HOME": str(path)}
        path.mkdir()

    def write(self, text):
        self.file.write_text(text, encoding="utf-8")
        return self

    def shown(self, *args, **env):
        """{(section, name): (value, source, where)} of what is set."""
        done = json.loads(ok("config", "--json", *args, env={**self.env, **env}))
        return {(s["section"], s["name"]): (s["value"], s["source"], s["where"])
                for s in done["settings"] if s["source"] != "default"}

    def refused(self, *args, **env):
        done = run(*(args or ("config",)), env={**self.env, **env})
        assert done.returncode == 2 and done.stdout == b"", done
        return one_line(done)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def test_no_file_is_no_mistake(home):
    done = json.loads(ok("config", "--json", env=home.env))
    assert done["file"] == str(home.file) and done["found"] is False
    assert {s["source"] for s in done["settings"]} == {"default"}
    assert {s["value"] for s in done["settings"]} == {None}
    names = {(s["section"], s["name"]) for s in done["settings"]}
    assert {("serve", "listen"), ("serve", "threads"), ("run", "temp")} <= names
    assert not any(name in ("config", "help") for _, name in names)


def test_what_holds_where_nothing_is_set(home):
    lines = ok("config", "serve", env={**home.env, "HEARTH_THREADS": "3"}).decode().splitlines()
    for line in ("# listen: 127.0.0.1:11434", "# drain: 10", "# keep-alive: 5m", "# require-key: false",
                 "# cache-disk-size: 8G", "# threads: 3 (HEARTH_THREADS)"):
        assert line in lines, line
    done = json.loads(ok("config", "--json", env=home.env))
    usual = {(s["section"], s["name"]): s["default"] for s in done["settings"]}
    assert usual["serve", "parallel"] == "16" and usual["serve", "tls-cert"] is None


def test_environment_over_file(home):
    home.write("""
        [serve]
        threads = 3             # a comment
        listen = ["127.0.0.1:1", '127.0.0.1:2']
        require-key = true
        tls-cert = "/tmp/with \\"quotes\\".pem"
        kv = "q8"
        [run]
        temp = 0.25
        seed = 18446744073709551615
    """)
    assert home.shown(HEARTH_SERVE_THREADS="5", HEARTH_SERVE_DRAIN="") == {
        ("serve", "threads"): (5, "environment", "HEARTH_SERVE_THREADS"),
        ("serve", "listen"): (["127.0.0.1:1", "127.0.0.1:2"], "file", "hearth.toml:4"),
        ("serve", "require-key"): (True, "file", "hearth.toml:5"),
        ("serve", "tls-cert"): ('/tmp/with "quotes".pem', "file", "hearth.toml:6"),
        ("serve", "kv"): ("q8", "file", "hearth.toml:7"),
        ("run", "temp"): (0.25, "file", "hearth.toml:9"),
        ("run", "seed"): (18446744073709551615, "file", "hearth.toml:10"),
    }
    assert home.shown("serve", HEARTH_SERVE_REQUIRE_KEY="no", HEARTH_SERVE_LISTEN=" a:1 ,b:2,")[("serve", "listen")] == (
        ["a:1", "b:2"], "environment", "HEARTH_SERVE_LISTEN")
    assert home.shown(HEARTH_SERVE_REQUIRE_KEY="no")[("serve", "require-key")][:2] == (False, "environment")


def test_what_is_printed_is_a_file(home, tmp_path):
    home.write('[serve]\nlisten = ["a\\\\b", "c\\"d\\n"]\nthreads = 2\nrequire-key = false\n[run]\ntemp = 1e-3\n')
    before = home.shown()
    copy = tmp_path / "copy.toml"
    copy.write_bytes(ok("config", env=home.env))
    after = home.shown("--config", copy)
    assert {k: v[0] for k, v in before.items()} == {k: v[0] for k, v in after.items()}
    assert len(before) == 4 and ok("config", "serve", env=home.env).count(b"[") < ok("config", env=home.env).count(b"[")


def test_init_writes_what_can_be_read(home):
    done = run("config", "--init", env=home.env)
    assert done.returncode == 0 and done.stdout == b"" and str(home.file) in one_line(done)
    assert home.file.stat().st_mode & 0o777 == 0o600
    text = home.file.read_text(encoding="utf-8")
    assert home.shown() == {}
    done = run("config", "--init", env=home.env)
    assert done.returncode == 1 and "stays" in one_line(done) and home.file.read_text(encoding="utf-8") == text
    # Every name in it is known, and every example fits but for its words.
    names = [line for line in text.splitlines() if line.startswith("#") and " = " in line and not line.startswith("# ")]
    assert len(names) > 40
    home.write("\n".join(line[1:] if line in names else line for line in text.splitlines()))
    assert len(home.shown()) == len(names)


def test_other_files(home, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text("[serve]\nthreads = 7\n", encoding="utf-8")
    third = tmp_path / "third.toml"
    third.write_text("[serve]\nthreads = 8\n", encoding="utf-8")
    home.write("[serve]\nthreads = 6\n")
    assert home.shown()[("serve", "threads")][0] == 6
    assert home.shown(HEARTH_CONFIG=str(other))[("serve", "threads")] == (7, "file", "other.toml:2")
    assert home.shown("--config", third, HEARTH_CONFIG=str(other))[("serve", "threads")][0] == 8
    done = run("config", "--config", tmp_path / "absent", env=home.env)  # one that was asked for must be there
    assert done.returncode == 3 and "absent" in one_line(done)
    made = tmp_path / "new" / "made.toml"
    ok("config", "--init", "--config", made, env=home.env)
    assert made.exists()


@pytest.mark.parametrize("text, line, word", [
    ("[serve]\nthread = 1\n", 2, 'did you mean "threads"'),
    ("[sevre]\nthreads = 1\n", 1, "did you mean [serve]"),
    ("threads = 1\n", 1, "before the first [section]"),
    ("[serve]\n\nthreads = 0\n", 3, "between 1 and 256"),
    ("[serve]\nthreads = 1.5\n", 2, "whole number"),
    ("[serve]\nthreads = \"many\"\n", 2, "no number"),
    ("[serve]\nthreads = true\n", 2, "takes a value"),
    ("[serve]\nthreads = [1]\n", 2, "not an array"),
    ("[serve]\nrequire-key = 1\n", 2, "true or false"),
    ("[serve]\nrequire-key = \"true\"\n", 2, "true or false"),
    ("[serve]\nkv = \"f64\"\n", 2, "f16|q8|f32"),
    ("[serve]\nlisten = [\"a\", true]\n", 2, "takes a value"),
    ("[serve]\nlisten = [\"a\"\n", 2, "not closed"),
    ("[serve]\nlisten = a\n", 2, "quotes"),
    ("[serve]\nconfig = \"x\"\n", 2, "[serve] has no"),
    ("[serve]\nhelp = true\n", 2, "[serve] has no"),
])
def test_mistakes_have_a_line(home, text, line, word):
    home.write(text)
    said = home.refused()
    assert f"hearth.toml:{line}: " in said and word in said
    assert home.refused("serve") == said  # and the command itself says the same


def test_a_mistake_in_a_section_is_its_own(home):
    """Another command goes on; only what no command can read stops all."""
    home.write("[run]\ntmep = 1\n")
    assert "tmep" in home.refused() and "tmep" in home.refused("run", "--echo", "x y")
    home.write("[serve]\nthreads = 0\n[run]\nkv = \"q8\"\n")
    assert "threads" in home.refused()
    assert "temp" not in home.refused("run", "--qqqqq", "a b")


@pytest.mark.parametrize("name, value, word", [
    ("HEARTH_SERVE_THREADS", "many", "no number"), ("HEARTH_SERVE_REQUIRE_KEY", "maybe", "neither true nor false"),
    ("HEARTH_SERVE_KV", "f64", "f16|q8|f32"),
])
def test_mistakes_in_variables(home, name, value, word):
    said = home.refused(**{name: value})
    assert name in said and word in said


def test_variables_that_nothing_reads(home):
    done = run("config", env={**home.env, "HEARTH_SERVE_THRAEDS": "1"})
    assert done.returncode == 0 and "HEARTH_SERVE_THRAEDS" in one_line(done)


def test_wrong_section(home):
    assert 'did you mean "serve"' in home.refused("config", "sevre")


@needs_bard
def test_they_reach_the_command(home):
    """What run does with its settings shows that they arrive, and that the command line comes first."""
    ask = ("run", "To be, or not", "--json")

    def tokens(*args, **env):
        return json.loads(ok(*ask, *args, env={**home.env, **env}))["tokens"]

    home.write("[run]\ntemp = 0\nmax-tokens = 3\nraw = true\n")
    of_file = tokens()
    assert len(of_file) == 3
    assert tokens(HEARTH_RUN_MAX_TOKENS="2") == of_file[:2]
    assert tokens("-n", "1", HEARTH_RUN_MAX_TOKENS="2") == of_file[:1]
    text = json.loads(ok(*ask, env=home.env))["text"]
    home.write("[run]\njson = true\ntemp = 0\nmax-tokens = 3\nraw = true\n")
    assert json.loads(ok("run", "To be, or not", env=home.env))["tokens"] == of_file
    assert ok("run", "To be, or not", "--no-json", env=home.env).decode().strip() == text.strip()
    assert "no option" in one_line(run("show", "--no-json", "bard", env=home.env))  # it reads no settings
