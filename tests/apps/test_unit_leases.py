"""What a unit that shares its shards asks of its services: one name, every unit's word on a control, and no turn of its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from apps.connections import nats
from apps.connections.unit import Unit
from apps.exeq.ownership import Ownership
from apps.oms.submit import unavailable
from apps.risk import control_acks
from apps.risk.control_acks import ControlAcks
from apps.runtime.standby import NoTurn
from apps.unit.__main__ import lives
from config.loading import load_oms
from config.text import ConfigError
from domain.order.events import ShardTaken
from domain.ports import ShardElsewhere, Unavailable

NO_CLIENT: Any = None


class Leases:
    """The leases of `unit-a`, which sees these other units."""

    unit = "unit-a"

    def __init__(self, others: Sequence[str] | None) -> None:
        self._others = others

    def others(self) -> Sequence[str] | None:
        return self._others


def test_a_unit_without_a_name_has_no_leases() -> None:
    assert (Unit("nats://n", pytest.fail).leases, load_oms(environ={}).unit.name) == (None, "")


@pytest.mark.parametrize("name", ["a b", "x" * 33, "ü", "a.b"])
def test_a_name_that_is_no_key_of_the_lease_store_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"TRADE_UNIT_NAME: unit\.name"):
        load_oms(environ={"TRADE_UNIT_NAME": name})


def test_a_service_by_itself_shares_no_shards() -> None:
    nats.refuse_apart(None, "")
    nats.refuse_apart(Unit("nats://n", pytest.fail, name="unit-1"), "unit-1")
    with pytest.raises(ConfigError, match=r"unit\.name is 'unit-1', but this process is one service by itself"):
        nats.refuse_apart(None, "unit-1")


def test_the_services_of_a_unit_have_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "risk.yaml"
    other.write_text("unit: {name: unit-2}\n")
    monkeypatch.setenv("TRADE_RISK_CONFIG", str(other))
    with pytest.raises(ConfigError, match=r"unit\.name must be the same for oms, risk and exeq, found '', 'unit-2'"):
        _ = lives()


async def test_several_units_work_at_a_time_without_a_turn() -> None:
    unit = Unit("nats://n", pytest.fail, name="unit-1")
    assert unit.leases is not None
    turn = await nats.turn_in(unit, NO_CLIENT, NO_CLIENT)
    assert isinstance(turn, NoTurn)
    assert (turn.holds(), turn.sender) == (True, unit.leases.sender)
    assert (unit.leases.trusted(0), unit.leases.owner(0), unit.leases.stats()) == (False, "", []), "it has not joined yet"


@pytest.mark.parametrize(
    ("others", "acknowledged"),
    [
        ((), {"exeq_unit-a": "yes", "oms_unit-a": "yes"}),
        (("unit-b",), {"exeq_unit-a": "yes", "oms_unit-a": "yes", "exeq_unit-b": "unknown", "oms_unit-b": "unknown"}),
        (None, {"exeq": "unknown", "oms": "unknown"}),
    ],
)
async def test_a_control_is_acknowledged_by_every_unit_alive(
    others: Sequence[str] | None, acknowledged: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def obeyed(client: object, service: str, seq: int) -> str:
        return "yes" if service.endswith("unit-a") else "unknown"

    monkeypatch.setattr(control_acks, "obeyed", obeyed)
    leases: Any = Leases(others)
    assert await ControlAcks(NO_CLIENT, leases).of(7) == acknowledged


def test_an_exeq_whose_unit_loses_the_shard_stands_by_and_does_not_end() -> None:
    said: list[str] = []
    trusted = [True]
    owned = Ownership(NO_CLIENT, "unit-a-1", lambda: trusted[0], said.append, unit="unit-a")
    owned.heard(ShardTaken(at=1, unit="unit-a", sender="unit-a-1", lease=3), 7)
    assert (owned.epoch, owned.active(), owned.stands_by) == (7, True, False)
    trusted[0] = False
    assert not owned.active(), "it sends only while the lease is trusted"
    owned.heard(ShardTaken(at=2, unit="unit-b", sender="unit-b-1", before=7, lease=4), 12)
    assert (owned.epoch, owned.stands_by, len(said)) == (None, True, 1)
    owned.heard(ShardTaken(at=3, unit="unit-a", sender="unit-a-1", before=12, lease=5), 20)
    assert (owned.epoch, owned.stands_by) == (20, False)


def test_a_refusal_names_the_shard_and_its_owner() -> None:
    refusal = unavailable(ShardElsewhere(3, "unit-b"), unknown=False)
    assert (refusal.status, refusal.code, refusal.headers) == (503, "shard_unavailable", {"Retry-After": "1"})
    assert refusal.extra == {"outcome": "not_accepted", "shard": 3, "owner": "unit-b"}
    assert unavailable(ShardElsewhere(3, ""), unknown=False).extra == {"outcome": "not_accepted", "shard": 3}
    assert unavailable(Unavailable("away"), unknown=False).code == "journal_unavailable"
