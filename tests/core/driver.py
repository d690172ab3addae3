"""Asks build/core_driver (core_driver.c) many questions in one run."""
import subprocess

import harness


def hexed(data):
    return bytes(data).hex() or '-'


def unhexed(text):
    return b'' if text == '-' else bytes.fromhex(text)


def ask(requests):
    """One answer for each request; a request is a list of words, bytes and numbers."""
    lines = [' '.join(hexed(a) if isinstance(a, (bytes, bytearray)) else str(a) for a in r)
             for r in requests]
    run = subprocess.run([harness.BIN / 'core_driver'], input='\n'.join(lines) + '\n', text=True,
                         capture_output=True, env={**harness.SAN_ENV}, timeout=300)
    assert run.returncode == 0, run.stderr
    answers = run.stdout.split('\n')
    assert len(answers) == len(lines) + 1, 'an answer for each request'
    return answers[:-1]


def compare(cases, requests, expected):
    """Fails with the first case whose answer is another than expected."""
    for case, got, want in zip(cases, ask(requests), expected):
        assert got == want, f'{case!r}: the core says {got!r}, the reference {want!r}'
