"""What clients hear while the model they ask for is not there yet: streams a sign of life every 5 seconds, in every
dialect; whole answers nothing, so that their status is true. The model does not come as long as another one is in use."""
import json
import select
import shutil
import threading

import pytest

import hearth_api
from hearth_api import BARD, needs_bard

pytestmark = needs_bard

USER = [{"role": "user", "content": "To be"}]
SHORT = {"model": "wanted", "max_tokens": 2}
COMMENT = b": keep-alive\n"
STREAMS = {
    "openai chat": ("/v1/chat/completions", {**SHORT, "messages": USER, "stream": True}, COMMENT, b"data: [DONE]\n"),
    "openai text": ("/v1/completions", {**SHORT, "prompt": "To be", "stream": True}, COMMENT, b"data: [DONE]\n"),
    "openai responses": ("/v1/responses", {"model": "wanted", "input": "To be", "max_output_tokens": 2, "stream": True},
                         COMMENT, b'"type":"response.incomplete"'),
    "anthropic": ("/v1/messages", {**SHORT, "messages": USER, "stream": True}, b"event: ping\n", b"event: message_stop\n"),
    "ollama chat": ("/api/chat", {"model": "wanted", "messages": USER, "options": {"num_predict": 2}}, b'"done":false',
                    b'"done":true'),
    "ollama generate": ("/api/generate", {"model": "wanted", "prompt": "To be", "options": {"num_predict": 2}},
                        b'"done":false', b'"done":true'),
    "ollama load": ("/api/generate", {"model": "wanted"}, b'"done":false', b'"done_reason":"load"'),
    "llama-server": ("/completion", {"model": "wanted", "prompt": "To be", "n_predict": 2, "stream": True}, COMMENT,
                     b'"stop":true'),
    "damaged": ("/v1/chat/completions", {"model": "damaged", "messages": USER, "stream": True}, COMMENT, b'"error":'),
    "damaged, responses": ("/v1/responses", {"model": "damaged", "input": "To be", "stream": True}, COMMENT,
                           b"event: error\n"),
    "damaged, ollama": ("/api/chat", {"model": "damaged", "messages": USER}, b'"done":false', b'{"error":'),
}
WHOLE = {
    "chat": ("/v1/chat/completions", {**SHORT, "messages": USER}, 200),
    "anthropic": ("/v1/messages", {**SHORT, "messages": USER}, 200),
    "ollama": ("/api/chat", {"model": "wanted", "messages": USER, "stream": False, "options": {"num_predict": 2}}, 200),
    "count": ("/v1/messages/count_tokens", {"model": "wanted", "messages": USER, "stream": True}, 200),
    "damaged": ("/v1/chat/completions", {"model": "damaged", "messages": USER}, 500),
}


class Busy:
    """A model in use until it is let go."""

    def __init__(self, server, model):
        self.over = threading.Event()
        self.connection, self.response = server.open(
            "POST", "/v1/completions",
            {"model": model, "prompt": "x", "ignore_eos": True, "max_tokens": -1, "n": 128, "stream": True})
        self.seen = self.response.read(1)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        while not self.over.is_set() and self.response.read(4096):
            pass

    def let_go(self):
        self.over.set()
        self.reader.join()
        self.connection.close()
        self.response.close()


class Stream(threading.Thread):
    def __init__(self, server, name):
        super().__init__()
        self.path, self.body, self.sign, self.last = STREAMS[name]
        self.server, self.name, self.lines, self.told = server, name, [], threading.Event()
        self.start()

    def run(self):
        c, self.response = self.server.open("POST", self.path, self.body)
        while line := self.response.readline():
            self.lines.append(line)
            if self.sign in line:
                self.told.set()
        c.close()


@pytest.fixture(scope="module")
def waited(tmp_path_factory):
    home = tmp_path_factory.mktemp("waiting")
    folder = home / "models"
    folder.mkdir()
    for name in ("used", "wanted"):
        shutil.copy(BARD, folder / f"{name}.gguf")
    (folder / "damaged.gguf").write_bytes(b"GGUF" + b"\xff" * 100)
    with hearth_api.serving(home / "home", "--models", folder, "--max-models", "1", "--drain", "0") as s:
        busy = Busy(s, "used")
        whole = {}
        for name, (path, body, _) in WHOLE.items():
            whole[name] = s.connect()
            whole[name].request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        streams = {name: Stream(s, name) for name in STREAMS}
        told = {name: x.told.wait(30) for name, x in streams.items()}
        silent = not select.select([c.sock for c in whole.values()], [], [], 0)[0]
        loaded = [m["id"] for m in s.get("/v1/models").json()["data"] if m["loaded"]]
        busy.let_go()
        for x in streams.values():
            x.join()
        answers = {}
        for name, c in whole.items():
            answers[name] = hearth_api.Answer(c.getresponse())
            c.close()
    assert loaded == ["used"] # nothing was there to answer with
    return streams, told, silent, answers


@pytest.mark.parametrize("name", STREAMS)
def test_streams_hear_something(waited, name):
    streams, told, _, _ = waited
    x = streams[name]
    assert told[name] and x.response.status == 200, b"".join(x.lines)
    assert any(x.last in line for line in x.lines), b"".join(x.lines)
    first = next(i for i, line in enumerate(x.lines) if x.sign in line)
    assert first == 0 # before everything else
    if x.response.headers["Content-Type"] == "application/x-ndjson":
        assert all(isinstance(json.loads(line), dict) for line in x.lines)
    else:
        assert x.response.headers["Content-Type"] == "text/event-stream"
        for line in x.lines:
            assert line == b"\n" or line.split(b":")[0] in (b"", b"event", b"data")


def test_whole_answers_have_a_true_status(waited):
    _, _, silent, answers = waited
    assert silent
    for name, (_, _, status) in WHOLE.items():
        got = answers[name]
        assert got.status == status, (name, got.body)
        assert got.body.startswith(b"{") and isinstance(got.json(), dict)
