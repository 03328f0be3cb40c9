"""Embeddings and reranking over HTTP; what the vectors are is the engine's own tests' matter."""
import base64
import math
import struct
import threading

from hearth_api import needs_bard

pytestmark = needs_bard
TEXTS = ["To be, or not to be", "Now is the winter of our discontent", "x"]


def vectors(answer):
    assert answer.status == 200, answer.body
    rows = answer.json()["data"]
    assert [r["index"] for r in rows] == list(range(len(rows)))
    return [r["embedding"] for r in rows]


def test_shapes(server):
    answer = server.post("/v1/embeddings", {"input": TEXTS})
    got = vectors(answer)
    assert len(got) == 3 and len(set(map(len, got))) == 1
    assert all(math.isclose(sum(x * x for x in v), 1, rel_tol=1e-3) for v in got)
    usage = answer.json()["usage"]
    assert usage["prompt_tokens"] == usage["total_tokens"] > 3
    assert vectors(server.post("/v1/embeddings", {"input": TEXTS[0]})) == got[:1]


def test_base64_is_the_same(server):
    plain = vectors(server.post("/v1/embeddings", {"input": TEXTS}))
    coded = vectors(server.post("/v1/embeddings", {"input": TEXTS, "encoding_format": "base64"}))
    for a, b in zip(plain, coded):
        raw = base64.b64decode(b, validate=True)
        assert [struct.unpack("<f", struct.pack("<f", x))[0] for x in a] == list(struct.unpack(f"<{len(a)}f", raw))


def test_dimensions(server):
    whole = vectors(server.post("/v1/embeddings", {"input": TEXTS[0]}))[0]
    short = vectors(server.post("/v1/embeddings", {"input": TEXTS[0], "dimensions": 8}))[0]
    length = math.sqrt(sum(x * x for x in whole[:8]))
    assert len(short) == 8
    assert all(math.isclose(x, y / length, rel_tol=1e-4, abs_tol=1e-6) for x, y in zip(short, whole))
    too_many = server.post("/v1/embeddings", {"input": "x", "dimensions": len(whole) + 1})
    assert too_many.status == 400 and too_many.error()["param"] == "dimensions"


def test_tokens(server):
    one = vectors(server.post("/v1/embeddings", {"input": [5, 6, 7]}))
    many = vectors(server.post("/v1/embeddings", {"input": [[5, 6, 7], [8]]}))
    assert len(one) == 1 and many[0] == one[0] and many[1] != one[0]


def test_wrong_inputs(server):
    for value in ("", [], [""], [[]], [1.5], [10 ** 9], ["x", 1], [["x"]], ["x" * 100000]):
        answer = server.post("/v1/embeddings", {"input": value})
        assert answer.status == 400, (value, answer.body)
        assert answer.error()["message"]


def test_many_at_once(server):
    alone = vectors(server.post("/v1/embeddings", {"input": TEXTS}))
    got = [None] * 24

    def one(i):
        got[i] = vectors(server.post("/v1/embeddings", {"input": TEXTS[i % 3]}))[0]

    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(got))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == [alone[i % 3] for i in range(len(got))]
    server.wait_metric("ledger_live", lambda n: n == 0)


def test_a_model_that_does_not_judge(server):
    """bard is no reranker: an error, or scores, but in the right shape."""
    answer = server.post("/v1/rerank", {"query": "who?", "documents": TEXTS, "top_n": 2})
    if answer.status == 200:
        rows = answer.json()["results"]
        assert len(rows) == 2 and rows[0]["relevance_score"] >= rows[1]["relevance_score"]
    else:
        assert answer.status == 400 and "rank" in answer.error()["message"]
    assert server.post("/v1/rerank", {"query": "who?", "documents": []}).status == 400
    assert server.post("/v1/rerank", {"query": "who?"}).error()["param"] == "documents"
