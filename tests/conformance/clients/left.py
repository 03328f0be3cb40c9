"""Streams that a client leaves before their end, as the server at HEARTH_URL sees it.

    seen_leaving(lambda: next(stream()).close())
"""
import os
import time
import urllib.request


def metric(name):
    with urllib.request.urlopen(os.environ["HEARTH_URL"] + "/metrics") as r:
        return next(float(line.split()[1]) for line in r.read().decode().split("\n") if line.startswith(name + " "))


def seen_leaving(leave):
    """Calls leave(), which begins a long answer and leaves it, until the server has cancelled one: a small model may
    have written all of it before it is told."""
    for _ in range(20):
        before = metric("hearth_cancelled_total")
        leave()
        deadline = time.monotonic() + 60
        while metric("hearth_calls") > 0:
            assert time.monotonic() < deadline, "an answer that was left goes on"
            time.sleep(0.005)
        if metric("hearth_cancelled_total") > before:
            return
    raise AssertionError("the server never saw anybody leave")
