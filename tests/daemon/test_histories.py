"""Histories at random through the daemon's own logic and a real Redis, every decision compared with the model's
(histories.py, history_model.py). A denial that the model does not allow is a failure always; a pass where it denies is one
when Redis holds what the journal says.

JD_HISTORIES=1000000 runs more than the 10,000 of each run, JD_HISTORY_SEED others. A failing history is printed as a short
program; `python3 tests/daemon/history_run.py run FILE` runs it again.

That the test can fail is a test, too: each of these rules is broken in the driver (history_mutate.c) and must be caught.
"""

import os
import shutil
import tempfile

import harness
import pytest
from history_run import PLAIN, Driver, report, shrink
from history_maker import make

HISTORIES = int(os.environ.get("JD_HISTORIES", 10000))
SEED = int(os.environ.get("JD_HISTORY_SEED", 0))
SHARDS = 4
SANITISED = 400                 # as many on the sanitised driver
MUTANT_MAX = 6000               # in so many histories each mutation must be caught

MUTATIONS = {
    "confirm-blind": "the confirm does not read relief",
    "relief-in-memory": "relief is not on the daemon's disk",
    "relief-expires": "relief ends after an hour",
    "lift-in-order": "a lift out of turn is acknowledged and not applied",
    "lift-frees-all": "a lift of one order frees the person's other ones",
    "orders-merged": "a person's orders are one, under the first number",
    "mark-by-arrival": "the last mark to arrive counts, not the last that was made",
    "aggravated-taken": "a measure more or a later end without a new notice",
    "ended-comes-back": "an order that was dropped or expired returns without a new notice",
    "subject-kept": "a version that cannot be used leaves the one before in force",
    "absence-ignored": "what a snapshot does not name stays",
    "old-snapshot": "a snapshot from before what the journal knows is used",
    "served-ignored": "enforced before the notice was served",
    "contact-early": "contact while relief is missing",
    "contact-from-disk": "a new run of the daemon vouches by an old contact",
    "never-stale": "the gate does not ask how old the list is",
    "wall-clock-alone": "the gate does not ask the office clock",
    "gate-forgets": "the gate does not remember how much relief it has seen",
    "link-kept": "an import of holders does not write the cards that changed",
    "link-without-term": "the gate is not told from when until when a card is whose",
    "two-holders-both": "a card that two hold at once is both's",
    "other-is-own": "a card that is merely used is taken for one's own",
    "stay-lost": "a refill leaves stays of persons out",
    "stay-misses-cards": "the gate does not ask for a stay of the card's holder",
    "stay-not-taken-up": "what rcctl wrote past the daemon is not taken into the journal",
    "objection-ended": "a mark of the office ends the operator's objection, too",
}


# where a mutation shows soonest
THEMES = {"mark-by-arrival": "marks", "contact-from-disk": "journal", "stay-lost": "stays", "objection-ended": "stays",
          "stay-misses-cards": "stays", "stay-not-taken-up": "stays past the daemon", "two-holders-both": "cards", "link-kept": "cards",
          "ended-comes-back": "snapshots"}


@pytest.fixture
def engine():
    """Makes drivers, each with a Redis on a unix socket, in memory."""
    folder = tempfile.mkdtemp(prefix="jdh-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    started = []

    def start(mutation="none", bin=PLAIN):
        redis = harness.Redis(folder + "/redis", {"appendonly": "no"}).start()
        started.append(redis)
        driver = Driver(folder + "/driver", redis, mutation, bin)
        started.append(driver)
        return driver
    yield start
    try:
        for s in reversed(started):
            code = s.close() if isinstance(s, Driver) else s.stop()
            assert code == 0, s.log.read_text(errors="replace")[-2000:] if isinstance(s, Driver) else s.log()[-2000:]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(driver, seeds):
    for seed in seeds:
        h = make(seed)
        if driver.run(h):
            pytest.fail(f"seed {seed}:\n{report(driver, shrink(driver, h.events))}", pytrace=False)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_histories(engine, shard):
    run(engine(), range(SEED + shard, SEED + HISTORIES, SHARDS))


def test_histories_sanitised(engine):
    run(engine(bin=harness.BIN), range(SEED + HISTORIES, SEED + HISTORIES + SANITISED))


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_broken_rule_is_caught(engine, mutation):
    driver = engine(mutation)
    for seed in range(MUTANT_MAX):
        if driver.run(make(seed, THEMES.get(mutation))):
            return
    pytest.fail(f"{MUTATIONS[mutation]}: not seen in {MUTANT_MAX} histories")
