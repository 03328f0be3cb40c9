"""packaging/bootstrap.sh against pretended package managers: what it asks of them, and when it stops."""

import os
import stat
import subprocess

import pytest

import house

SCRIPT = house.ROOT / "packaging" / "bootstrap.sh"
LIST = "# a comment\n\nalpha   # for this\nbeta\n"


class Machine:
    """A folder of fake commands that note how they were called, in front of the real ones."""

    def __init__(self, folder, installed, uid=0, sudo=None, apt=True, apt_fails=0):
        self.folder, self.log, self.stamps = folder, folder / "log", folder / "stamps"
        (folder / "list").write_text(LIST)
        (folder / "bin").mkdir()
        for tool in ("sh", "cat", "cksum", "tr", "sed", "mkdir", "env", "echo", "printf"):
            for where in ("/bin", "/usr/bin"):
                if os.path.exists(f"{where}/{tool}"):
                    os.symlink(f"{where}/{tool}", folder / "bin" / tool)
                    break
        self.fake("id", f"echo {uid}")
        if apt:
            self.fake("dpkg", "")
            self.fake("dpkg-query", 'for last; do :; done\ncase " %s " in *" $last "*) echo installed;; '
                                    "*) exit 1;; esac" % installed)
            (folder / "fails").write_text("f" * apt_fails)
            self.fake("apt-get", f'''
                case " $* " in *" update "*) exit 0;; esac
                fails=$(cat {folder}/fails)
                [ -z "$fails" ] || {{ printf %s "${{fails#f}}" >{folder}/fails; exit 100; }}''')
        if sudo is not None:
            self.fake("sudo", f'[ "$1" = -n ] && exit {0 if sudo else 1}\n"$@"')

    def fake(self, name, body):
        path = self.folder / "bin" / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.log}\n{body}\n')
        path.chmod(path.stat().st_mode | stat.S_IEXEC)

    def run(self, **environment):
        self.log.write_text("")
        done = subprocess.run(["/bin/sh", str(SCRIPT), str(self.stamps), str(self.folder / "list")],
                              env={"PATH": str(self.folder / "bin"), **environment},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        calls = [line for line in self.log.read_text().splitlines() if line.startswith(("apt", "sudo"))]
        return done.returncode, done.stderr, calls, self.log.read_text()


def test_all_there(tmp_path):
    machine = Machine(tmp_path, "alpha beta gamma")
    assert machine.run()[:3] == (0, "", [])
    code, said, _, log = machine.run()  # the second time it asks nobody
    assert (code, said, log) == (0, "", "")
    (tmp_path / "list").write_text(LIST + "gamma\n")  # unless the list has changed
    assert "dpkg-query" in machine.run()[3]


def test_installs_as_root(tmp_path):
    machine = Machine(tmp_path, "alpha")
    code, said, calls, _ = machine.run()
    assert code == 0 and "beta" in said
    assert len(calls) == 1 and calls[0].endswith("install -y --no-install-recommends beta")
    assert machine.run()[3] == ""


def test_updates_only_when_needed(tmp_path):
    code, _, calls, _ = Machine(tmp_path, "", apt_fails=1).run()
    assert code == 0
    assert [c.split("Use-Pty=0 ")[1].split()[0] for c in calls] == ["install", "update", "install"]


def test_says_what_failed(tmp_path):
    machine = Machine(tmp_path, "", apt_fails=9)
    code, said, _, _ = machine.run()
    assert code == 1
    assert "    apt-get update && apt-get install -y --no-install-recommends alpha beta\n" in said
    assert not list(machine.stamps.glob(".*") if machine.stamps.exists() else [])


def test_uses_sudo(tmp_path):
    code, _, calls, _ = Machine(tmp_path, "alpha", uid=1000, sudo=True).run()
    assert code == 0
    assert any(c.startswith("sudo env") and c.endswith("beta") for c in calls)


@pytest.mark.parametrize("sudo", [None, False])
def test_cannot(tmp_path, sudo):
    machine = Machine(tmp_path, "alpha", uid=1000, sudo=sudo)
    code, said, calls, _ = machine.run()
    assert code == 1
    assert "    apt-get update && apt-get install -y --no-install-recommends beta\n" in said
    assert not any(c.startswith("apt") for c in calls)


def test_other_systems(tmp_path):
    machine = Machine(tmp_path, "", apt=False)
    code, said, _, _ = machine.run()
    assert code == 1 and "alpha beta" in said and "HEARTH_SKIP_BOOTSTRAP=1" in said
    assert machine.run(HEARTH_SKIP_BOOTSTRAP="1")[:2] == (0, "")
