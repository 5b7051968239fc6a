"""`GET /stream`: a client has what the journal has, at every sequence, however often it is cut off; and it notices when it has not."""

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from random import Random

import httpx
import pytest

from apps.desk.client import ClientState, Gap, StreamMessage
from tests.apps.desk_scene import Commits, Desk, assert_is_of_the_journal, desk, late_fill, life, lives, problem


def names(found: list[StreamMessage]) -> list[str]:
    return [message.event for message in found]


async def test_a_new_client_is_sent_the_whole_state_and_then_what_changes() -> None:
    async with desk() as scene:
        await scene.commits(life("O1", "alice", 1, close=False))
        await scene.applied()
        state = ClientState()
        found = await scene.until(state, 2)
        assert names(found) == ["hello", "reset", "snapshot", "snapshot_end"]
        hello, reset, snapshot, end = (message.data for message in found)
        assert (hello["v"], hello["seq"], hello["resumed"], hello["accounts"]) == (1, 2, False, ["*"])
        assert reset == {"reason": "new", "seq": 2, "orders_total": 1, "orders_sent": 1}
        assert (snapshot["orders"][0]["order_id"], snapshot["orders"][0]["cum_quantity"]) == ("O1", 1)
        assert end["states"] == {"partially_filled": 1}
        assert end["controls"] == {"version": 1, "killed": [], "blocked_symbols": []}
        await scene.commit(late_fill("O1", "alice"))
        more = await scene.until(state, 3)
        assert names(more)[0] == "hello"
        assert more[0].data["resumed"]
        assert more[0].data["proved"]
        assert more[-1].event == "frame"
        assert (more[-1].data["prev_seq"], more[-1].data["seq"]) == (2, 3)
        await assert_is_of_the_journal(state, scene.journal)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("accounts", [(), ("alice",), ("alice", "carol")])
async def test_snapshot_and_frames_are_the_journal_at_every_sequence_over_cuts(seed: int, accounts: tuple[str, ...]) -> None:
    random, commits = Random(seed), lives(60, seed)
    async with desk() as scene:
        writing = asyncio.ensure_future(slowly(scene, commits, random))
        state = ClientState()
        params = {"account": list(accounts)} if accounts else {}
        while state.seq < len(commits):
            cut_after = random.randint(1, 8)
            async with asyncio.timeout(60):
                stream = scene.follow(state, **params)
                async for message in stream:
                    if message.id:
                        await assert_is_of_the_journal(state, scene.journal, accounts)
                    cut_after -= 1
                    if not cut_after or state.seq >= len(commits):
                        break
                await aclose(stream)
        await writing


async def slowly(scene: Desk, commits: Commits, random: Random) -> None:
    for events in commits:
        await scene.commit(*events)
        if random.random() < 0.3:
            await asyncio.sleep(random.random() * 0.02)


async def aclose(stream: AsyncIterator[StreamMessage]) -> None:
    await stream.aclose()  # type: ignore[attr-defined]


async def test_decimals_are_numbers_or_texts_digit_for_digit() -> None:
    async with desk() as scene:
        await scene.commits(life("O1", "alice", 1, close=False))
        await scene.applied()
        for params, price in (({}, Decimal(50)), ({"numbers": "string"}, "50")):
            found = await scene.read("snapshot_end", params)
            assert found[2].data["orders"][0]["price"] == price
            assert found[3].data["positions"][0]["average_price"] == price


async def test_changes_between_two_frames_are_one_row() -> None:
    async with desk(frame_ms=300) as scene:
        state = ClientState()
        await scene.until(state, 0)
        await scene.commits(life("O1", "alice", 5))
        found = await scene.until(state, 6)
        rows = [row for message in found if message.event == "frame" for row in message.data["orders"]]
        assert len(rows) <= 2
        assert rows[-1]["status"] == "filled"


async def test_a_quiet_stream_says_that_it_is_alive_also_when_others_orders_move_the_journal_on() -> None:
    async with desk() as scene:
        state = ClientState()
        await scene.until(state, 0, account="empty")
        await scene.commits(life("O1", "alice"))
        found = await scene.until(state, 3, account="empty")
        assert [message.data["orders"] for message in found if message.event == "frame"] in ([], [[]])
        beat = (await scene.read("heartbeat", {"account": "empty"}))[-1].data
        assert (beat["prev_seq"], beat["seq"], beat["head"]) == (3, 3, 3)


async def test_no_heartbeat_is_sent_while_it_is_not_known_where_the_journal_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.desk.client_stream.KNOWN_NS", 100_000_000)
    async with desk() as scene:
        await scene.read("heartbeat")
        scene.journal.log.down = True
        await asyncio.sleep(0.5)
        async with asyncio.timeout(30), scene.http.stream("GET", scene.url) as answer:
            lines = answer.aiter_lines()
            said = [line async for line in first(lines, 14)]
        assert ": the journal does not answer" in said
        assert "event: heartbeat" not in said


async def first(lines: AsyncIterator[str], count: int) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        count -= 1
        if not count:
            return


# Where a stream continues


@pytest.mark.parametrize("id_", ["2.0123456789abcdef", "999.0123456789abcdef", "0.0123456789abcdef"])
async def test_an_id_of_another_history_is_never_continued(id_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.desk.client_stream.REACH_S", 0.05)
    async with desk() as scene:
        await scene.commits(life("O1", "alice"))
        await scene.applied()
        found = await scene.read("snapshot_end", {"from": id_})
        assert (found[0].data["resumed"], found[1].data["reason"]) == (False, "unknown_history")


async def test_the_header_comes_before_the_address_and_a_bare_sequence_proves_nothing() -> None:
    async with desk() as scene:
        await scene.commits(life("O1", "alice"))
        await scene.applied()
        end = (await scene.read("snapshot_end"))[-1]
        found = await scene.read("heartbeat", {"from": "1.0123456789abcdef"}, **{"Last-Event-ID": end.id})
        assert (found[0].data["resumed"], found[0].data["proved"], found[0].data["seq"]) == (True, True, 3)
        bare = await scene.read("frame", {"from_seq": "1"})
        assert (bare[0].data["resumed"], bare[0].data["proved"]) == (True, False)
        assert (bare[-1].data["prev_seq"], bare[-1].data["seq"]) == (1, 3)


async def test_a_sequence_that_the_client_has_seen_first_is_waited_for() -> None:
    async with desk() as scene:
        reading = asyncio.ensure_future(scene.read("heartbeat", {"from_seq": "2"}))
        await asyncio.sleep(0.1)
        await scene.commits(life("O1", "alice", 1))
        assert (await reading)[0].data["resumed"]


async def test_a_client_that_is_too_far_behind_is_sent_the_whole_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.desk.client_stream.FRAME_ROWS_MAX", 3)
    async with desk() as scene:
        state = ClientState()
        await scene.until(state, 0)
        await scene.commits(lives(20))
        await scene.applied()
        found = await scene.until(state, 1)
        assert found[1].data["reason"] == "too_old"
        await assert_is_of_the_journal(state, scene.journal)


@pytest.mark.parametrize("change", ["lost", "doubled"])
async def test_a_client_notices_a_frame_that_is_lost_or_doubled(change: str) -> None:
    async with desk() as scene:
        await scene.until(state := ClientState(), 0)
        frames = []
        for events in life("O1", "alice", 2):
            await scene.commit(*events)
            frames += [message for message in await scene.until(state, state.seq + 1) if message.event == "frame"]
        client, continued = ClientState(), frames[1] if change == "lost" else frames[0]
        client.seq = 0
        if change == "doubled":
            client.apply(frames[0])
        with pytest.raises(Gap):
            client.apply(continued)


async def test_a_snapshot_of_many_orders_is_of_one_sequence_though_they_change_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.desk.client_stream.SNAPSHOT_ROWS", 2)
    commits = lives(80, 3)
    async with desk() as scene:
        await scene.commits(commits[:60])
        await scene.applied()
        state = ClientState()
        writing = asyncio.ensure_future(scene.commits(commits[60:]))
        async for message in scene.follow(state):
            if message.event == "snapshot_end":
                break
        await assert_is_of_the_journal(state, scene.journal)
        await writing


async def test_the_limit_keeps_open_orders_and_the_last_closed_ones() -> None:
    async with desk() as scene:
        for number in range(5):
            await scene.commits(life(f"C{number}", "alice", 1))
        await scene.commits(life("open", "alice", 0))
        for number in range(5, 8):
            await scene.commits(life(f"C{number}", "alice", 1))
        await scene.applied()
        found = await scene.read("snapshot_end", {"limit": 3})
        assert found[1].data | {"seq": 0} == {"reason": "new", "seq": 0, "orders_total": 9, "orders_sent": 3}
        assert [row["order_id"] for row in found[2].data["orders"]] == ["open", "C7", "C6"]


# Bounds and ends


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("kinds=fills", "?kinds"),
        ("account=a.b", "?account"),
        ("account=a&account=", "?account"),
        ("numbers=float", "?numbers"),
        ("limit=-1", "?limit"),
        ("from=1", "?from"),
        ("from_seq=99999999999999999999", "?from_seq"),
        ("since=1", "?since"),
        ("kinds=orders&kinds=events", "?kinds"),
        ("&".join(f"account=a{number}" for number in range(101)), "?account"),
    ],
)
async def test_a_query_that_is_not_understood_is_refused(query: str, pointer: str) -> None:
    async with desk() as scene:
        answer = await scene.http.get(f"{scene.url}?{query}")
        assert (*problem(answer), answer.json()["pointer"]) == (400, "malformed", pointer)


async def test_more_streams_than_the_bound_are_refused_and_a_closed_one_makes_room() -> None:
    async with desk(streams_max=1) as scene:
        async with scene.http.stream("GET", scene.url) as answer:
            assert answer.status_code == 200
            assert problem(await scene.http.get(scene.url)) == (429, "too_many_streams")
        async with asyncio.timeout(30):
            while True:
                async with scene.http.stream("GET", scene.url) as again:
                    if again.status_code == 200:
                        break
                await asyncio.sleep(0.01)


async def test_until_the_journal_was_read_to_its_end_there_is_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk() as scene:
        monkeypatch.setattr("apps.journal.end.JournalEnd.complete", False)
        answer = await scene.http.get(scene.url)
        assert problem(answer) == (503, "catching_up")
        assert answer.headers["retry-after"] == "1"
        monkeypatch.undo()
        controls = [False]
        scene.assembly.streams.wait_for(lambda: controls[0])
        assert problem(await scene.http.get(scene.url)) == (503, "catching_up")
        controls[0] = True
        assert (await scene.read("snapshot_end"))[0].event == "hello"


async def test_while_the_journal_is_away_nothing_is_continued_that_cannot_be_compared() -> None:
    async with desk(events_max=1) as scene:
        await scene.commits(life("O1", "alice"))
        await scene.applied()
        scene.journal.log.down = True
        assert problem(await scene.http.get(scene.url, params={"from": "1.0123456789abcdef"})) == (503, "journal_unavailable")
        ended = await scene.read("bye", {"kinds": "events", "from_seq": "1"})
        assert ended[-1].data == {"reason": "journal_unavailable"}


async def test_a_stop_ends_every_stream_with_a_word() -> None:
    async with desk() as scene:
        reading = asyncio.ensure_future(scene.read("bye"))
        await asyncio.sleep(0.2)
        await scene.assembly.streams.stop()
        assert (await reading)[-1].data == {"reason": "stopping"}


async def test_a_client_that_takes_nothing_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.desk.stream.LOOK_EVERY_S", 0.05)
    async with desk(slow_client_sec=1) as scene:
        url = httpx.URL(scene.url)
        _, writer = await asyncio.open_connection(url.host, url.port, limit=1024)
        writer.write(f"GET /stream?kinds=orders,events&from_seq=0 HTTP/1.1\r\nHost: {url.host}\r\n\r\n".encode())
        await writer.drain()
        async with asyncio.timeout(60):
            number = 0
            while not scene.assembly.streams.too_slow:
                for events in life(f"O{number}", "alice", 9):
                    await scene.commit(*events)
                number += 1
        writer.close()


async def test_head_says_what_a_stream_would_be_and_ends() -> None:
    async with desk() as scene:
        answer = await scene.http.head(scene.url, timeout=10)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")


async def test_each_message_is_one_line_of_json_with_its_name() -> None:
    async with desk() as scene:
        await scene.commits(life("O1", "alice"))
        await scene.applied()
        async with scene.http.stream("GET", scene.url) as answer:
            lines = [line async for line in first(answer.aiter_lines(), 12)]
        assert lines[:2] == ["retry: 1000", ""]
        for line in lines:
            name, _, value = line.partition(": ")
            assert name in ("", "retry", "event", "data", "id")
            if name == "data":
                json.loads(value)
