"""What a paper venue decides about actions of an exchange's staff, and about faults."""

from domain.order.commands import ReportKind
from domain.paper.book import PaperOrder
from domain.paper.events import (
    BustTrade,
    CorrectTrade,
    ForcedFill,
    Forget,
    Halt,
    OrderForgotten,
    TradingHalted,
    TradingResumed,
    UnsolicitedCancel,
)
from domain.paper.outcome import VenueOutcome
from domain.values import Liquidity


def halt(outcome: VenueOutcome, message: Halt) -> None:
    halted = message.symbol in outcome.venue.halted
    if message.symbol in outcome.venue.instruments and halted is message.resume:
        kind = TradingResumed if message.resume else TradingHalted
        outcome.events.append(kind(at=outcome.now_ns, symbol=message.symbol))


def act_on(outcome: VenueOutcome, order: PaperOrder, message: UnsolicitedCancel | ForcedFill | Forget) -> None:
    match message:
        case UnsolicitedCancel():
            if outcome.works(order):
                outcome.end(ReportKind.CANCELLED, order, reason=message.reason)
        case ForcedFill():
            outcome.fill(order, message.quantity, message.price, Liquidity.TAKER)
        case Forget():
            outcome.events.append(OrderForgotten(at=outcome.now_ns, route_id=message.route_id))


def take_back(outcome: VenueOutcome, message: BustTrade | CorrectTrade) -> None:
    found = outcome.venue.traded(message.exec_id)
    if found is None:
        return
    order, trade = found
    if isinstance(message, BustTrade):
        outcome.report(ReportKind.BUST, order, exec_id=trade.exec_id, quantity=trade.quantity, price=trade.price)
    else:
        more = {"kind": ReportKind.CORRECTION, "ref_exec_id": trade.exec_id}
        outcome.fill(order, message.quantity, message.price, trade.liquidity, **more)
