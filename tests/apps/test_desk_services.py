"""Which services desk shows: those of every stack always, those of the market plane once they have answered."""

from typing import Any

import msgspec

from adapters.clock import SystemClock
from apps.desk.fold import DeskFold
from apps.desk.services import ASKED, MARKET, Services


class House:
    """What services say, and who was asked."""

    def __init__(self) -> None:
        self.says: dict[str, dict[str, Any]] = {name: {"ready": True, "seq": 7} for name in ASKED}
        self.asked: list[str] = []
        self.services = Services(self.ask, lambda: 7, DeskFold(10, 10), SystemClock())

    async def ask(self, service: str) -> dict[str, Any] | None:
        self.asked.append(service)
        return self.says.get(service)

    async def shown(self, *, everywhere: bool) -> dict[str, bool]:
        await self.services.look(everywhere=everywhere)
        found = msgspec.json.decode(self.services.encoded(operator=False))
        return {each["service"]: each["ready"] for each in found["services"]}


async def test_a_service_of_the_market_plane_that_was_never_started_is_not_shown() -> None:
    house = House()
    assert await house.shown(everywhere=True) == dict.fromkeys(ASKED, True)
    house.asked.clear()
    await house.shown(everywhere=False)
    assert house.asked == list(ASKED), "and it is asked only now and then"


async def test_one_that_has_answered_is_shown_and_as_down_when_it_answers_no_more() -> None:
    house = House()
    house.says["gateway"] = {"ready": False, "venues": {}}
    assert await house.shown(everywhere=True) == {**dict.fromkeys(ASKED, True), "gateway": False}
    house.says["gateway"] = {"ready": True, "venues": {}}
    assert (await house.shown(everywhere=False))["gateway"] is True
    del house.says["gateway"]
    for everywhere in (False, True):
        found = await house.shown(everywhere=everywhere)
        assert found["gateway"] is False
        assert not {*MARKET[1:]} & set(found)


async def test_it_has_no_lag_behind_the_journal_of_orders() -> None:
    house = House()
    house.says["sink-ticks"] = {"ready": True, "seq": 3}
    await house.services.look(everywhere=True)
    full = {each["service"]: each for each in msgspec.json.decode(house.services.encoded(operator=True))["services"]}
    assert (full["sink-ticks"]["answers"], full["sink-ticks"]["lag"]) == (True, None)
    assert full["oms"]["lag"] == 0
