"""The definitions of the dashboards; `python infra/grafana/dashboards.py` writes the files that Grafana reads."""

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

HERE: Final = Path(__file__).parent / "dashboards"
COLUMNS: Final = 24
PROMETHEUS: Final = {"type": "prometheus", "uid": "prometheus"}
QUESTDB: Final = {"type": "postgres", "uid": "questdb"}


class Panel(NamedTuple):
    """One panel. `queries`: legend -> PromQL; or one SQL query under an empty legend, shown as a table."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    description: str = ""


def percentiles(metric: str, by: str = "", of: str = "") -> dict[str, str]:
    legend = f" {{{{{by}}}}}" if by else ""
    labels = f"le, {by}" if by else "le"
    rate = f"rate({metric}_bucket{of}[$__rate_interval])"
    return {f"P{p}{legend}": f"histogram_quantile(0.{p}, sum by ({labels}) ({rate}))" for p in (50, 99)}


POSITIONS: Final = (
    "SELECT account, symbol, sum(CASE WHEN side = 'buy' THEN quantity ELSE -quantity END) AS position, sum(fee) AS fees, count() AS fills "
    "FROM fills GROUP BY account, symbol ORDER BY account, symbol"
)
LATEST: Final = "SELECT timestamp, account, symbol, side, quantity, price, fee, venue, order_id FROM fills ORDER BY timestamp DESC LIMIT 50"

DESK: Final = (
    Panel("Orders a second", {"{{outcome}}": "sum by (outcome) (rate(oms_orders_total[$__rate_interval]))"}, "ops"),
    Panel("Refused, by reason", {"{{reason}}": 'sum by (reason) (rate(oms_orders_total{outcome="rejected"}[$__rate_interval]))'}, "ops"),
    Panel("Fills a second", {"{{venue}}": "rate(gateway_venue_fills_total[$__rate_interval])"}, "ops"),
    Panel("Open orders by state", {"{{status}}": 'sum by (status) (oms_orders_by_status{status!~"filled|cancelled|rejected|expired"})'}),
    Panel(
        "Waiting for a route", {"queued": "sum(exeq_queue_depth)", "held": "sum(exeq_orders_held)", "in doubt": "sum(exeq_orders_in_doubt)"}
    ),
    Panel("At the venues", {"{{venue}}": "sum by (venue) (exeq_routes_working)"}),
    Panel("Kill switches set", {"": "exeq_kills"}, kind="stat", width=4, description="More than 0: orders of that scope are refused."),
    Panel("Symbols blocked", {"": "risk_blocked_symbols"}, kind="stat", width=4),
    Panel("Venues open", {"{{venue}}": "exeq_venue_open"}, kind="stat", width=4, description="1: orders can be routed there."),
    Panel("Reservations of risk", {"reservations": "risk_reservations", "open orders": "risk_open_orders"}, width=6),
    Panel("Position updates a second", {"published": "sum(rate(projection_positions_published_total[$__rate_interval]))"}, "ops", width=6),
    Panel("Positions from the fills table", {"": POSITIONS}, kind="table", width=12),
    Panel("Latest fills", {"": LATEST}, kind="table", width=12),
)

ENGINE_ROOM: Final = (
    Panel("Submit to answer", percentiles("oms_submit_seconds"), "s", description="Target: P50 3 ms, P99 10 ms at 1000 orders a second."),
    Panel("Risk check", percentiles("risk_check_seconds", of='{way="check"}'), "s", description="Required: P50 1.5 ms, P99 5 ms."),
    Panel("Commit to ack", percentiles("oms_append_seconds"), "s"),
    Panel(
        "Decision to reader",
        percentiles("journal_follow_seconds", "reader"),
        "s",
        description="From oms's decision until a reader has applied it.",
    ),
    Panel("Venue's first answer", {"{{venue}}": "exeq_venue_latency_seconds"}, "s"),
    Panel("Event loop lag", {"P99 {{job}}": percentiles("event_loop_lag_seconds", "job")["P99 {{job}}"]}, "s"),
    Panel(
        "Commits and events a second",
        {
            "commits": "rate(oms_append_seconds_count[$__rate_interval])",
            "events": "rate(oms_events_total[$__rate_interval])",
        },
        "ops",
    ),
    Panel("Events per commit", percentiles("oms_commit_events")),
    Panel(
        "Lag behind the journal, commits",
        {
            "{{job}} {{shard}}": "max by (shard) (oms_journal_sequence) - on (shard) group_right () journal_read_sequence",
            "{{projection}} {{shard}}": "projection_lag_commits",
        },
    ),
    Panel("Journal used", {"{{stream}}": "journal_stream_bytes / journal_stream_bytes_max"}, "percentunit"),
    Panel("Risk checks without an answer", {"{{outcome}}": "rate(oms_risk_no_answer_total[$__rate_interval])"}, "ops"),
    Panel(
        "Faults",
        {
            "recoveries": "sum(increase(oms_recoveries_total[5m]))",
            "quarantined": "sum(increase(oms_reports_quarantined_total[5m]))",
            "transitions refused": "sum(increase(oms_transitions_refused_total[5m]))",
            "withheld": "sum(increase(exeq_sends_withheld_total[5m]))",
        },
    ),
    Panel("Healthy and ready", {"{{job}} healthy": "service_healthy", "{{job}} ready": "service_ready"}, kind="stat", width=12),
    Panel("Failing checks", {"{{job}} {{check}}": "service_check_ok == 0"}, kind="stat", width=12),
    Panel("CPU, cores", {"{{job}}": "rate(process_cpu_seconds_total[$__rate_interval])"}),
    Panel("Memory", {"{{job}}": "process_resident_memory_bytes"}, "bytes"),
    Panel("Open files", {"{{job}}": "process_open_fds"}),
)


MARKET: Final = (
    Panel("Venues connected", {"{{venue}}": "market_venue_live"}, kind="stat", width=6, description="1: connected and sending."),
    Panel("Valid books", {"{{venue}}": "normalizer_books_valid"}, kind="stat", width=6),
    Panel("Services of the market plane", {"{{job}}": 'service_ready{job=~"gateway|normalizer|sink-.*"}'}, kind="stat", width=12),
    Panel("Frames a second", {"{{venue}}": "rate(market_venue_frames_total[$__rate_interval])"}, "ops"),
    Panel("Records a second", {"{{kind}}": "rate(normalizer_records_total[$__rate_interval])"}, "ops"),
    Panel("Quotes to the core a second", {"{{venue}}": "rate(normalizer_ticks_total[$__rate_interval])"}, "ops"),
    Panel("Receipt to stream", percentiles("market_raw_latency_seconds"), "s", description="Target: P50 8 ms, P99 25 ms."),
    Panel("Receipt to quote", percentiles("normalizer_tick_seconds"), "s", description="Target: P50 3 ms, P99 15 ms from the stream on."),
    Panel("Normalizer behind, seconds", {"{{venue}}": "normalizer_lag_seconds"}, "s"),
    Panel("Facts in 5 minutes", {"{{fact}}": "increase(normalizer_facts_total[5m])"}),
    Panel(
        "Frames lost or unread",
        {
            "dropped {{venue}}": "increase(market_raw_frames_dropped_total[5m])",
            "not readable": "increase(normalizer_frames_rejected_total[5m])",
        },
    ),
    Panel("Reconnects in 5 minutes", {"{{venue}}": "increase(market_venue_reconnects_total[5m])"}),
    Panel("Rows a second into places", {"{{job}} {{sink}}": "rate(sink_rows_total[$__rate_interval])"}, "ops"),
    Panel("Places behind, seconds", {"{{job}} {{sink}}": "sink_lag_seconds"}, "s"),
    Panel("Rows put aside", {"{{job}} {{sink}}": "sink_dead_letters_total"}, kind="stat"),
)


def panel(number: int, of: Panel, x: int, y: int) -> dict[str, Any]:
    source = QUESTDB if of.kind == "table" else PROMETHEUS
    targets: list[dict[str, Any]] = []
    for letter, (legend, query) in zip("ABCDEF", of.queries.items(), strict=False):
        asked = {"rawSql": query, "format": "table", "rawQuery": True} if of.kind == "table" else {"expr": query, "legendFormat": legend}
        targets.append({"refId": letter, "datasource": source, **asked})
    return {
        "id": number,
        "title": of.title,
        "description": of.description,
        "type": of.kind,
        "datasource": source,
        "gridPos": {"x": x, "y": y, "w": of.width, "h": 8},
        "fieldConfig": {"defaults": {"unit": of.unit, "min": 0} if of.kind != "table" else {}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}} if of.kind == "timeseries" else {},
        "targets": targets,
    }


def dashboard(title: str, uid: str, panels: tuple[Panel, ...]) -> dict[str, Any]:
    """Build a dashboard; panels are placed left to right, in rows of 24 columns."""
    placed, x, y = [], 0, 0
    for number, each in enumerate(panels, 1):
        if x + each.width > COLUMNS:
            x, y = 0, y + 8
        placed.append(panel(number, each, x, y))
        x += each.width
    return {
        "uid": uid,
        "title": title,
        "tags": ["trade"],
        "timezone": "utc",
        "refresh": "5s",
        "time": {"from": "now-30m", "to": "now"},
        "schemaVersion": 41,
        "editable": False,
        "panels": placed,
    }


def files() -> dict[str, str]:
    boards = {
        "desk.json": dashboard("Desk", "desk", DESK),
        "engine-room.json": dashboard("Engine room", "engine-room", ENGINE_ROOM),
        "market.json": dashboard("Market", "market", MARKET),
    }
    return {name: json.dumps(board, indent=1) + "\n" for name, board in boards.items()}


if __name__ == "__main__":
    for name, text in files().items():
        (HERE / name).write_text(text)
