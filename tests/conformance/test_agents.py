"""Programs that write programs, headless, as they are, for one turn in which they read a file: `make agents` fetches
them (HEARTH_AGENTS). Their prompts are longer than what bard was made for, so here its file says otherwise; what it
answers means nothing, and need not. So that a model that knows nothing of tools calls one, a proxy demands it in the
first request, with arguments that lead to the file; what comes back from the tool goes through untouched."""
import http.client
import http.server
import json
import os
import pathlib
import platform
import struct
import subprocess
import threading

import pytest

from clients_rig import hearth_api, node

AGENTS = pathlib.Path(os.environ.get("HEARTH_AGENTS") or "/nonexistent")
pytestmark = [hearth_api.needs_bard,
              pytest.mark.skipif(not AGENTS.exists(), reason="the agents are not here (HEARTH_AGENTS; make agents)")]
SECRET = "the rook flies at midnight"
MODEL = "bard-long"
N_CTX = 65536


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    data = bytearray(hearth_api.BARD.read_bytes())
    key = b".context_length" + struct.pack("<I", 4)
    at = data.index(key) + len(key)
    struct.pack_into("<I", data, at, N_CTX)
    (home / f"{MODEL}.gguf").write_bytes(data)
    with hearth_api.serving(home / "hearth", "--model", home / f"{MODEL}.gguf", "--drain", "1") as s:
        yield s


class Proxy(http.server.ThreadingHTTPServer):
    """Passes everything on. In the first request that has the tool `name`, it must be called, with these arguments."""

    def __init__(self, server, name, arguments):
        super().__init__(("127.0.0.1", 0), Handler)
        self.hearth, self.tool, self.arguments = server, name, arguments
        self.lock, self.forced, self.told, self.failed = threading.Lock(), False, False, []
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def change(self, path, body):
        tools = {t.get("name") or t.get("function", {}).get("name"): t for t in body.get("tools") or []}
        with self.lock:
            self.told = self.told or SECRET in json.dumps(body)
            if self.forced or self.tool not in tools:
                return
            self.forced = True
        tool = tools[self.tool]
        tool = tool.get("function", tool)
        schema = {"type": "object", "properties": {k: {"enum": [v]} for k, v in self.arguments.items()},
                  "required": list(self.arguments), "additionalProperties": False}
        tool["input_schema" if path.startswith("/v1/messages") else "parameters"] = schema
        tool.pop("strict", None)
        if path.startswith("/v1/messages"):
            body["tool_choice"] = {"type": "tool", "name": self.tool, "disable_parallel_tool_use": True}
            body.pop("thinking", None)
        else:
            flat = path.startswith("/v1/responses")
            body["tool_choice"] = {"type": "function", **({"name": self.tool} if flat else
                                                          {"function": {"name": self.tool}})}
            body["parallel_tool_calls"] = False


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def pass_on(self):
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if data.startswith(b"{"):
            body = json.loads(data)
            self.server.change(self.path, body)
            data = json.dumps(body).encode()
        skip = ("host", "content-length", "connection", "accept-encoding")
        c = http.client.HTTPConnection("127.0.0.1", self.server.hearth.port, timeout=600)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in skip}
        c.request(self.command, self.path, data or None, headers)
        answer = c.getresponse()
        self.send_response(answer.status)
        for k, v in answer.getheaders():
            if k.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(k, v)
        self.end_headers()
        if answer.status >= 400:
            self.server.failed.append(f"{self.command} {self.path} {answer.status}")
        if self.command != "HEAD":
            while piece := answer.read1(65536):
                self.wfile.write(piece)
                self.wfile.flush()
        c.close()

    do_GET = do_POST = do_HEAD = pass_on


@pytest.fixture
def place(tmp_path):
    """A home and a folder of their own, with a file to be read."""
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "work" / "note.txt").write_text(SECRET + "\n")
    return tmp_path


def run(place, *args, **env):
    path = os.pathsep.join([str(pathlib.Path(node()).parent), "/usr/local/bin", "/usr/bin", "/bin"])
    done = subprocess.run(list(map(str, args)), cwd=place / "work", capture_output=True, check=False, timeout=500,
                          stdin=subprocess.DEVNULL, env={"HOME": str(place / "home"), "PATH": path, **env})
    return done.returncode, done.stdout.decode() + done.stderr.decode()


def found(*patterns):
    for pattern in patterns:
        for path in sorted(AGENTS.glob("node_modules/" + pattern)):
            if "musl" not in str(path.relative_to(AGENTS)):
                return path
    return pytest.skip(f"{patterns[0]} is not here for {platform.machine()}")


def test_claude_code(server, place):
    proxy = Proxy(server, "Read", {"file_path": str(place / "work" / "note.txt")})
    code, said = run(place, found("@anthropic-ai/claude-code-linux-*/claude"), "-p", "What is in note.txt?",
                     "--output-format", "json", "--max-turns", "3", ANTHROPIC_BASE_URL=proxy.url,
                     ANTHROPIC_AUTH_TOKEN="any", ANTHROPIC_MODEL=MODEL, ANTHROPIC_DEFAULT_HAIKU_MODEL=MODEL,
                     CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1")
    assert code == 0 and proxy.forced and proxy.told and not proxy.failed, (proxy.failed, said)
    assert '"is_error":false' in said, said


def test_codex(server, place):
    proxy = Proxy(server, "exec_command", {"cmd": "cat note.txt"})
    (place / "home" / ".codex").mkdir()
    (place / "home" / ".codex" / "config.toml").write_text(
        f'model = "{MODEL}"\nmodel_provider = "hearth"\n[model_providers.hearth]\nname = "Hearth"\n'
        f'base_url = "{proxy.url}/v1"\nwire_api = "responses"\n')
    code, said = run(place, node(), found("@openai/codex/bin/codex.js"), "exec", "--skip-git-repo-check", "--json",
                     "--dangerously-bypass-approvals-and-sandbox", "What is in note.txt?")
    assert code == 0 and proxy.forced and proxy.told and not proxy.failed, (proxy.failed, said)
    assert '"turn.completed"' in said, said


def test_opencode(server, place):
    proxy = Proxy(server, "read", {"filePath": str(place / "work" / "note.txt")})
    config = place / "home" / ".config" / "opencode"
    config.mkdir(parents=True)
    (config / "opencode.json").write_text(json.dumps({
        "provider": {"hearth": {"npm": "@ai-sdk/openai-compatible", "name": "Hearth",
                                "options": {"baseURL": proxy.url + "/v1", "apiKey": "any"},
                                "models": {MODEL: {"name": "Bard", "limit": {"context": N_CTX, "output": 1024}}}}},
        "model": f"hearth/{MODEL}", "small_model": f"hearth/{MODEL}", "autoupdate": False, "share": "disabled"}))
    code, said = run(place, found("opencode-linux-*/bin/opencode"), "run",
                     "--format", "json", "What is in note.txt?", OPENCODE_DISABLE_MODELS_FETCH="1",
                     OPENCODE_DISABLE_LSP_DOWNLOAD="1", OPENCODE_DISABLE_DEFAULT_PLUGINS="1")
    assert code == 0 and proxy.forced and proxy.told and not proxy.failed, (proxy.failed, said)
