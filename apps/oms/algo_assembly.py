"""The parts of oms that serve parents of algos, put together."""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter

from apps.journal.shard_hosts import Hosts
from apps.oms import algo_reports, algo_routes
from apps.oms.algo_body import AlgoReader, ParamBounds
from apps.oms.algo_reads import AlgoReads
from apps.oms.algos import AlgoHandler
from apps.oms.child_spawner import ChildSpawner
from apps.oms.reads import OrderReads
from apps.oms.risk_client import RiskCheck
from apps.oms.submit import SubmitHandler
from apps.oms.submit_body import TermsReader
from apps.runtime import tasks
from apps.runtime.chassis import Chassis
from config.sections import GroupsSection
from config.settings import OmsSettings
from domain.instruments import Instrument
from domain.market.trading_hours import Calendar
from domain.narrative import OwnerOf
from domain.ports import Clock


def spawner(chassis: Chassis[OmsSettings], hosts: Hosts, intake: SubmitHandler, risk: RiskCheck) -> ChildSpawner:
    """Start what takes slices from exeq."""
    children = ChildSpawner(hosts, intake, risk)
    chassis.spawn(children.run, tasks.CHILDREN)
    return children


def routes(
    settings: GroupsSection,
    hosts: Hosts,
    intake: SubmitHandler,
    risk: RiskCheck,
    reads: OrderReads,
    terms: TermsReader,
    instruments: Mapping[str, Instrument],
    calendars: Mapping[str, Sequence[Calendar]],
    clock: Clock,
    owner_of: OwnerOf,
) -> APIRouter:
    """Build the routes of parents."""
    bounds = ParamBounds(settings.interval_min_ms, settings.horizon_max_sec, settings.slices_max)
    handler = AlgoHandler(hosts, intake, risk, settings.algos_open_max_per_account)
    views = AlgoReads(hosts, handler, reads, instruments, clock, owner_of)
    door = algo_routes.AlgoDoor(AlgoReader(terms, bounds, calendars, clock), terms, instruments, clock)
    found = algo_routes.router(handler, views, door)
    found.include_router(algo_reports.router(algo_reports.AlgoReports(hosts, views)))
    return found
