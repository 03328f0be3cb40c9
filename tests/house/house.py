"""The rules of the house, as functions from {path: text} to a list of complaints, so that the tests can
show each of them both the real tree and a small broken one."""

import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(os.environ.get("HEARTH_SOURCE") or pathlib.Path(__file__).parents[2])

# Rooms from the bottom up. A room may include rooms of lower floors, itself, and what EXTRA says.
FLOORS = [
    ["base"],
    ["net", "gguf", "quant", "template"],
    ["kern", "tok"],
    ["model", "prompt", "answer", "grammar"],
    ["engine"],
    ["store", "hub", "meter"],
    ["study", "api", "meterd"],
    ["cli"],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
EXTRA = {("gguf", "quant")}

# Folders of the server that do not know each other, and who may look into them: the list of routes, and the
# pages, which speak with a dialect's errors.
DIALECTS = {"openai", "anthropic", "ollama", "llamacpp"}
DIALECT_READERS = ("src/api/route.c", "src/api/pages/")

# Libraries that one room has to itself (or a few), by their headers.
LIBRARY_ROOMS = {
    r"sqlite3\.h|libpq-fe\.h": {"store"},
    r"histedit\.h|editline/.*": {"cli"},
    r"pcre2\.h": {"tok", "grammar"},
    r"event2?/.*|evhttp\.h|curl/.*|openssl/ssl\.h": {"net"},
}

MAX_COLUMNS = 100
MAX_FILE_LINES = 1000
MAX_FUNCTION_LINES = 80
BANNED = "strcpy strcat sprintf vsprintf gets atoi atol atof strtok alloca system tmpnam mktemp".split()
QUIET_EXCEPT = ("src/cli/", "src/meterd/", "src/base/log.c")  # the rest of src/ never prints nor ends the process
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b")


def git_files():
    """Tracked files, or None where this is not a git checkout."""
    try:
        out = subprocess.run(
            ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "-z"],
            check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return [name for name in out.decode().split("\0") if name and (ROOT / name).is_file()]


def read_texts(names):
    texts = {}
    for name in names:
        data = (ROOT / name).read_bytes()
        if b"\0" in data[:8192]:
            continue
        try:
            texts[name] = data.decode()
        except UnicodeDecodeError:
            pass
    return texts


def source_files():
    return read_texts(sorted(
        str(p.relative_to(ROOT)) for folder in ("src", "include", "examples", "tests", "bench")
        for p in (ROOT / folder).rglob("*.[ch]")))


def without_comments(text, keep_strings=False):
    """C text with comments blanked (and the insides of string and character literals, unless kept), lines
    and columns unmoved."""
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

    def blank(match):
        s = match.group(0)
        if s[0] in "\"'":
            return s if keep_strings else s[0] + " " * (len(s) - 2) + s[-1]
        return re.sub(r"[^\n]", " ", s)

    return pattern.sub(blank, text)


def room_of(path):
    match = re.match(r"src/([^/]+)/", path)
    return match.group(1) if match else None


def check_includes(texts):
    bad = []
    for path, text in texts.items():
        room = room_of(path)
        if not room:
            continue
        if room not in FLOOR:
            bad.append(f"{path}: {room} is not a room of the house")
            continue
        for number, line in enumerate(without_comments(text, keep_strings=True).split("\n"), 1):
            match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
            if match:
                bad += [f"{path}:{number}: {why}" for why in
                        include_faults(room, match.group(1) == '"', match.group(2))]
    return bad


def include_faults(room, quoted, name):
    if not quoted:
        for pattern, rooms in LIBRARY_ROOMS.items():
            if re.fullmatch(pattern, name) and room not in rooms:
                yield f"<{name}> belongs to {', '.join(sorted(rooms))}"
        return
    if not name.endswith(".h"):
        yield f'"{name}" is not a header'
    if name == "hearth.h":
        if FLOOR[room] < FLOOR["engine"]:
            yield "hearth.h is above this room"
        return
    target = name.split("/")[0] if "/" in name else None
    if target not in FLOOR:
        yield f'"{name}" names no room'
    elif target != room and FLOOR[target] >= FLOOR[room] and (room, target) not in EXTRA:
        yield f'"{name}" points upwards or sideways: {room} may not know {target}'


def check_dialects(texts):
    bad = []
    for path, text in texts.items():
        if not path.startswith("src/") or path.startswith(DIALECT_READERS):
            continue
        for number, line in enumerate(without_comments(text, keep_strings=True).split("\n"), 1):
            match = re.match(r'\s*#\s*include\s*"api/(\w+)/', line)
            if match and match.group(1) in DIALECTS and not path.startswith(f"src/api/{match.group(1)}/"):
                bad.append(f"{path}:{number}: {match.group(1)} is a dialect's own; what dialects share lies in src/api")
    return bad


def check_text(texts):
    """What holds for every C file."""
    bad = []
    for path, text in texts.items():
        lines = text.split("\n")
        if not text.endswith("\n") or text.endswith("\n\n"):
            bad.append(f"{path}: must end in one newline")
        if len(lines) > MAX_FILE_LINES:
            bad.append(f"{path}: {len(lines)} lines; a file is one idea, under {MAX_FILE_LINES}")
        for number, line in enumerate(lines, 1):
            where = f"{path}:{number}"
            if "\t" in line:
                bad.append(f"{where}: tab")
            if line != line.rstrip():
                bad.append(f"{where}: white space at the end")
            if len(line) > MAX_COLUMNS:
                bad.append(f"{where}: {len(line)} columns")
            if UNFINISHED.search(line):
                bad.append(f"{where}: unfinished work is no comment")
            if re.match(r"\s*#\s*if\s+0\b", line):
                bad.append(f"{where}: dead code")
    return bad


def check_headers(texts):
    bad = []
    for path, text in texts.items():
        if not path.endswith(".h"):
            continue
        match = re.match(r"/\*.*?\*/", text, re.S)
        story = match.group(0) if match else ""
        if len(story) < 20 and path.startswith(("src/", "include/")):
            bad.append(f"{path}: does not open with its story")
        guard = re.search(r"#ifndef (\w+_H)\n#define \1\n", text)
        if not guard and "nclude" not in story:  # a part of other files says who includes it, and how
            bad.append(f"{path}: no include guard")
    return bad


def check_calls(texts):
    bad = []
    banned = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
    loud = re.compile(r"(?<![\w.>])(printf|puts|putchar|perror|exit|_exit|abort)\s*\(")
    for path, text in texts.items():
        if not path.startswith(("src/", "examples/")):
            continue
        for number, line in enumerate(without_comments(text).split("\n"), 1):
            match = banned.search(line)
            if match:
                bad.append(f"{path}:{number}: {match.group(1)} is banned")
            match = loud.search(line)
            if match and path.startswith("src/") and not path.startswith(QUIET_EXCEPT):
                bad.append(f"{path}:{number}: {match.group(1)}: a library neither prints nor ends the process")
    return bad


def check_functions(texts):
    """Function bodies, as clang-format leaves them: a brace ending an unindented line, up to a brace alone
    in the first column."""
    bad = []
    for path, text in texts.items():
        if not path.startswith(("src/", "examples/")):
            continue
        start = None
        for number, line in enumerate(without_comments(text).split("\n"), 1):
            if start is None and re.match(r"[A-Za-z_ ].*\)\s*\{\s*$", line):
                start = number
            elif line.rstrip() == "}" and start is not None:
                if number - start + 1 > MAX_FUNCTION_LINES:
                    bad.append(f"{path}:{start}: a function of {number - start + 1} lines; "
                               f"it should fit a screen, {MAX_FUNCTION_LINES}")
                start = None
    return bad


def check_places(texts):
    """The tree speaks of no machine but the reader's: no host of a package registry, no folder of ours."""
    hosts = ["pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "npmjs" + ".com", "debian" + ".org",
             "ubuntu" + ".com/ubuntu", "crates" + ".io", "golang" + ".org", "maven" + ".org"]
    host = re.compile("|".join(re.escape(h) for h in hosts))
    folder = re.compile(r"(?<![\w.$}/~-])/(?:work|home|root)/")
    bad = []
    for path, text in texts.items():
        for number, line in enumerate(text.split("\n"), 1):
            match = host.search(line) or folder.search(line)
            if match:
                bad.append(f"{path}:{number}: {match.group(0)}")
    return bad
