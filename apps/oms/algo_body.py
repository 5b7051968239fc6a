"""Parse the bodies of `POST /algos` and its changes into terms, or report the first error with a pointer to its field."""

import secrets
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from apps.http.body import exact_number, identifier, moment, read_object, unreadable
from apps.http.caller import account_not_yours
from apps.http.problem import Refusal, malformed
from apps.http.schema import ID, ID_PATTERN, NUMBER, OPTIONAL_NUMBER, PRICE, described
from apps.oms.submit_body import TermsReader
from domain.access.scopes import EVERY_ACCOUNT
from domain.market.trading_hours import ALWAYS, Calendar
from domain.order.algo import (
    SECOND_NS,
    AlgoParams,
    AlgoTerms,
    CatchUp,
    ChildPlace,
    OnEnd,
    PauseOn,
    Strategy,
    algo_id_of,
    slices_between,
)
from domain.ports import Clock
from domain.values import ZERO, Side, TimeInForce, plain

OFFSET_TICKS_MAX: Final = 1000
SEED_MAX: Final = 2**63 - 1
BPS_MAX: Final = Decimal(10_000)
HUNDRED: Final = Decimal(100)
SUPPORTED: Final = (Strategy.TWAP, Strategy.ICEBERG)

Seed = Annotated[int, msgspec.Meta(ge=0, le=SEED_MAX)]
Ticks = Annotated[int, msgspec.Meta(ge=-OFFSET_TICKS_MAX, le=OFFSET_TICKS_MAX)]
Number = Annotated[msgspec.Raw | UnsetType, OPTIONAL_NUMBER]


class AlgoBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Body of `POST /algos`."""

    symbol: str
    side: Side
    quantity: Annotated[msgspec.Raw, NUMBER]
    strategy: Strategy
    account: Annotated[str | UnsetType | None, ID] = UNSET
    client_algo_id: Annotated[
        str | UnsetType | None,
        described("Idempotency key, never reused. A repeated request returns the first result. Generated if absent.", pattern=ID_PATTERN),
    ] = UNSET
    limit_price: Annotated[msgspec.Raw | UnsetType, PRICE] = UNSET
    start_at: Annotated[str | UnsetType | None, described("At once if absent or in the past.", format="date-time")] = UNSET
    end_at: Annotated[str | UnsetType | None, described("Required for twap, unless it is for the day.", format="date-time")] = UNSET
    time_in_force: Annotated[str | UnsetType | None, described("day: it ends with the session. Defaults to gtc.", enum=["gtc", "day"])] = (
        UNSET
    )
    params: Annotated[msgspec.Raw | UnsetType, described("See docs/algos.md.", type="object")] = UNSET


class PauseBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`params.pause_on`."""

    spread_bps_max: Number = UNSET
    away_from_arrival_bps_max: Number = UNSET


class ParamsBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`params` of `POST /algos`, of all strategies."""

    interval_sec: Number = UNSET
    child: ChildPlace | UnsetType = UNSET
    offset_ticks: Ticks | UnsetType = UNSET
    child_life_sec: Number = UNSET
    child_quantity_min: Number = UNSET
    child_quantity_max: Number = UNSET
    participation_max_pct: Number = UNSET
    variance_pct: Number = UNSET
    jitter_pct: Number = UNSET
    catch_up: CatchUp | UnsetType = UNSET
    on_end: OnEnd | UnsetType = UNSET
    pause_on: msgspec.Raw | UnsetType = UNSET
    seed: Seed | UnsetType = UNSET
    display_quantity: Number = UNSET
    display_variance_pct: Number = UNSET
    profile: str | UnsetType = UNSET
    rate_pct: Number = UNSET
    urgency: str | UnsetType = UNSET


class AmendBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Body of `PATCH /algos/{id}`. What is absent stays."""

    quantity: Number = UNSET
    limit_price: Annotated[msgspec.Raw | UnsetType, PRICE] = UNSET
    end_at: Annotated[str | UnsetType, described(format="date-time")] = UNSET
    params: Annotated[msgspec.Raw | UnsetType, described("The parameters to change.", type="object")] = UNSET


class HaltBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Body of `POST /algos/{id}/pause` and `/resume`. It may be absent."""

    reason: Annotated[str, msgspec.Meta(max_length=200)] = ""
    keep_child: Annotated[bool, described("Of a pause: the open child is not cancelled.")] = False


_BODY: Final = msgspec.json.Decoder(AlgoBody)
_PARAMS: Final = msgspec.json.Decoder(ParamsBody)
_PAUSE_ON: Final = msgspec.json.Decoder(PauseBody)
_AMEND: Final = msgspec.json.Decoder(AmendBody)
_HALT: Final = msgspec.json.Decoder(HaltBody)

BOTH: Final = frozenset({"seed"})
USED: Final = {
    Strategy.TWAP: BOTH
    | {"interval_sec", "child", "offset_ticks", "child_life_sec", "child_quantity_min", "child_quantity_max", "participation_max_pct"}
    | {"variance_pct", "jitter_pct", "catch_up", "on_end", "pause_on"},
    Strategy.ICEBERG: BOTH | {"display_quantity", "display_variance_pct"},
}
"""The parameters of each strategy. Any other is refused, and never ignored."""


class ParamBounds(msgspec.Struct, frozen=True):
    """`interval_min_ms`: of slices. `horizon_max_s`: from the start of a parent to its end. `slices_max`: of one parent."""

    interval_min_ms: int = 200
    horizon_max_s: int = 604_800
    slices_max: int = 10_000


def _read(decoder: msgspec.json.Decoder[Any], body: bytes, within: str = "") -> Any:
    """Read an object without duplicate or unknown keys. Refusal 400 with a pointer below `within`."""
    try:
        read_object(body, decoder.type.__struct_fields__)
        try:
            return decoder.decode(body)
        except (ValueError, RecursionError) as error:
            raise unreadable(str(error)) from None
    except Refusal as refusal:
        raise _below(refusal, within) from None


def _below(refusal: Refusal, within: str) -> Refusal:
    if not within:
        return refusal
    extra = refusal.extra | {"pointer": f"{within}{refusal.extra.get('pointer', '')}"}
    return Refusal(refusal.status, refusal.code, refusal.detail, headers=refusal.headers, **extra)


def unsupported(code: str, detail: str, pointer: str) -> Refusal:
    return Refusal(422, code, detail, pointer=pointer)


def out_of_range(name: str, detail: str) -> Refusal:
    return Refusal(422, "param_out_of_range", f"{name} {detail}", pointer=f"/params/{name}")


class AlgoReader:
    """Reads parents. Refusals have a fixed order: form (400), strategy, parameters (422); what may trade is looked at later."""

    def __init__(self, terms: TermsReader, bounds: ParamBounds, calendars: Mapping[str, Sequence[Calendar]], clock: Clock) -> None:
        """`calendars`: the trading hours of every venue of a symbol."""
        self._terms = terms
        self._bounds = bounds
        self._calendars = calendars
        self._clock = clock

    def read(self, body: bytes, own: str) -> AlgoTerms:
        """Return the parent that was asked for, tradable or not. `own`: the account of the caller's key. Refusal 400, 403, 422."""
        found: AlgoBody = _read(_BODY, body)
        account = identifier(found.account, "account") or self._terms.account_of(own)
        if own not in (account, EVERY_ACCOUNT):
            raise account_not_yours()
        client_algo_id = identifier(found.client_algo_id, "client_algo_id") or f"auto-{secrets.token_hex(12)}"
        negative = self._terms.may_be_negative(found.symbol)
        quantity, limit_price = exact_number(found.quantity, "quantity"), exact_number(found.limit_price, "limit_price", negative=negative)
        if quantity is None:
            raise malformed("quantity is required", "/quantity")
        if found.time_in_force not in (UNSET, None, TimeInForce.GTC, TimeInForce.DAY):
            raise malformed("time_in_force must be gtc or day", "/time_in_force")
        day = found.time_in_force == TimeInForce.DAY
        start_at, end_at = _moment(found.start_at, "start_at"), _moment(found.end_at, "end_at")
        _check_strategy(found.strategy)
        if day and end_at is None:
            end_at = max(calendar.session_end(self._clock.now_ns()) for calendar in self._hours(found.symbol))
        params, seeded = self.params(found.strategy, found.params)
        return AlgoTerms(
            algo_id=self._terms.shards.placed(account, algo_id_of(account, client_algo_id)),
            account=account,
            client_algo_id=client_algo_id,
            symbol=found.symbol,
            side=found.side,
            quantity=quantity,
            strategy=found.strategy,
            limit_price=limit_price,
            start_at=start_at,
            end_at=end_at,
            params=params,
            time_in_force=TimeInForce.DAY if day else TimeInForce.GTC,
            seeded=seeded,
        )

    def _hours(self, symbol: str) -> Sequence[Calendar]:
        return self._calendars.get(symbol) or (ALWAYS,)

    def params(self, strategy: Strategy, raw: msgspec.Raw | UnsetType, before: AlgoParams | None = None) -> tuple[AlgoParams, bool]:
        """Return the parameters, and whether their seed was made here. `before`: those that stay when absent. Refusal 400, 422."""
        found: ParamsBody = ParamsBody() if isinstance(raw, UnsetType) else _read(_PARAMS, bytes(raw), "/params")
        given = {name: value for name in found.__struct_fields__ if (value := getattr(found, name)) is not UNSET}
        for name in given:
            if name not in USED[strategy]:
                raise unsupported("param_unsupported", f"{name} has no meaning for {strategy}", f"/params/{name}")
        values = {name: self._value(name, value) for name, value in given.items()}
        seeded = before is None and "seed" not in values
        if seeded:
            values["seed"] = secrets.randbelow(SEED_MAX)
        params = AlgoParams(**values) if before is None else msgspec.structs.replace(before, **values)
        least, most = params.child_quantity_min, params.child_quantity_max
        if least is not None and most is not None and least > most:
            raise out_of_range("child_quantity_min", "is above child_quantity_max")
        if strategy is Strategy.ICEBERG and params.display_quantity is None:
            raise unsupported("display_quantity_required", "an iceberg needs params.display_quantity", "/params/display_quantity")
        return params, seeded

    def _value(self, name: str, value: Any) -> Any:
        if name == "pause_on":
            return _pause_on(value)
        if not isinstance(value, msgspec.Raw):
            return value
        try:
            number = exact_number(value, name)
        except Refusal as refusal:
            raise _below(refusal, "/params") from None
        if number is None:
            raise malformed(f"{name} must be a number", f"/params/{name}")
        self._check_range(name, number)
        return number

    def _check_range(self, name: str, number: Decimal) -> None:
        """Refusal 422 `param_out_of_range`."""
        if name in ("interval_sec", "child_life_sec"):
            least, most = Decimal(self._bounds.interval_min_ms).scaleb(-3), Decimal(self._bounds.horizon_max_s)
            if not least <= number <= most or number * 1000 % 1:
                raise out_of_range(name, f"must be {plain(least)} to {plain(most)}, in whole milliseconds")
        elif name.endswith("_pct"):
            if number > HUNDRED or (name == "participation_max_pct" and not number):
                raise out_of_range(name, "must be a percentage up to 100")
        elif not number:
            raise out_of_range(name, "must be above 0")

    def check_times(self, terms: AlgoTerms, now: int) -> None:
        """Check when a new parent works. Refusal 422."""
        if terms.start_at is not None and terms.start_at - now > self._bounds.horizon_max_s * SECOND_NS:
            raise unsupported("horizon_too_long", f"start_at may be at most {self._bounds.horizon_max_s} seconds from now", "/start_at")
        if terms.end_at is None:
            if terms.strategy is Strategy.ICEBERG:
                return
            raise unsupported("end_at_required", f"{terms.strategy} needs end_at", "/end_at")
        began = max(terms.start_at or now, now)
        self.check_end(terms.symbol, began, terms.end_at)
        self.check_slices(terms, began)

    def check_slices(self, terms: AlgoTerms, start_at: int, *, done: int = 0) -> None:
        """Check how many slices a parent has from a time on, after those that are `done`. Refusal 422."""
        if terms.strategy is Strategy.ICEBERG or terms.end_at is None:
            return
        if done + slices_between(start_at, terms.end_at, terms.params) > self._bounds.slices_max:
            raise unsupported(
                "too_many_slices", f"at most {self._bounds.slices_max} slices; take a longer interval_sec", "/params/interval_sec"
            )

    def check_end(self, symbol: str, start_at: int, end_at: int) -> None:
        """Check that a parent may end then. Refusal 422."""
        if end_at <= start_at:
            raise unsupported("end_at_in_past", "end_at must be after the start, and after now", "/end_at")
        if end_at - start_at > self._bounds.horizon_max_s * SECOND_NS:
            raise unsupported("horizon_too_long", f"at most {self._bounds.horizon_max_s} seconds from start to end", "/end_at")
        closings = [calendar.closing(start_at) for calendar in self._hours(symbol)]
        if all(closing is not None and end_at > closing for closing in closings):
            raise unsupported("end_after_session", "end_at is after the end of the session at every venue", "/end_at")


def _check_strategy(strategy: Strategy) -> None:
    if strategy is Strategy.VWAP:
        raise unsupported("no_volume_profile", "there is no volume profile yet; use twap", "/strategy")
    if strategy not in SUPPORTED:
        raise unsupported("strategy_unsupported", f"{strategy} is not available yet; use twap or iceberg", "/strategy")


def _moment(text: str | UnsetType | None, field: str) -> int | None:
    return moment(text, field) if isinstance(text, str) else None


def _pause_on(raw: msgspec.Raw) -> PauseOn:
    within = "/params/pause_on"
    found: PauseBody = _read(_PAUSE_ON, bytes(raw), within)
    numbers: dict[str, Decimal | None] = {}
    for name in found.__struct_fields__:
        try:
            number = exact_number(getattr(found, name), name)
        except Refusal as refusal:
            raise _below(refusal, within) from None
        if number is not None and not ZERO < number <= BPS_MAX:
            raise Refusal(422, "param_out_of_range", f"{name} must be above 0, and up to {BPS_MAX}", pointer=f"{within}/{name}")
        numbers[name] = number
    return PauseOn(**numbers)


def read_amend(body: bytes) -> AmendBody:
    """Read the body of a change. Refusal 400."""
    found: AmendBody = _read(_AMEND, body)
    if all(getattr(found, name) is UNSET for name in found.__struct_fields__):
        raise malformed("at least one of quantity, limit_price, end_at and params is required")
    return found


def read_halt(body: bytes) -> HaltBody:
    """Read the body of a pause or a resume, which may be empty. Refusal 400."""
    found: HaltBody = _read(_HALT, body) if body.strip() else HaltBody()
    return found


SCHEMA_EXAMPLE: Final[dict[str, Any]] = {
    "symbol": "BTCUSDT",
    "side": "buy",
    "quantity": 0.5,
    "strategy": "twap",
    "limit_price": 46000,
    "end_at": "2026-12-01T15:00:00Z",
    "params": {"interval_sec": 10, "catch_up": "spread"},
}
