"""What each user of NATS may send and hear. Nobody but oms can write the order journal."""

import json
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from apps.secrets.users import ADMIN, NATS_USERS, OPERATOR, READER, SERVICES, VENUE

ORDERS: Final = "OMS_JOURNAL"
VENUES: Final = "PAPER_VENUES"
CONTROLS: Final = "RISK_CONTROL"
GUEST: Final = "guest"

ANNOUNCED: Final = ("fills.>", "positions.>", "oms.orders.>", "ticks.>", "risk.control.>", "prices.>")
"""What everybody may hear."""


def inbox(user: str) -> str:
    """Where a user's answers come: nobody hears another's."""
    return f"_INBOX_{user}"


def _read(stream: str) -> tuple[str, ...]:
    api = "$JS.API"
    return (
        f"{api}.STREAM.INFO.{stream}",
        f"{api}.STREAM.MSG.GET.{stream}",
        f"{api}.CONSUMER.CREATE.{stream}",
        f"{api}.CONSUMER.CREATE.{stream}.>",
        f"{api}.CONSUMER.MSG.NEXT.{stream}.>",
    )


def _made(stream: str) -> str:
    return f"$JS.API.STREAM.CREATE.{stream}"


def _answers(*users: str) -> tuple[str, ...]:
    return tuple(f"{inbox(user)}.>" for user in users)


class Rights(NamedTuple):
    """Subjects that a user may publish on, and subscribe to. Its own inbox comes by itself."""

    publish: Sequence[str]
    subscribe: Sequence[str] = ()


_GUEST_INBOX: Final = ("_INBOX.>",)
_EVERYTHING: Final = (*_read(ORDERS), *_read(VENUES), *_read(CONTROLS), "$JS.API.INFO")
_READS: Final = Rights(("risk.check.order", *_EVERYTHING), ANNOUNCED)

RIGHTS: Final[Mapping[str, Rights]] = {
    "oms": Rights(
        (
            "oms.journal.*",
            "oms.orders.>",
            "risk.check.order",
            "venue.*.session.*",
            *_read(ORDERS),
            *_read(CONTROLS),
            _made(ORDERS),
            *_answers("exeq", "risk", OPERATOR, ADMIN),
        ),
        ("oms.commands.*", "controls.obeyed.oms", *ANNOUNCED),
    ),
    "risk": Rights(
        (
            "risk.control.>",
            "controls.obeyed.*",
            "oms.commands.*",
            *_read(ORDERS),
            *_read(CONTROLS),
            _made(CONTROLS),
            *_answers("oms", "exeq", OPERATOR, READER, ADMIN),
            *_GUEST_INBOX,
        ),
        ("risk.check.order", "risk.kill", *ANNOUNCED),
    ),
    "exeq": Rights(
        ("oms.commands.*", "orders.>", "risk.kill", "venue.*.session.*", *_read(ORDERS), *_read(CONTROLS), *_answers("risk")),
        ("controls.obeyed.exeq", *ANNOUNCED),
    ),
    "live-gateway": Rights(
        ("venue.journal.*", "fills.>", "ticks.>", "prices.>", *_read(VENUES), _made(VENUES), *_answers("oms", "exeq", OPERATOR, ADMIN)),
        ("orders.>", "venue.*.session.*", *ANNOUNCED),
    ),
    VENUE: Rights(("fills.>", "ticks.>", *_answers("oms", "exeq")), ("orders.>", "venue.*.session.*", *ANNOUNCED)),
    "projector": Rights(("positions.>", *_read(ORDERS)), ANNOUNCED),
    OPERATOR: Rights(("risk.check.order", "venue.*.session.*", "prices.>", *_EVERYTHING), ANNOUNCED),
    READER: _READS,
    ADMIN: Rights((">",), (">",)),
}
assert set(RIGHTS) == set(NATS_USERS) > set(SERVICES)


def configuration(passwords: Mapping[str, str], *, guests: bool) -> str:
    """What nats-server includes. With `guests` a program without a password is let in as a reader."""
    lines = ["# made by `trade secrets init`; changes are lost", "authorization {"]
    lines += ["  users = ["]
    lines += [_user(user, password, RIGHTS[user], inbox(user)) for user, password in passwords.items()]
    lines += [_user(GUEST, passwords[READER], _READS, "_INBOX")] if guests else []
    lines += ["  ]", "}"]
    return "\n".join([*lines, *([f"no_auth_user: {GUEST}"] if guests else []), ""])


def _user(user: str, password: str, rights: Rights, own: str) -> str:
    publish, subscribe = (*rights.publish, f"{own}.>"), (*rights.subscribe, f"{own}.>")
    rights_of = f"{{publish: {_list(publish)}, subscribe: {_list(subscribe)}}}"
    return f"    {{user: {json.dumps(user)}, password: {json.dumps(password)}, permissions: {rights_of}}}"


def _list(subjects: Sequence[str]) -> str:
    return json.dumps(list(subjects))
