"""The kernels' tests on 64-bit ARM: built static by the cross compiler, run under qemu-user on a CPU with
dotprod and i8mm, on one with dotprod alone and on one with neither. Skipped where the compiler or qemu is not there."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(os.environ["HEARTH_SOURCE"])
BUILD = Path(os.environ["HEARTH_BUILD"]) / "arm"
PROGRAMS = ["panel", "matmul", "rows", "attn", "lacking", "peak"]
CPUS = {"max": "neon-i8mm", "neoverse-n1": "neon", "cortex-a72": "neon-base"}
SIZE = "nightly" if os.environ.get("HEARTH_TEST_SIZE") == "nightly" else "small"
ON_LESSER = ["matmul"]  # "max" runs every variant; on the others, none may use what they lack

missing = [tool for tool in ("aarch64-linux-gnu-gcc", "qemu-aarch64", "ninja") if not shutil.which(tool)]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"kernels of ARM not tested: no {', '.join(missing)}")


def run(*command, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def programs():
    run("cmake", "-G", "Ninja", "-S", SOURCE, "-B", BUILD, "-DHEARTH_ROOMS=base;quant;kern", "-DHEARTH_WERROR=ON",
        f"-DCMAKE_TOOLCHAIN_FILE={SOURCE}/tests/cross/aarch64.cmake")
    run("ninja", "-C", BUILD, *(f"test_kern_{name}" for name in PROGRAMS))
    return {name: BUILD / "tests" / f"test_kern_{name}" for name in PROGRAMS}


@pytest.mark.parametrize("cpu", CPUS)
def test_best_variant_of_the_cpu_is_chosen(programs, cpu):
    assert run("qemu-aarch64", "-cpu", cpu, programs["rows"], "--name") == CPUS[cpu]


@pytest.mark.parametrize("program, cpu", [(program, cpu) for cpu in CPUS for program in PROGRAMS
                                          if cpu == "max" or program in ON_LESSER or SIZE == "nightly"])
def test_kernels(programs, program, cpu):
    runner = f"qemu-aarch64 -cpu {cpu}"
    out = run(*runner.split(), programs[program], env={**os.environ, "HEARTH_TEST_RUNNER": runner,
                                                       "HEARTH_TEST_SIZE": SIZE})
    assert "[PASSED]" in out
