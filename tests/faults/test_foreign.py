"""A message that no writer made is in a journal: it is named with its sequence, an operator skips it, and nothing acknowledged is lost."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from adapters.subjects import order_subject
from apps.runtime.chassis import FAILED
from apps.tools.verify.run import Sides, verify
from domain.order.events import JournalAccepted
from tests.faults.scene import PATIENT, connected, events_of, order, order_journal, risk_that_says_yes, until
from tests.faults.test_old_copy import refuses, trade
from tests.live import LiveServer
from tests.process import LiveService
from tests.torture.store import mark_at

ANSWER: Final = b'{"type":"io.nats.jetstream.api.v1.account_info_response","memory":0}'
"""What nats-server says to a question whose answer was asked for on a journal's subject."""


async def put(nats: LiveServer, subject: str, *payloads: bytes) -> None:
    async with connected(nats.url) as client:
        for payload in payloads:
            await client.request(subject, payload, timeout=5)


def only_what_is_foreign_can_be_skipped(nats: LiveServer, oms: LiveService, end: int) -> None:
    """`end` is the last commit; the two messages behind it are foreign."""
    which = f"{end + 1}-{end + 2}"
    for named, code, said in (
        ((str(end + 1),), 1, f"Sequence {end + 2} of oms.journal.0 is not a commit either"),
        ((which, str(end)), 1, f"Sequence {end} of oms.journal.0 is a commit"),
        ((which, "999"), 1, "has no sequence 999"),
        (("one",), 2, "is not a sequence"),
        (("5-1",), 2, "is not a sequence"),
    ):
        refused = trade(nats, oms, "journal", "skip", *named, "--reason", "a guest")
        assert (refused.returncode, said in refused.stderr) == (code, True), refused.stderr
    assert trade(nats, oms, "journal", "skip", which).returncode == 2, "not without a reason"
    instead = trade(nats, oms, "journal", "accept", "--reason", "a guest")
    assert (instead.returncode, f"trade journal skip {which}" in instead.stderr) == (1, True), instead.stderr


@pytest.mark.timeout(600)
async def test_orders_go_on_behind_a_foreign_message(fresh_nats: LiveServer, tmp_path: Path) -> None:
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT)
    reader = LiveService("projector", fresh_nats, tmp_path / "reader")
    async with risk_that_says_yes(fresh_nats.url), oms.client() as http:
        oms.start()
        kept = [(await http.post("/orders", json=order(f"kept-{n}"))).json() for n in range(5)]
        end = kept[-1]["seq"]
        await put(fresh_nats, order_subject(0), ANSWER, b"\xff\xfe no text")
        assert oms.wait(60) == FAILED, "it does not write over what it does not know"
        which = f"{end + 1}-{end + 2}"
        for said in (oms.said(), refuses(oms)):
            assert f"oms.journal.0: sequence {which} is no commit" in said, said
            assert f"trade journal skip {which} --reason" in said

        shown = trade(fresh_nats, oms, "journal", "show")
        assert shown.returncode == 1
        assert f"oms.journal.0 {end} {end} foreign" in " ".join(shown.stdout.split()), shown.stdout
        assert f"oms.journal.0: sequence {which} is no commit" in shown.stderr
        async with connected(fresh_nats.url) as client:
            found = (await verify(await order_journal(client), Sides(mark=mark_at(tmp_path / "oms").kept.read))).first_difference
        assert found is not None
        assert found.startswith(f"journal: foreign at {which}: it is no commit"), found

        only_what_is_foreign_can_be_skipped(fresh_nats, oms, end)
        done = trade(fresh_nats, oms, "journal", "skip", which, "--who", "ann", "--reason", "a guest's question")
        assert done.returncode == 0, done.stderr
        oms.start()
        seq, fact = (await events_of(fresh_nats))[-1]
        assert isinstance(fact, JournalAccepted)
        assert (seq, fact.who, fact.reason, fact.goes_on_from) == (end + 3, "ann", "a guest's question", end)
        assert [each.seq for each in fact.skipped] == [end + 1, end + 2]
        for n, answer in enumerate(kept):
            assert (await http.post("/orders", json=order(f"kept-{n}"))).json() == answer | {"replayed": True}
        assert (await http.post("/orders", json=order("after"))).json()["seq"] == end + 4

        whole = trade(fresh_nats, oms, "journal", "show")
        assert whole.returncode == 0, whole.stderr
        assert " ".join(whole.stdout.split()).find(which) > 0, "it is still named"
        again = trade(fresh_nats, oms, "journal", "skip", which, "--reason", "once more")
        assert (again.returncode, "skipped already" in again.stderr) == (1, True), again.stderr
        async with connected(fresh_nats.url) as client:
            report = await verify(await order_journal(client), Sides(mark=mark_at(tmp_path / "oms").kept.read))
        assert report.ok, report.first_difference
        assert report.checks[0].counts["skipped"] == f"2 (sequence {which})"
        backup = trade(fresh_nats, oms, "backup", str(tmp_path / "backup.gz"))
        assert backup.returncode == 0, backup.stderr
        reader.begin()
        await until(lambda: "Projecting" in reader.said(), 60)
        oms.restart()
        assert (await http.post("/orders", json=order("later"))).status_code == 200
    for service in (oms, reader):
        service.stop()


@pytest.mark.timeout(600)
async def test_a_truncated_journal_with_a_foreign_end_is_accepted_and_not_skipped(fresh_nats: LiveServer, tmp_path: Path) -> None:
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT)
    async with risk_that_says_yes(fresh_nats.url), oms.client() as http:
        oms.start()
        end = (await http.post("/orders", json=order("o-1"))).json()["seq"]
        oms.stop()
        mark = mark_at(tmp_path / "oms").kept
        known = mark.read()
        assert known is not None
        mark.raise_to(type(known)(end + 5, known.n + 5, "what is lost"))
        await put(fresh_nats, order_subject(0), ANSWER)
        assert "had been acknowledged" in refuses(oms)
        refused = trade(fresh_nats, oms, "journal", "skip", str(end + 1), "--reason", "a guest")
        assert (refused.returncode, "had been acknowledged" in refused.stderr) == (1, True), refused.stderr
        accepted = trade(fresh_nats, oms, "journal", "accept", "--reason", "the disk was lost, and a guest was there")
        assert accepted.returncode == 0, accepted.stderr
        oms.start()
        _, fact = (await events_of(fresh_nats))[-1]
        assert isinstance(fact, JournalAccepted)
        assert (fact.acknowledged_to, [each.seq for each in fact.skipped]) == (end + 5, [end + 1])
        assert "replayed" in (await http.post("/orders", json=order("o-1"))).json()
    oms.stop()


@pytest.mark.timeout(600)
async def test_a_paper_venue_continues_behind_a_foreign_message(fresh_nats: LiveServer, tmp_path: Path) -> None:
    gateway = LiveService("live-gateway", fresh_nats, tmp_path / "gateway")
    gateway.start()
    await put(fresh_nats, "venue.journal.PAPER_A", ANSWER)
    assert gateway.wait(60) == FAILED
    assert "is no commit" in gateway.said()
    assert "venue.journal.PAPER_A: sequence 1 is no commit" in refuses(gateway)
    done = trade(fresh_nats, gateway, "journal", "skip", "1", "--venue", "PAPER_A", "--reason", "a guest")
    assert done.returncode == 0, done.stderr
    gateway.start()
    await asyncio.to_thread(gateway.stop)
