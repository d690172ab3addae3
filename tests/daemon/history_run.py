"""Runs histories: history_driver as a process, its answers judged, a failing history made short.

    python3 history_run.py run FILE [MUTATION]   runs a program (histories.py) and says what is wrong with it
    python3 history_run.py show SEED             prints the program of a seed
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import harness  # noqa: E402
import jdschema  # noqa: E402
from histories import History  # noqa: E402
from history_maker import make  # noqa: E402

PLAIN = harness.PLAIN if (harness.PLAIN / "history_driver").exists() else harness.TOP / "build"


def judge(expected, answer):
    """What is wrong with one line of answer, or None."""
    if isinstance(expected, str):
        word = answer.split()[0] if expected != "ready 0 0" else answer
        if expected == "acked":
            return None if word in ("ack", "quarantined") else f"not acknowledged: {answer}"
        if expected == "held":
            return None if word in ("gap", "fork") else f"acknowledged, though the office must not forget it: {answer}"
        return None if expected in ("any", word) else f"{answer}, not {expected}"
    for bit, said in enumerate(answer.split()):
        allowed = {n: (until, must >> bit & 1) for n, mask, until, must in expected if mask >> bit & 1}
        due = [n for n in allowed if allowed[n][1]]
        what = jdschema.MEASURES[bit]
        reason, _, number = said.partition(":")
        if reason in ("forged", "garbled"):
            return f"{what}: a record that is {reason}"
        if reason != "listed":
            if due:
                return f"{what}: passed ({said}), must be denied by {' '.join(due)}"
            continue
        if number not in allowed:
            return f"{what}: denied by {number}, must pass"
        if due and number != min(due, key=lambda n: (-allowed[n][0], n)):
            return f"{what}: denied in the name of {number}, not of the order that lasts longest"
    return None


class Driver:
    """history_driver and a Redis of its own."""

    def __init__(self, folder, redis, mutation="none", bin=PLAIN):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "driver.log"
        self.p = subprocess.Popen([str(bin / "history_driver"), str(folder), redis.sock, mutation], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=self.log.open("wb"), text=True,
                                  env={**os.environ, **harness.SAN_ENV})

    def run(self, history):
        """What is wrong with the first wrong answer: (number of the event, text), or None."""
        self.p.stdin.write("\n".join(history.lines) + "\nend\n")
        self.p.stdin.flush()
        answers = []
        while True:
            line = self.p.stdout.readline()
            if not line:
                raise AssertionError("history_driver ended: " + self.log.read_text(errors="replace")[-2000:])
            line = line.rstrip("\n")
            if line == "end":
                break
            answers.append(line)
        for (at, expected), answer in zip(history.expected, answers):
            wrong = judge(expected, answer)
            if wrong:
                return at, wrong
        assert len(answers) == len(history.expected), (answers, history.expected)
        return None

    def close(self):
        self.p.stdin.close()
        return self.p.wait(30)


def replay(program):
    h = History()
    for line in program:
        h.apply(line)
    return h


def shrink(driver, program):
    """The shortest program found, by leaving out events, that still goes wrong."""
    at, _ = driver.run(replay(program))
    program = program[:at]
    size = max(len(program) // 2, 1)
    while True:
        i = 0
        while i < len(program):
            less = program[:i] + program[i + size:]
            wrong = driver.run(replay(less))
            if wrong:
                program = less[:wrong[0]]
            else:
                i += size
        if size == 1:
            return program
        size = max(size // 2, 1)


def report(driver, program):
    """A failing history for people."""
    at, wrong = driver.run(replay(program))
    return "\n".join(program[:at]) + f"\n# {wrong}"


def main(argv):
    if argv[:1] == ["show"]:
        print("\n".join(make(int(argv[1])).events))
        return 0
    if argv[:1] != ["run"]:
        print(__doc__)
        return 2
    program = [l.split("#")[0].strip() for l in Path(argv[1]).read_text().splitlines()]
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as d:
        redis = harness.Redis(Path(d) / "redis", {"appendonly": "no"}).start()
        driver = Driver(Path(d) / "d", redis, argv[2] if len(argv) > 2 else "none")
        h = replay([l for l in program if l])
        wrong = driver.run(h)
        print(f"event {wrong[0]}: {h.events[wrong[0] - 1]}: {wrong[1]}" if wrong else "in order")
        driver.close()
        redis.stop()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
