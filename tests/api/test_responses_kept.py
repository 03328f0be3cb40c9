"""Responses are there after a restart, also after kill -9; for their owner alone; not when they are deleted, and never
in a file when the client said so."""
import json
import signal

import hearth_api
from hearth_api import needs_bard

pytestmark = needs_bard


def ask(s, text="To be", **more):
    key = more.pop("key", None)
    answer = s.post("/v1/responses", {"input": text, "max_output_tokens": 3, "seed": 1, **more},
                    **({"x_api_key": key} if key else {}))
    assert answer.status == 200, answer.body
    return answer.json()


def files_hold(home, text):
    return [p.name for p in home.glob("hearth.db*") if text.encode() in p.read_bytes()]


def test_items_by_name(server):
    """Vercel's library gives the names of what was answered instead of the items, where responses are kept."""
    tool = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {"where": {"enum": ["door"]}},
                                                               "required": ["where"], "additionalProperties": False}}
    said = ask(server, max_output_tokens=6)
    called = ask(server, tools=[tool], tool_choice="required", max_output_tokens=200)
    items = said["output"] + called["output"]
    assert len({i["id"] for i in items}) == len(items) and items[-1]["type"] == "function_call"
    result = {"type": "function_call_output", "call_id": items[-1]["call_id"], "output": "Nobody."}
    first, last = {"role": "user", "content": "To be"}, {"role": "user", "content": "And?"}
    whole = ask(server, [first, *items, result, last], store=False)
    named = [{"type": "item_reference", "id": i["id"]} for i in items]
    got = ask(server, [first, *named, result, last], store=False)
    assert got["output"][0]["content"] == whole["output"][0]["content"]
    assert got["usage"]["input_tokens"] == whole["usage"]["input_tokens"]
    for name in ("msg_1", "nothing", "", said["output"][0]["id"] + "1", "msg_" + "x" * 90 + "_0"):
        answer = server.post("/v1/responses", {"input": [{"type": "item_reference", "id": name}, last]})
        assert answer.status == 404 and answer.error()["param"] == "input[0]" and "item" in answer.error()["message"]
    server.ask("DELETE", "/v1/responses/" + said["id"])
    assert server.post("/v1/responses", {"input": [named[0], last]}).status == 404


def test_kept_over_restarts(tmp_path):
    home = tmp_path / "home"
    with hearth_api.serving(home, "--drain", "5") as s:
        first = ask(s, "What did the wind say?")
    with hearth_api.serving(home, "--drain", "0") as s:
        assert s.get("/v1/responses/" + first["id"]).json() == first
        second = ask(s, "And the sea?", previous_response_id=first["id"])
        listed = s.get(f"/v1/responses/{second['id']}/input_items").json()["data"]
        assert "What did the wind say?" in json.dumps(listed) and "And the sea?" in json.dumps(listed)
        s.stop(signal.SIGKILL) # what was answered is on disk
    with hearth_api.serving(home, "--drain", "0") as s:
        assert s.get("/v1/responses/" + second["id"]).json() == second
        third = ask(s, "And then?", previous_response_id=second["id"], store=False)
        assert third["previous_response_id"] == second["id"]
        gone = s.ask("DELETE", "/v1/responses/" + second["id"])
        assert gone.json() == {"id": second["id"], "object": "response", "deleted": True}
        assert s.ask("DELETE", "/v1/responses/" + second["id"]).status == 404
    with hearth_api.serving(home, "--drain", "0") as s:
        assert s.get("/v1/responses/" + second["id"]).status == 404
        assert s.get("/v1/responses/" + first["id"]).status == 200


def test_two_servers_share_them(tmp_path):
    with hearth_api.serving(tmp_path, "--drain", "0") as s, hearth_api.serving(tmp_path, "--drain", "0") as other:
        first = ask(s, "What did the wind say?")
        second = ask(other, "And the sea?", previous_response_id=first["id"])
        assert s.get("/v1/responses/" + second["id"]).json() == second
        assert s.ask("DELETE", "/v1/responses/" + second["id"]).status == 200
        assert other.get("/v1/responses/" + second["id"]).status == 404 # though it was made there
        assert other.get("/v1/responses/" + first["id"]).json() == first


def test_streams_are_kept_before_they_end(tmp_path):
    with hearth_api.serving(tmp_path, "--drain", "0") as s:
        events = s.post("/v1/responses", {"input": "To be", "max_output_tokens": 3, "stream": True}).events()
        s.stop(signal.SIGKILL)
    with hearth_api.serving(tmp_path, "--drain", "0") as s:
        last = events[-1]["response"]
        assert s.get("/v1/responses/" + last["id"]).json()["output"] == last["output"]


def test_owners_after_a_restart(tmp_path):
    with hearth_api.serving(tmp_path, "--drain", "5") as s:
        ann = json.loads(s.command("key", "create", "ann", "--json"))["key"]
        bob = json.loads(s.command("key", "create", "bob", "--json"))["key"]
        while s.get("/v1/models", Authorization="Bearer " + bob).status != 200:
            pass # until the new keys are seen
        mine = ask(s, key=ann)
    with hearth_api.serving(tmp_path, "--drain", "0") as s:
        path = "/v1/responses/" + mine["id"]
        assert s.get(path, Authorization="Bearer " + ann).json() == mine
        assert s.get(path, Authorization="Bearer " + bob).status == 404
        assert s.get(path).status == 404
        assert s.ask("DELETE", path, headers={"Authorization": "Bearer " + bob}).status == 404
        assert s.get(path, Authorization="Bearer " + ann).status == 200


def test_what_is_not_to_be_kept_is_in_no_file(tmp_path):
    home = tmp_path / "home"
    with hearth_api.serving(home, "--drain", "5") as s:
        kept = ask(s, "a quokka in the garden")
        told = ask(s, "a narwhal in the garden", store=False)
        assert s.get("/v1/responses/" + told["id"]).status == 404
        assert files_hold(home, "quokka") and not files_hold(home, "narwhal")
    with hearth_api.serving(home, "--drain", "5", "--keep-responses", "0") as s:
        assert s.get("/v1/responses/" + kept["id"]).status == 404 # nor what was kept before
        short = ask(s, "a pangolin in the garden")
        ask(s, "and there?", previous_response_id=short["id"])
    assert not files_hold(home, "quokka") and not files_hold(home, "pangolin")
    with hearth_api.serving(home, "--drain", "0") as s:
        assert s.get("/v1/responses/" + short["id"]).status == 404
