#!/usr/bin/env python3
"""Pins what the conformance tests' clients from PyPI need: for each requirements*.txt given, or all in
tests/conformance/clients, the versions are taken from its lines and written back with the hashes of the wheels
for Linux on x86-64 and 64-bit ARM and the Pythons below. To take a newer version: change its line, run this.

    packaging/lock-clients.py [tests/conformance/clients/requirements.txt ...]

Dependencies are those that are listed; pip is not asked to find more."""
import json
import pathlib
import re
import subprocess
import sys

CLIENTS = pathlib.Path(__file__).parents[1] / "tests" / "conformance" / "clients"
PYTHONS = ["3.11", "3.12", "3.13"]
MACHINES = ["x86_64", "aarch64"]


def hashes_of(pins, python, machine):
    """{name==version: sha256} of the wheels that pip would take there."""
    platforms = [f"--platform={tag}_{machine}" for tag in
                 ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014", "manylinux_2_5", "manylinux1")]
    done = subprocess.run([sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps", "--report=-",
                           "--ignore-installed", "--target=/nonexistent", "--only-binary=:all:",
                           "--implementation=cp", f"--python-version={python}", *platforms, *pins],
                          check=True, capture_output=True)
    return {pin: item["download_info"]["archive_info"]["hashes"]["sha256"]
            for item in json.loads(done.stdout)["install"] for pin in pins
            if normal(pin.split("==")[0]) == normal(item["metadata"]["name"])}


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def lock(path):
    text = path.read_text()
    story = "".join(line + "\n" for line in text.split("\n") if line.startswith("#"))
    pins = sorted(set(re.findall(r"^[\w.-]+==[\w.]+", text, re.M)), key=str.lower)
    found = {pin: [] for pin in pins}
    for python in PYTHONS:
        for machine in MACHINES:
            for pin, sha in hashes_of(pins, python, machine).items():
                if sha not in found[pin]:
                    found[pin].append(sha)
    missing = [pin for pin in pins if not found[pin]]
    if missing:
        sys.exit(f"{path.name}: no wheel for {', '.join(missing)}")
    path.write_text(story + "".join(
        pin + "".join(f" \\\n    --hash=sha256:{sha}" for sha in found[pin]) + "\n" for pin in pins))


for given in sys.argv[1:] or sorted(CLIENTS.glob("requirements*.txt")):
    lock(pathlib.Path(given))
