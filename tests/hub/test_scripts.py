"""A registry that plays every script of hostile_scripts.py. After each the model is absent or byte-identical; a later
pull gets it and fetches at most a chunk again; progress never goes back; a stranger hears of no secret."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from hostile_registry import CHUNK, MODEL, Hostile, Stranger  # noqa: E402
from hostile_scripts import SCRIPTS  # noqa: E402
from hub_rig import absent_or_whole, pull  # noqa: E402


def told(done):
    """(bytes that were there before, bytes that it last said are there) of the weights."""
    rows = [x for x in done.events if x.get("event") == "blob" and x["what"] == "model"]
    return (rows[0]["resumed"], rows[-1]["completed"]) if rows else (None, 0)


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(name, tmp_path):
    script = SCRIPTS[name]
    codes = script.code if isinstance(script.code, tuple) else (script.code,)
    with Stranger() as stranger, Hostile(script.wrong, script.at, manifest=script.manifest, stranger=stranger) as s:
        args = ["--retries", "30" if codes == (0,) else "2", *script.args]
        done = pull(tmp_path, s.name(), "--insecure", *args, env=s.secret())
        assert done.returncode in codes, (done.returncode, done.text)
        assert absent_or_whole(tmp_path, MODEL) == (done.returncode == 0)
        if done.returncode:
            assert done.text.startswith("hearth: ") and done.text.count("\n") == 1, done.text
        assert not stranger.heard(), stranger.heard()
        assert not [p for p in tmp_path.rglob("*") if "passwd" in p.name]

        stranger.wrong = s.wrong = None  # all is well again
        s.manifest = MODEL.manifest
        s.begin()
        again = pull(tmp_path, s.name(), "--insecure", env=s.secret())
        assert again.returncode == 0 and absent_or_whole(tmp_path, MODEL), again.text
        assert not stranger.heard()
        resumed, _ = told(again)
        if done.returncode == 0:
            assert resumed is None and s.served == 0
        else:
            kept = told(done)[1] if done.returncode != 7 else 0  # what proved wrong is dropped
            assert resumed + CHUNK >= kept
            assert s.served == len(MODEL.weights) - resumed
