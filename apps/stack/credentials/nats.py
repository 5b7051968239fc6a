"""Rights of each user of NATS: its account, and the subjects that it may publish and subscribe to.

NATS checks the subject that a client publishes on, not its reply subject: a client that may send any request can direct the reply
to any subject *of its own account*. So each journal is alone in an account, where its writer may publish commits and nothing else,
and sends no requests. All other users read over exports of that account, and their replies stay in their own accounts.

    READERS  guest, reader ──┐ announcements, risk.check.order (answered, never reserved)
                             ├── BUS  services, unit, operator, venue, admin ──┐ reads over `journals.*`, feed `stored.*`
                             └───────────────────────────────────────────┼── ORDERS    oms-journal
                                                                         ├── CONTROLS  risk-journal: controls, and access
                                                                         └── VENUES    live-gateway-journal

Only the account BUS reads the journal of access: guests and readers never see who has which key.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from adapters import subjects
from adapters.feed import API, STORED
from adapters.subjects import (
    ACCESS_QUESTIONS,
    ACKNOWLEDGED,
    BARS,
    CHECK,
    COMMANDS,
    CONTROL_EVENTS,
    DEPTHS,
    DRY_CHECK,
    FILLS,
    KILL_REPORT,
    NEW_ORDERS,
    ORDER_COPIES,
    POSITIONS,
    PRICES,
    PRINTS,
    REPORTS,
    REQUESTS,
    SERVICE_STATS,
    SESSIONS,
    TICKS,
)
from apps.stack.credentials import nats_text
from apps.stack.credentials.nats_text import account, exported, imported
from apps.stack.credentials.users import (
    ADMIN,
    DESK,
    GATEWAY,
    MARKET_SERVICES,
    NATS_USERS,
    NATS_WRITERS,
    NORMALIZER,
    OPERATOR,
    READER,
    SERVICES,
    SINK_ALT,
    SINK_TICKS,
    VENUE,
)
from apps.stack.topology import UNIT, UNITED
from domain.shards import SHARDS_MAX

ORDERS: Final = subjects.ORDER_STREAM
VENUES: Final = subjects.VENUE_STREAM
CONTROLS: Final = subjects.CONTROL_STREAM
ACCESS: Final = subjects.ACCESS_STREAM
GUEST: Final = "guest"

BUS: Final = "BUS"
READERS: Final = "READERS"

JETSTREAM: Final = "$JS.API"
ANSWERS: Final = "_R_.>"
"""Reply subjects of requests from other accounts; nats-server maps them back to the real ones."""
ANNOUNCED: Final = (FILLS, POSITIONS, ORDER_COPIES, TICKS, BARS, CONTROL_EVENTS, PRICES)
"""Subjects that every user may subscribe to."""


class JournalAccount(NamedTuple):
    """A stream and its account. `maker` is the service that may create it; `writer` publishes its commits; `readers` are accounts."""

    account: str
    stream: str
    subject: str
    maker: str
    writer: str
    readers: tuple[str, ...] = (BUS, READERS)


JOURNALS: Final = (
    JournalAccount("ORDERS", ORDERS, subjects.ORDER_JOURNALS, "oms", NATS_WRITERS["oms"]),
    JournalAccount("CONTROLS", CONTROLS, subjects.CONTROL_JOURNALS, "risk", NATS_WRITERS["risk"]),
    JournalAccount("CONTROLS", ACCESS, subjects.ACCESS_JOURNALS, "risk", NATS_WRITERS["risk"], (BUS,)),
    JournalAccount("VENUES", VENUES, subjects.VENUE_JOURNALS, "live-gateway", NATS_WRITERS["live-gateway"]),
)
ACCOUNTS: Final = tuple(dict.fromkeys(journal.account for journal in JOURNALS))

INFO: Final = "STREAM.INFO"
READS: Final = (INFO, "STREAM.MSG.GET", "DIRECT.GET")
MAKES: Final = "STREAM.CREATE"
CHANGES: Final = "STREAM.UPDATE"
"""Allowed only to the admin, because a changed stream can lose messages."""
MANY_ANSWERS: Final = "DIRECT.GET"


def inbox(user: str) -> str:
    """Return the prefix of a user's reply subjects, which no other user may subscribe to."""
    return f"_INBOX_{user}"


def _api(stream: str, verbs: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{API}.{verb}.{stream}" for verb in verbs)


def _answers(*users: str) -> tuple[str, ...]:
    """Return the reply subjects of these users, and of the unit if one of them may run in it."""
    united = (UNIT,) if set(users) & set(UNITED) else ()
    return tuple(f"{inbox(user)}.>" for user in (*users, *united))


class NatsRights(NamedTuple):
    """Subjects that a user may publish and subscribe to. Its own inbox is added for both; for a writer, only to subscribe."""

    publish: Sequence[str]
    subscribe: Sequence[str] = ()


_FEEDS: Final = {journal.stream: f"{STORED}.{journal.subject}" for journal in JOURNALS}


def _reading(publish: Sequence[str], subscribe: Sequence[str], *streams: str) -> NatsRights:
    """Return these rights, with the right to read these journals."""
    reads = tuple(subject for stream in streams for subject in _api(stream, READS))
    return NatsRights((*publish, *reads), (*subscribe, *(_FEEDS[stream] for stream in streams)))


def _beside(service: str, *streams: str, publish: Sequence[str] = ()) -> NatsRights:
    """Return the rights of a service of the market plane on the core's server: to know the keys, and to answer for itself."""
    asked = (subjects.access_questions(service), subjects.service_stats(service), subjects.owner(service, "*"))
    return _reading((*publish, subjects.owner(service, "*"), *_answers("risk", DESK)), (*asked, *ANNOUNCED), *streams, ACCESS)


_READER: Final = _reading((CHECK,), ANNOUNCED, ORDERS, VENUES, CONTROLS)

_RIGHTS: Final[Mapping[str, NatsRights]] = {
    "oms": _reading(
        (CHECK, SESSIONS, *_api(ORDERS, (MAKES,)), *_answers("exeq", "risk", DESK, OPERATOR, ADMIN)),
        (COMMANDS, subjects.acknowledged("oms"), subjects.access_questions("oms"), subjects.service_stats("oms"), REPORTS, *ANNOUNCED),
        ORDERS,
        CONTROLS,
        ACCESS,
    ),
    "risk": _reading(
        (
            ACKNOWLEDGED,
            ACCESS_QUESTIONS,
            COMMANDS,
            subjects.owner("risk", "*"),
            *_api(CONTROLS, (MAKES,)),
            *_api(ACCESS, (MAKES,)),
            *_answers("oms", "exeq", DESK, OPERATOR, ADMIN),
            ANSWERS,
        ),
        (CHECK, DRY_CHECK, KILL_REPORT, subjects.owner("risk", "*"), subjects.service_stats("risk"), *ANNOUNCED),
        ORDERS,
        CONTROLS,
        ACCESS,
    ),
    "exeq": _reading(
        (COMMANDS, REQUESTS, NEW_ORDERS, KILL_REPORT, SESSIONS, subjects.owner("exeq", "*"), *_answers("risk", DESK)),
        (
            subjects.acknowledged("exeq"),
            subjects.access_questions("exeq"),
            subjects.service_stats("exeq"),
            subjects.owner("exeq", "*"),
            DEPTHS,
            PRINTS,
            *ANNOUNCED,
        ),
        ORDERS,
        CONTROLS,
        ACCESS,
    ),
    "live-gateway": _reading(
        (REPORTS, FILLS, TICKS, DEPTHS, PRINTS, PRICES, *_api(VENUES, (MAKES,)), *_answers("oms", "exeq", "risk", DESK, OPERATOR, ADMIN)),
        (REQUESTS, SESSIONS, subjects.access_questions("live-gateway"), subjects.service_stats("live-gateway"), DEPTHS, PRINTS, *ANNOUNCED),
        VENUES,
        ACCESS,
    ),
    VENUE: NatsRights((REPORTS, FILLS, TICKS, *_answers("oms", "exeq")), (REQUESTS, NEW_ORDERS, SESSIONS, *ANNOUNCED)),
    "projector": _reading(
        (POSITIONS, subjects.owner("projector", "*"), *_answers("risk", DESK)),
        (subjects.owner("projector", "*"), subjects.access_questions("projector"), subjects.service_stats("projector"), *ANNOUNCED),
        ORDERS,
        CONTROLS,
        ACCESS,
    ),
    DESK: _reading(
        (ORDER_COPIES, SERVICE_STATS, *_answers("risk")),
        (subjects.access_questions(DESK), subjects.service_stats(DESK), *ANNOUNCED),
        ORDERS,
        CONTROLS,
        ACCESS,
    ),
    GATEWAY: _beside(GATEWAY),
    NORMALIZER: _beside(NORMALIZER, publish=(TICKS, DEPTHS, PRINTS, BARS)),
    SINK_TICKS: _beside(SINK_TICKS),
    SINK_ALT: _beside(SINK_ALT, ORDERS, VENUES, CONTROLS),
    OPERATOR: _reading((DRY_CHECK, SESSIONS, PRICES), ANNOUNCED, ORDERS, VENUES, CONTROLS, ACCESS),
    READER: _READER,
    ADMIN: NatsRights((">",), (">",)),
}


def _of_all(users: Iterable[str]) -> NatsRights:
    """Return the union of the rights of these users."""
    rights = [_RIGHTS[user] for user in users]
    publish = dict.fromkeys(subject for each in rights for subject in each.publish)
    return NatsRights(tuple(publish), tuple(dict.fromkeys(subject for each in rights for subject in each.subscribe)))


RIGHTS: Final[Mapping[str, NatsRights]] = {**_RIGHTS, UNIT: _of_all(UNITED)}
assert set(RIGHTS) == set(NATS_USERS) > {*SERVICES, *MARKET_SERVICES}

WRITES: Final[Mapping[str, NatsRights]] = {
    writer: NatsRights(tuple(journal.subject for journal in JOURNALS if journal.writer == writer)) for writer in NATS_WRITERS.values()
}
"""Rights of writers: only to publish commits and not requests, so that no reply to a writer can become a message of its journal."""


def account_of(user: str) -> str:
    """Return the account of this user."""
    if user in WRITES:
        return next(journal.account for journal in JOURNALS if journal.writer == user)
    return READERS if user in (READER, GUEST) else BUS


def configuration(passwords: Mapping[str, str], *, guests: bool, shards: int = 1) -> str:
    """Return the configuration of users for nats-server. With `guests` a program without a password is a reader.

    `shards` of the order journal: each of several has a stream of its own.
    """
    users = {user: _user(user, passwords[user], of_shards({**RIGHTS, **WRITES}[user], shards), inbox(user)) for user in passwords}
    if guests:
        users[GUEST] = _user(GUEST, passwords[READER], of_shards(_READER, shards), "_INBOX")
    members = {name: [text for user, text in users.items() if account_of(user) == name] for name in (*ACCOUNTS, BUS, READERS)}
    accounts = [account(name, "jetstream: enabled", users=members[name], exports=_journal_exports(name, shards)) for name in ACCOUNTS]
    bus_imports = [*_reads_of(JOURNALS, shards), *_makes(shards), _announced_controls()]
    accounts += [account(BUS, users=members[BUS], exports=_bus_exports(), imports=bus_imports)]
    reader_imports = [*_bus_imports(), *_reads_of([journal for journal in JOURNALS if READERS in journal.readers], shards)]
    accounts += [account(READERS, users=members[READERS], imports=reader_imports)]
    return nats_text.configuration(accounts, *([f"no_auth_user: {GUEST}"] if guests else []))


def _streams(stream: str, verb: str, shards: int) -> Sequence[str]:
    """Return the streams of a journal: one for each shard of the order journal.

    INFO also asks the streams of other numbers of shards, which tell a service that the journal was created with one of them.
    """
    if stream != ORDERS:
        return (stream,)
    own = tuple(subjects.order_stream(shard, shards) for shard in range(shards))
    return tuple(dict.fromkeys((*own, ORDERS, subjects.order_stream(0, SHARDS_MAX)))) if verb == INFO else own


def of_shards(rights: NatsRights, shards: int) -> NatsRights:
    """Return the rights where the order journal has this many shards."""
    found: dict[str, None] = {}
    for subject in rights.publish:
        verb, _, stream = subject.removeprefix(f"{API}.").rpartition(".")
        names = _streams(stream, verb, shards) if subject.startswith(f"{API}.") else (stream,)
        found |= {f"{subject.removesuffix(stream)}{name}": None for name in names}
    return NatsRights(tuple(found), rights.subscribe)


def _requests(journal: JournalAccount, verbs: Iterable[str], shards: int) -> list[tuple[str, str]]:
    return [(verb, stream) for verb in verbs for stream in _streams(journal.stream, verb, shards)]


def _journal_exports(name: str, shards: int) -> Iterator[str]:
    for journal in JOURNALS:
        if journal.account == name:
            for verbs, accounts in ((READS, journal.readers), ((MAKES, CHANGES), (BUS,))):
                for verb, stream in _requests(journal, verbs, shards):
                    yield exported("service", f"{JETSTREAM}.{verb}.{stream}", accounts, many_answers=verb == MANY_ANSWERS)
            yield exported("stream", f"{STORED}.{journal.subject}", journal.readers)


def _reads_of(journals: Iterable[JournalAccount], shards: int) -> Iterator[str]:
    for journal in journals:
        yield from _api_of(journal, READS, shards)
        yield imported("stream", journal.account, f"{STORED}.{journal.subject}")


def _makes(shards: int) -> Iterator[str]:
    for journal in JOURNALS:
        yield from _api_of(journal, (MAKES, CHANGES), shards)


def _api_of(journal: JournalAccount, verbs: Iterable[str], shards: int) -> Iterator[str]:
    """Yield imports of JetStream's API for this journal, under its second name."""
    for verb, stream in _requests(journal, verbs, shards):
        yield imported("service", journal.account, f"{JETSTREAM}.{verb}.{stream}", f"{API}.{verb}.{stream}")


def _announced_controls() -> str:
    """Export controls under their own subject as well, for subscribers that do not read the journal."""
    return imported("stream", "CONTROLS", f"{STORED}.{subjects.CONTROLS}", subjects.CONTROLS)


def _bus_exports() -> list[str]:
    announced = [exported("stream", subject, [READERS]) for subject in ANNOUNCED if subject != CONTROL_EVENTS]
    return [*announced, exported("service", DRY_CHECK, [READERS])]


def _bus_imports() -> list[str]:
    announced = [imported("stream", BUS, subject) for subject in ANNOUNCED if subject != CONTROL_EVENTS]
    return [*announced, _announced_controls(), imported("service", BUS, DRY_CHECK, CHECK)]


def _user(user: str, password: str, rights: NatsRights, own: str) -> str:
    answers = (f"{own}.>",)
    publish = rights.publish if user in WRITES else (*rights.publish, *answers)  # a program may reply to itself; a writer sends no requests
    return nats_text.user(user, password, publish=publish, subscribe=(*rights.subscribe, *answers))
