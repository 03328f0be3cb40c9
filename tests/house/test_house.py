"""The tree keeps the rules in house.py, and each rule can be broken."""

import shutil
import subprocess

import pytest

import house

FORMAT_VERSION = "version 14."  # others break lines elsewhere


def complain(bad):
    assert not bad, "\n" + "\n".join(bad[:60]) + (f"\n... {len(bad)} in all" if len(bad) > 60 else "")


def broken(check, path, text, word):
    """The rule sees this fault, and nothing in the same text without it."""
    bad = check({path: text})
    assert len(bad) == 1 and word in bad[0], bad


GOOD_HEADER = "/* A thing of this test, with a story. */\n#ifndef HEARTH_A_H\n#define HEARTH_A_H\n#endif\n"


def test_there_is_something_to_check():
    names = house.source_files()
    assert "src/base/err.h" in names and "src/base/err.c" in names


def test_includes_point_downwards():
    complain(house.check_includes(house.source_files()))


@pytest.mark.parametrize("path, line, word", [
    ("src/base/a.c", '#include "gguf/gguf.h"', "upwards"),
    ("src/gguf/a.c", '#include "tok/tok.h"', "upwards"),
    ("src/quant/a.c", '#include "gguf/gguf.h"', "sideways"),
    ("src/tok/a.c", '#include "kern/kern.h"', "sideways"),
    ("src/model/arch/a.c", '#include "engine/x.h"', "upwards"),
    ("src/model/a.c", '#include "hearth.h"', "above"),
    ("src/model/a.c", '# include "kernels/kern.h"', "names no room"),
    ("src/model/a.c", '#include "plan.h"', "names no room"),
    ("src/model/a.c", '#include "model/plan.c"', "not a header"),
    ("src/shed/a.c", "", "not a room"),
    ("src/cli/a.c", "#include <sqlite3.h>", "belongs to store"),
])
def test_includes_can_fail(path, line, word):
    broken(house.check_includes, path, line + "\n", word)


@pytest.mark.parametrize("path, line", [
    ("src/gguf/a.c", '#include "quant/quant.h"'),
    ("src/model/arch/a.c", '#include "model/arch/arch.h"\n#include "kern/kern.h"\n#include <math.h>'),
    ("src/engine/a.c", '#include "hearth.h"'),
    ("src/base/a.c", '/* #include "cli/cli.h" */'),
])
def test_includes_can_pass(path, line):
    assert house.check_includes({path: line + "\n"}) == []


def test_dialects_know_no_other():
    complain(house.check_dialects(house.source_files()))
    broken(house.check_dialects, "src/api/ollama/a.c", '#include "api/openai/openai.h"\n', "own")
    broken(house.check_dialects, "src/api/call.c", '#include "api/openai/openai.h"\n', "own")
    for path in ("src/api/openai/a.c", "src/api/route.c", "src/api/pages/a.c"):
        assert house.check_dialects({path: '#include "api/openai/openai.h"\n'}) == []


def test_text():
    complain(house.check_text(house.source_files()))


@pytest.mark.parametrize("text, word", [
    ("int a;\t\n", "tab"),
    ("int a; \n", "white space"),
    ("int a;", "newline"),
    ("int a;\n\n", "newline"),
    ("/* " + "x" * 100 + " */\n", "columns"),
    ("/* " + "TO" + "DO: more */\n", "unfinished"),
    ("#if 0\n#endif\n", "dead code"),
    ("int a;\n" * 1000, "lines"),
])
def test_text_can_fail(text, word):
    bad = house.check_text({"src/base/a.c": text})
    assert bad and any(word in b for b in bad)
    assert house.check_text({"src/base/a.c": "int a;\n"}) == []


def test_headers_open_with_their_story():
    complain(house.check_headers(house.source_files()))


def test_headers_can_fail():
    assert house.check_headers({"src/base/a.h": GOOD_HEADER}) == []
    broken(house.check_headers, "src/base/a.h", GOOD_HEADER[GOOD_HEADER.index("#"):], "story")
    broken(house.check_headers, "src/base/a.h", GOOD_HEADER.replace("#ifndef HEARTH_A_H\n", ""), "guard")


def test_calls():
    complain(house.check_calls(house.source_files()))


def test_calls_can_fail():
    for name in house.BANNED:
        broken(house.check_calls, "src/cli/a.c", f"int x = {name}(p);\n", "banned")
    broken(house.check_calls, "src/model/a.c", 'void f(void) { printf("x"); }\n', "neither prints")
    broken(house.check_calls, "src/model/a.c", "void f(void) { exit(1); }\n", "neither prints")
    fine = 'int x = my_strcpy(p); /* strcpy(a, b) */ char *s = "gets(x)"; snprintf(a); t->system(1);\n'
    assert house.check_calls({"src/model/a.c": fine}) == []
    assert house.check_calls({"src/cli/a.c": "int main(void) { exit(1); }\n"}) == []


def test_functions_fit_a_screen():
    complain(house.check_functions(house.source_files()))


def test_functions_can_fail():
    body = "static int f(int a,\n             int b) {\n" + "    a++;\n" * 78 + "}\n"
    assert house.check_functions({"src/base/a.c": body}) == []
    broken(house.check_functions, "src/base/a.c", body.replace("    a++;\n", "    a++;\n    b++;\n", 2), "lines")


def test_places():
    names = house.git_files()
    if names is None:
        pytest.skip("not a git checkout")
    assert len(names) > 20
    complain(house.check_places(house.read_texts(names)))


def test_places_can_fail():
    for text in ["https://" + "pypi" + ".org/simple", 'open("/' + 'work/x")', "cd /" + "home/me", "/" + "root/x"]:
        broken(house.check_places, "a", "fine\n" + text + "\n", "a:2")
    assert house.check_places({"a": "network/homely src/work/x $HOME/home/ ~/work/ ../root/\n"}) == []


def test_format():
    tool = shutil.which("clang-format")
    if not tool:
        pytest.skip("clang-format is not installed")
    if FORMAT_VERSION not in subprocess.run([tool, "--version"], capture_output=True, text=True).stdout:
        pytest.skip(f"clang-format is not {FORMAT_VERSION}x")
    names = [str(house.ROOT / name) for name in house.source_files()]
    result = subprocess.run([tool, "--dry-run", "-Werror", *names], capture_output=True, text=True,
                            cwd=house.ROOT)
    bad = sorted({line.split(":")[0].removeprefix(f"{house.ROOT}/")
                  for line in result.stderr.splitlines() if "clang-format-violations" in line})
    complain([f"{name}: make format would change it" for name in bad])
