"""Processes forked from one that has imported everything: ours, whole, and independent of it (decision 0392)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from siyu.app.__main__ import ONE_THREAD
from siyu.store.processes import EngineStartFailed, Program, hand_on
from siyu.store.template import Child, Template

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a template needs Linux's child subreaper")

MAIN = Path(__file__).with_name("template_main.py")
PADDING = "(room for a name)"


@pytest.fixture
def template() -> Iterator[Template]:
    argv = [sys.executable, str(MAIN), "template", PADDING]
    with Template(Program(argv, env={**os.environ, **ONE_THREAD}, death_signal=signal.SIGKILL)) as template:
        yield template


def started(template: Template, role: str, said: list[str] | None = None, **program: Any) -> Child:
    """A process forked; its lines come into `said` until it ends."""
    lines = [] if said is None else said
    wanted = Program([str(MAIN), role], on_line=lines.append, death_signal=signal.SIGKILL, **program)
    child = template.start(wanted)
    threading.Thread(target=hand_on, args=(child, wanted), daemon=True).start()
    return child


def outcome(template: Template, role: str, **program: Any) -> tuple[int, list[str]]:
    """Exit status and lines of a process that ends by itself."""
    lines: list[str] = []
    wanted = Program([str(MAIN), role], on_line=lines.append, death_signal=signal.SIGKILL, **program)
    child = template.start(wanted)
    hand_on(child, wanted)
    return child.wait(30), lines


def pid_of(template: Template) -> int:
    assert template.keeper.process is not None
    return template.keeper.process.pid


def is_running(pid: int) -> bool:
    """Whether it is there and more than an entry that waits to be read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def await_end(pid: int) -> None:
    """The test's own time limit is the judge."""
    while is_running(pid):
        time.sleep(0.005)


@pytest.mark.parametrize("own_session", [True, False])
def test_a_process_is_ours_and_has_what_it_was_given(template: Template, own_session: bool) -> None:
    started(template, "wait").kill()
    reading, writing = os.pipe()
    os.write(writing, b"hello")
    env = {"TEMPLATE": str(pid_of(template))}
    status, lines = outcome(template, "tell", env=env, descriptors={"PIPE_FD": [reading]}, own_session=own_session)
    assert status == 3
    assert json.loads(lines[0]) == {
        "parent": os.getpid(),
        "threads of the template": 1,
        "session": own_session,
        "group": True,
        "name": f"{sys.executable} {MAIN} tell",
        "read": "hello",
    }
    assert lines[1] == "to the other output\n"
    for end in (reading, writing):
        os.close(end)


def test_arrow_calculates_in_twenty_processes_one_after_another(template: Template) -> None:
    answers = []
    for _ in range(20):
        status, lines = outcome(template, "calculate")
        assert status == 0, lines
        answers.append(json.loads(lines[-1]))
    n = 20_000
    total = n * (n - 1) // 2
    assert {(answer["groups"], answer["sum"], answer["read"]) for answer in answers} == {(7, total, total)}
    assert len({answer["chance"] for answer in answers}) == 20  # each has dice of its own


def test_a_killed_template_is_missed_by_nobody(template: Template) -> None:
    before = started(template, "wait")
    first = pid_of(template)
    os.kill(first, signal.SIGKILL)
    await_end(first)
    after = started(template, "wait")  # waits for the next one
    assert pid_of(template) != first
    assert before.poll() is None and after.poll() is None
    for child in (before, after):
        child.kill()
        assert child.wait(10) == -signal.SIGKILL


def test_a_template_that_ends_before_it_has_forked_is_said_and_the_next_start_succeeds(template: Template) -> None:
    started(template, "wait").kill()
    with pytest.raises(EngineStartFailed, match="killed: the template ended"):
        started(template, "killed")
    assert outcome(template, "calculate")[0] == 0


def test_a_template_that_cannot_begin_says_why() -> None:
    program = Program([sys.executable, "-c", "raise SystemExit(7)"], on_line=lambda _line: None)
    with Template(program) as broken, pytest.raises(EngineStartFailed, match="template ended with status 7"):
        started(broken, "wait")


def test_a_stopped_template_keeps_nobody_from_ending(template: Template) -> None:
    started(template, "wait").kill()
    os.kill(pid_of(template), signal.SIGSTOP)
    refused: list[BaseException] = []

    def begin() -> None:
        try:
            started(template, "wait")
        except EngineStartFailed as error:
            refused.append(error)

    waiting = threading.Thread(target=begin)
    waiting.start()
    template.ask_close()
    waiting.join(30)
    assert len(refused) == 1


def test_whoever_dies_takes_its_processes_along(tmp_path: Path) -> None:
    owner = (
        "import sys, signal, threading\n"
        "from siyu.store.processes import Program\n"
        "from siyu.store.template import Template\n"
        f"program = Program([sys.executable, {str(MAIN)!r}, 'template', {PADDING!r}], death_signal=signal.SIGKILL)\n"
        "with Template(program) as template:\n"
        "    children = [template.start(Program(['wait'], death_signal=signal.SIGKILL)).pid for _ in range(3)]\n"
        "    print(*children, template.keeper.process.pid, flush=True)\n"
        "    threading.Event().wait()\n"
    )
    with (tmp_path / "said").open("w+") as out, subprocess.Popen([sys.executable, "-c", owner], stdout=out) as process:
        while not (tmp_path / "said").read_text().endswith("\n"):
            assert process.poll() is None
            time.sleep(0.01)
        pids = [int(word) for word in (tmp_path / "said").read_text().split()]
        assert len(pids) == 4 and all(map(is_running, pids))
        process.kill()
        process.wait()
        for pid in pids:
            await_end(pid)
