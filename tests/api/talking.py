"""One conversation in four dialects: how each asks, and what each answers, brought into one form."""
import json

DIALECTS = ["chat", "responses", "anthropic", "ollama"]
WEATHER = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo", "Lima"]},
                                            "days": {"type": "integer", "minimum": 1, "maximum": 5}},
           "required": ["city", "days"], "additionalProperties": False}
CLOCK = {"type": "object", "properties": {"zone": {"type": "string", "pattern": "^[A-Z]{3}$"}}, "required": ["zone"],
         "additionalProperties": False}
TOOLS = [("weather", "tells the weather", WEATHER), ("clock", "tells the time", CLOCK)]
SCHEMAS = {"weather": WEATHER, "clock": CLOCK}
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "anthropic": "/v1/messages", "ollama": "/api/chat"}


class Said:
    """An answer: text, thought, calls as (name, arguments), ids, why it ended, the notes beside it, prompt tokens."""

    def __init__(self):
        self.text, self.thought, self.calls, self.ids, self.why = "", "", [], [], None
        self.notes, self.prompt, self.events = {}, None, []

    def same(self, other):
        return (self.text, self.thought, self.calls, self.why) == (other.text, other.thought, other.calls, other.why)


def tools_of(dialect, tools, strict):
    more = {"strict": True} if strict else {}
    if dialect == "anthropic":
        return [{"name": n, "description": d, "input_schema": s, **more} for n, d, s in tools]
    functions = [{"name": n, "description": d, "parameters": s} for n, d, s in tools]
    if dialect == "responses":
        return [{"type": "function", **f, **more} for f in functions]
    return [{"type": "function", "function": {**f, **({} if dialect == "ollama" else more)}} for f in functions]


def choice_of(dialect, choice):
    """"auto", "none", "required", or the name of a tool."""
    words = choice in ("auto", "none", "required")
    if dialect == "anthropic":
        return {"type": {"required": "any"}.get(choice, choice)} if words else {"type": "tool", "name": choice}
    if words:
        return choice
    return {"type": "function", "name": choice} if dialect == "responses" else {
        "type": "function", "function": {"name": choice}}


def messages_of(dialect, talk):
    """talk: (role, text), ("calls", thought, text, [(id, name, arguments)]), ("result", id, name, text)."""
    out = []
    for role, *rest in talk:
        if role == "calls":
            thought, said, calls = rest
            if dialect == "responses":
                out += [{"type": "reasoning", "id": "rs_1", "summary": [],
                         "content": [{"type": "reasoning_text", "text": thought}]}] if thought else []
                out += [{"role": "assistant", "content": said}] if said else []
                out += [{"type": "function_call", "call_id": i, "name": n, "arguments": json.dumps(a, separators=(",", ":"))}
                        for i, n, a in calls]
            elif dialect == "anthropic":
                out.append({"role": "assistant", "content": (
                    [{"type": "thinking", "thinking": thought, "signature": "x"}] if thought else []) + (
                    [{"type": "text", "text": said}] if said else []) + [
                    {"type": "tool_use", "id": i, "name": n, "input": a} for i, n, a in calls]})
            elif dialect == "ollama":
                out.append({"role": "assistant", "content": said, **({"thinking": thought} if thought else {}),
                            "tool_calls": [{"function": {"name": n, "arguments": a}} for _, n, a in calls]})
            else:
                out.append({"role": "assistant", "content": said or None, "reasoning_content": thought or None,
                            "tool_calls": [{"id": i, "type": "function",
                                            "function": {"name": n, "arguments": json.dumps(a, separators=(",", ":"))}} for i, n, a in calls]})
        elif role == "result":
            i, name, text = rest
            out.append({
                "chat": {"role": "tool", "tool_call_id": i, "content": text},
                "responses": {"type": "function_call_output", "call_id": i, "output": text},
                "anthropic": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": i, "content": text}]},
                "ollama": {"role": "tool", "tool_name": name, "content": text}}[dialect])
        elif role == "system" and dialect == "anthropic":
            continue
        else:
            out.append({"role": role, "content": rest[0]})
    return out


def body_of(dialect, talk, tools=None, choice=None, one=False, strict=False, stream=False, max_tokens=160, think=None,
            budget=None, schema=None, **more):
    body = {"stream": stream}
    messages = messages_of(dialect, talk)
    body["input" if dialect == "responses" else "messages"] = messages
    if dialect == "ollama":
        sampler = {"num_predict": max_tokens}
        for name in ("seed", "temperature"):
            if name in more:
                sampler[name] = more.pop(name)
        body["options"] = sampler
    else:
        body[{"chat": "max_tokens", "responses": "max_output_tokens", "anthropic": "max_tokens"}[dialect]] = max_tokens
        body["top_k"], body["top_p"], body["min_p"] = 40, 0.9, 0
    if dialect == "anthropic":
        system = [t[1] for t in talk if t[0] == "system"]
        body.update({"system": system[0]} if system else {})
    if tools:
        body["tools"] = tools_of(dialect, tools, strict)
    if choice:
        body["tool_choice"] = choice_of(dialect, choice)
    if one and dialect == "anthropic":
        body["tool_choice"] = {**body.get("tool_choice", {"type": "auto"}), "disable_parallel_tool_use": True}
    elif one:
        body["parallel_tool_calls"] = False
    if think is not None:
        body.update({"chat": {"reasoning_effort": "high" if think else "none"},
                     "responses": {"reasoning": {"effort": "high" if think else "none"}},
                     "anthropic": {"thinking": {"type": "enabled" if think else "disabled"}},
                     "ollama": {"think": think}}[dialect])
    if budget is not None and dialect == "anthropic":
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    elif budget is not None:
        body["thinking_budget"] = budget
    if schema is not None:
        body.update({"chat": {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}},
                     "responses": {"text": {"format": {"type": "json_schema", "name": "x", "schema": schema}}},
                     "anthropic": {"output_config": {"format": {"type": "json_schema", "schema": schema}}},
                     "ollama": {"format": schema}}[dialect])
    return {**body, **more}


def notes_of(o):
    return {k: o[k] for k in ("warnings", "dropped_turns") if k in o}


# ---- whole answers ----

def read_chat(o):
    said, choice = Said(), o["choices"][0]
    m = choice["message"]
    said.text, said.thought = m["content"] or "", m.get("reasoning_content", "")
    assert m.get("reasoning", "") == said.thought
    for call in m.get("tool_calls", []):
        assert call["type"] == "function"
        said.calls.append((call["function"]["name"], json.loads(call["function"]["arguments"])))
        said.ids.append(call["id"])
    said.why, said.prompt = choice["finish_reason"], o["usage"]["prompt_tokens"]
    return said


def read_responses(o):
    said = Said()
    for item in o["output"]:
        if item["type"] == "reasoning":
            said.thought += "".join(c["text"] for c in item["content"])
        elif item["type"] == "message":
            said.text += "".join(c["text"] for c in item["content"])
        else:
            assert item["type"] == "function_call", item
            said.calls.append((item["name"], json.loads(item["arguments"])))
            said.ids.append(item["call_id"])
    said.why = "length" if o["status"] == "incomplete" else "tool_calls" if said.calls else "stop"
    said.prompt = o["usage"]["input_tokens"]
    return said


def read_anthropic(o):
    said = Said()
    for block in o["content"]:
        if block["type"] == "thinking":
            assert len(block["signature"]) > 20
            said.thought += block["thinking"]
        elif block["type"] == "text":
            said.text += block["text"]
        else:
            assert block["type"] == "tool_use" and block["id"].startswith("toolu_"), block
            assert block["caller"] == {"type": "direct"}
            said.calls.append((block["name"], block["input"]))
            said.ids.append(block["id"])
    said.why = {"tool_use": "tool_calls", "max_tokens": "length", "end_turn": "stop"}[o["stop_reason"]]
    said.prompt = o["usage"]["input_tokens"] + o["usage"]["cache_read_input_tokens"]
    return said


def read_ollama(o):
    said, m = Said(), o["message"]
    said.text, said.thought = m["content"], m.get("thinking", "")
    for call in m.get("tool_calls", []):
        said.calls.append((call["function"]["name"], call["function"]["arguments"]))
        said.ids.append(call["id"])
    said.why = "tool_calls" if said.calls and o["done_reason"] == "stop" else o["done_reason"]
    said.prompt = o["prompt_eval_count"]
    return said


# ---- streams, brought into whole answers ----

def join_chat(events):
    message, whole, calls = {"content": "", "reasoning_content": "", "reasoning": ""}, None, {}
    notes = {}
    for e in events:
        notes.update(notes_of(e))
        for c in e["choices"]:
            for part in c["delta"].pop("tool_calls", []):
                call = calls.setdefault(part["index"], {"id": part.get("id"), "type": part.get("type"),
                                                        "function": {"name": "", "arguments": ""}})
                for k, v in part["function"].items():
                    call["function"][k] += v
            for k in message:
                message[k] += c["delta"].get(k) or ""
            whole = c["finish_reason"] or whole
    message["tool_calls"] = [calls[i] for i in sorted(calls)]
    assert sorted(calls) == list(range(len(calls)))
    return {"choices": [{"message": message, "finish_reason": whole}], "usage": {"prompt_tokens": None}, **notes}


def join_responses(events):
    """Each item, made of its deltas, is what the last event has."""
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
    items, last = {}, events[-1]["response"]
    for e in events:
        kind, at = e["type"], e.get("output_index")
        if kind == "response.output_item.added":
            items[at] = {"text": "", "done": None}
        elif kind.endswith(".delta"):
            items[at]["text"] += e["delta"]
        elif kind == "response.output_item.done":
            items[at]["done"] = e["item"]
    assert [items[i]["done"] for i in sorted(items)] == last["output"]
    for i, item in enumerate(last["output"]):
        whole = item["arguments"] if item["type"] == "function_call" else "".join(c["text"] for c in item["content"])
        assert items[i]["text"] == whole
    return last


def join_anthropic(events):
    message, open_at = None, None
    for e in events:
        if e["type"] == "message_start":
            message = e["message"]
        elif e["type"] == "content_block_start":
            assert open_at is None and e["index"] == len(message["content"])
            open_at = e["index"]
            message["content"].append({**e["content_block"], "json": ""})
        elif e["type"] == "content_block_delta":
            assert e["index"] == open_at
            block, delta = message["content"][open_at], e["delta"]
            key = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}.get(delta["type"])
            if key:
                block[key] += delta[key]
            else:
                block["json"] += delta["partial_json"]
        elif e["type"] == "content_block_stop":
            block = message["content"][open_at]
            if block["type"] == "tool_use":
                assert block["input"] == {}
                block["input"] = json.loads(block["json"])
            open_at = None
        elif e["type"] == "message_delta":
            message.update(e["delta"])
            message["usage"].update(e["usage"])
            message.update(notes_of(e))
    assert open_at is None and events[-1]["type"] == "message_stop"
    return message


def join_ollama(lines):
    message, last = {"content": "", "thinking": "", "tool_calls": []}, lines[-1]
    assert [e["done"] for e in lines] == [False] * (len(lines) - 1) + [True]
    for e in lines:
        for k in message:
            message[k] += e["message"].get(k) or type(message[k])()
    return {**last, "message": message}


READ = {"chat": read_chat, "responses": read_responses, "anthropic": read_anthropic, "ollama": read_ollama}
JOIN = {"chat": join_chat, "responses": join_responses, "anthropic": join_anthropic, "ollama": join_ollama}


def post(server, dialect, talk, **how):
    return server.post(PATHS[dialect], body_of(dialect, talk, **how))


def said_in(dialect, answer, stream):
    assert answer.status == 200, answer.body
    if not stream:
        o = answer.json()
    elif dialect == "ollama":
        o = join_ollama([json.loads(line) for line in answer.body.decode().split("\n")[:-1]])
    else:
        o = JOIN[dialect](answer.events())
    said = READ[dialect](o)
    said.notes = notes_of(o)
    return said


def say(server, dialect, talk, **how):
    return said_in(dialect, post(server, dialect, talk, **how), how.get("stream", False))
