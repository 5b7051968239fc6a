"""An older copy of the journal's store is put back: oms refuses until an operator accepts the loss, and that is journaled."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

from apps.journal.watermark import RAISE_EVERY_S
from apps.runtime.chassis import FAILED
from apps.stack.services import CHECKOUT
from domain.order.events import JournalAccepted
from tests.faults.scene import PATIENT, events_of, order, risk_that_says_yes, submitted
from tests.live import LiveServer
from tests.process import LiveService


def trade(nats: LiveServer, oms: LiveService, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "trade"), *arguments]
    environment = os.environ | {"TRADE_NATS_URL": nats.url, "TRADE_DATA_DIR": str(oms.home)}
    return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=300, check=False)


def refuses(oms: LiveService, times: int = 1) -> str:
    """It ends by itself, and again when it is started again; what it said."""
    for _ in range(times):
        oms.begin()
        assert oms.wait(120) == FAILED
    return oms.said()


async def test_an_older_copy_is_refused_until_an_operator_accepts_it(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 13
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT)
    store, copy = fresh_nats.home / "nats" / "jetstream", tmp_path / "copy"
    async with risk_that_says_yes(fresh_nats.url), oms.client() as http:
        oms.start()
        kept = [(await http.post("/orders", json=order(f"kept-{n}"))).json() for n in range(5)]
        fresh_nats.freeze()
        shutil.copytree(store, copy)
        fresh_nats.thaw()
        lost = [(await http.post("/orders", json=order(f"lost-{n}"))).json() for n in range(5)]
        await asyncio.sleep(2 * RAISE_EVERY_S)  # what is younger than that is not guarded
        oms.kill()
        fresh_nats.kill()
        shutil.rmtree(store)
        shutil.copytree(copy, store)
        fresh_nats.start()

        said = refuses(oms, times=2)
        assert f"oms.journal.0 ends at sequence {kept[-1]['seq']}, but sequence {lost[-1]['seq']} had been acknowledged" in said
        assert "trade journal accept" in said
        shown = trade(fresh_nats, oms, "journal", "show")
        assert shown.returncode == 1, shown.stderr
        assert f"oms.journal.0 {kept[-1]['seq']} {lost[-1]['seq']} behind" in " ".join(shown.stdout.split())
        assert trade(fresh_nats, oms, "journal", "accept").returncode == 2, "not without a reason"

        accepted = trade(fresh_nats, oms, "journal", "accept", "--who", "ann", "--reason", "the disk was lost")
        assert accepted.returncode == 0, accepted.stderr
        oms.start()
        events = await events_of(fresh_nats)
        seq, fact = events[-1]
        assert isinstance(fact, JournalAccepted)
        assert (seq, fact.who, fact.reason) == (kept[-1]["seq"] + 1, "ann", "the disk was lost")
        assert (fact.goes_on_from, fact.acknowledged_to) == (kept[-1]["seq"], lost[-1]["seq"])
        assert (await http.post("/orders", json=order("kept-0"))).json() == kept[0] | {"replayed": True}
        assert (await http.get(f"/orders/{lost[0]['order_id']}")).status_code == 404
        assert "replayed" not in (await http.post("/orders", json=order("lost-0"))).json()

        again = trade(fresh_nats, oms, "journal", "accept", "--reason", "once more")
        assert (again.returncode, "nothing to accept" in again.stderr) == (1, True)
        assert await submitted(fresh_nats) == {f"kept-{n}": 1 for n in range(5)} | {"lost-0": 1}
    oms.stop()


async def test_a_journal_that_is_gone_is_not_made_again_in_silence(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 12, 13
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT)
    async with risk_that_says_yes(fresh_nats.url), oms.client() as http:
        oms.start()
        last = (await http.post("/orders", json=order("o-1"))).json()["seq"]
        oms.stop()
        fresh_nats.kill()
        shutil.rmtree(fresh_nats.home / "nats" / "jetstream")
        fresh_nats.start()
        assert f"the stream OMS_JOURNAL is missing, but oms.journal.0 had been acknowledged up to sequence {last}" in refuses(oms)
        assert trade(fresh_nats, oms, "journal", "accept", "--reason", "a new beginning").returncode == 0
        oms.start()
        assert (await http.post("/orders", json=order("o-1"))).json()["seq"] == 2, "behind the acceptance"
    oms.stop()
