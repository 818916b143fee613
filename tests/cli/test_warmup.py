"""Preparing a machine: what the child says becomes progress, its failure an error with a remedy, its success a mark."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from hposvc.faults import Fault
from hposvc.machine import warmup
from hposvc.machine.warmup import WarmupProgress

SAID = (
    r"Compiling jittor_core(1/150) used: 1.2s\r"
    r"Compiling jittor_core(75/150) used: 60s\r"
    r"Compiling jittor_core(150/150) used: 99s\n"
    r"a line without progress\n"
    r"Compiling mkl(1/2) used: 2s\r"
    r"Compiling kernels(1/4)\n"
    r"Compiling jittor_core(3/150) used: 1s\n"
    r"Compiling kernels(4/4)\n"
)


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Let a script of its own be the child, and a folder of its own the home with the mark."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)

    def become(script: str) -> None:
        program = tmp_path / "child"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(sys, "executable", str(program))

    return become


def test_lines_of_the_child_become_progress_that_never_goes_back(child) -> None:
    child(f"printf '{SAID}'")
    seen: list[WarmupProgress] = []
    warmup.warm_up(seen.append)
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 100)
    assert {progress.total for progress in seen} == {100}
    messages = [progress.message for progress in seen]
    assert "Compiling Jittor: 75 of 150 files" in messages
    assert "Compiling the kernels of the usual jobs: 4 of 4" in messages
    assert "Compiling Jittor: 3 of 150 files" not in messages


def test_success_leaves_a_mark_of_this_version(child, monkeypatch: pytest.MonkeyPatch) -> None:
    child("exit 0")
    assert not warmup.is_warm()
    warmup.warm_up(lambda _: None)
    assert warmup.is_warm()
    monkeypatch.setattr("hposvc.__version__", "another")
    assert not warmup.is_warm()


def test_failure_says_what_the_child_said_and_what_to_do(child) -> None:
    child("for i in $(seq 30); do echo line $i; done; echo g++: not found >&2; exit 3")
    seen: list[WarmupProgress] = []
    with pytest.raises(Fault, match="exit status 3") as caught:
        warmup.warm_up(seen.append)
    assert "g++: not found" in caught.value.message
    assert "line 30" in caught.value.message
    assert "line 1\n" not in caught.value.message  # the end of what it said, not all of it
    assert "hposvc doctor" in caught.value.remedy
    assert not warmup.is_warm()
    assert all(progress.done < 100 for progress in seen)


def test_whoever_interrupts_ends_the_child_too(child, tmp_path: Path) -> None:
    child(f"trap 'touch {tmp_path}/ended; exit 1' TERM; echo 'Compiling kernels(1/4)'; while :; do sleep 0.1; done")

    def interrupted(progress: WarmupProgress) -> None:
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        warmup.warm_up(interrupted)
    assert (tmp_path / "ended").exists()
    assert not warmup.is_warm()
