"""What any release wrote, today's program reads, and makes of it what was made of it then."""

from pathlib import Path
from typing import Any

import pytest

import tests.golden as golden
from adapters.codec import ORDER_COMMITS, decoder, encode
from domain.audit.state_hash import state_hash
from domain.execution.projection import Executions, ExecutionsState
from domain.order.upcasters import VERSION
from domain.risk.snapshot import RiskState
from tests.domain.risk.scene import GOLDEN, new_risk
from tests.golden.__main__ import write
from tests.golden.risk_journals import RISK_JOURNALS, RiskScenes
from tests.golden.scenes import journal
from tests.test_tidy import assert_none

NAMES = golden.names()


def test_there_are_golden_journals() -> None:
    assert NAMES
    assert all((golden.HOME / f"{name}.json").is_file() for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_release_replays_to_what_was_recorded(name: str) -> None:
    # FAILURES 52
    found, expected = golden.replayed(golden.payloads(name)), golden.recorded(name)
    assert found.chain == expected.chain, "the journal itself was changed: it must never be"
    assert set(found.hashes) == set(expected.hashes)
    for fold, hashes in expected.hashes.items():
        differing = [n for n, (was, now) in enumerate(zip(hashes, found.hashes[fold], strict=True), 1) if was != now]
        assert not differing, (
            f"{fold} makes something else of commit {differing[0]} than it did; if that is meant: python -m tests.golden --record"
        )


@pytest.mark.parametrize("name", NAMES)
def test_every_place_is_a_place_to_begin_again(name: str) -> None:
    # FAILURES 50: state and tail are the recorded end, wherever the snapshot was taken
    expected, commits = golden.recorded(name), [ORDER_COMMITS.decode(payload).events for payload in golden.payloads(name)]
    first = golden.Folds()
    for seq, events in enumerate(commits, 1):
        first.apply(events, seq)
        again = golden.Folds()
        again.risk, again.executions = new_risk(GOLDEN).fold, Executions()
        again.orders, again.positions = first.orders, first.positions
        again.risk.restore(decoder(RiskState).decode(encode(first.risk.state())))
        again.executions.restore(decoder(ExecutionsState).decode(encode(first.executions.state())))
        for rest, later in enumerate(commits[seq:], seq + 1):
            for event in later:
                again.risk.apply(event, rest)
                again.executions.apply(event)
        ends = {"risk": state_hash(again.risk.state()), "executions": state_hash(again.executions.state())}
        assert ends == {fold: expected.hashes[fold][-1] for fold in ends}, f"from commit {seq}"


@pytest.mark.parametrize("name", NAMES)
def test_todays_words_are_written_as_they_were(name: str) -> None:
    """Within one version a commit has one form: a field that is not there is its default."""
    for payload in golden.payloads(name):
        commit = ORDER_COMMITS.decode(payload)
        if payload.startswith(b'{"v":%d,' % VERSION):
            assert ORDER_COMMITS.encode(commit.shard, commit.n, commit.events) == payload


def test_what_is_excused_is_still_in_no_journal() -> None:
    assert set(golden.EXCUSED) <= golden.never_seen()


def test_the_scenes_are_in_the_newest_journal() -> None:
    """Otherwise it would not be noticed that what they say is in no journal."""
    written = [ORDER_COMMITS.encode(0, n, events) for n, events in enumerate(journal(), 1)]
    assert any(golden.payloads(name) == written for name in NAMES), "run: python -m tests.golden --write RELEASE"


def test_a_journal_that_is_there_is_never_written_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tests.golden.__main__.HOME", tmp_path)
    write("mine")
    before = (tmp_path / "mine.jsonl").read_bytes()
    with pytest.raises(FileExistsError):
        write("mine")
    assert (tmp_path / "mine.jsonl").read_bytes() == before


# Journals that risk writes


RISK_NAMES = [pytest.param(each, name, id=f"{each.folder}-{name}") for each in RISK_JOURNALS for name in each.names()]


@pytest.mark.parametrize(("scenes", "name"), RISK_NAMES)
def test_every_journal_of_risk_replays_to_what_was_recorded(scenes: RiskScenes[Any], name: str) -> None:
    found, expected = scenes.replayed(scenes.payloads(name)), scenes.recorded(name)
    assert found.chain == expected.chain, "the journal itself was changed: it must never be"
    assert found.states == expected.states, "if that is meant: python -m tests.golden --record"


@pytest.mark.parametrize(("scenes", "name"), RISK_NAMES)
def test_todays_access_and_controls_are_written_as_they_were(scenes: RiskScenes[Any], name: str) -> None:
    for payload in scenes.payloads(name):
        commit = scenes.codec.decode(payload)
        assert commit.v != VERSION or scenes.codec.encode(commit.shard, commit.n, commit.events) == payload


@pytest.mark.parametrize("scenes", RISK_JOURNALS, ids=lambda each: each.folder)
def test_the_scenes_of_risk_are_in_the_newest_journal(scenes: RiskScenes[Any]) -> None:
    assert any(scenes.payloads(name) == scenes.written() for name in scenes.names()), "run: python -m tests.golden --write RELEASE"


def test_every_event_and_field_is_in_a_golden_journal() -> None:
    """A release reads what the ones before it wrote: `python -m tests.golden --write NAME`, after a scene in tests/golden."""
    # FAILURES 52
    assert_none(sorted(golden.never_seen() - set(golden.EXCUSED)))
    assert_none(f"{each.folder}: {field}" for each in RISK_JOURNALS for field in sorted(each.never_seen()))
