"""Starting Jittor leaves the process as it was: each looked at in a process of its own."""

from __future__ import annotations

import subprocess
import sys

CHECK = """
import os, random, signal, ssl, sys, resource
import numpy as np

def interrupted(number, frame):
    print("interrupted")

signal.signal(signal.SIGINT, interrupted)
random.seed(1); np.random.seed(1)

def look():
    return (
        {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)},
        ssl._create_default_https_context, sys.exit, sys.excepthook, sys.getrecursionlimit(),
        resource.getrlimit(resource.RLIMIT_STACK)[0], random.getstate(), np.random.get_state()[1].tolist(),
    )

before = look()
from hposvc.bilevel import runtime
assert look() == before, "importing the package starts nothing"
assert "jittor" not in sys.modules
runtime.start()
assert look() == before
os.kill(os.getpid(), signal.SIGINT)
child = os.fork()
if child == 0:
    signal.pause()
os.kill(child, signal.SIGKILL)
print(os.waitpid(child, 0)[1])
from hposvc.bilevel.runtime import jt
print(jt.compile_extern.mkl_ops is not None, jt.compile_extern.use_mkl)
"""


def test_the_process_is_left_as_found() -> None:
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["interrupted", "9", "True", "True"]
