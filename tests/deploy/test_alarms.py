"""Alarms, dashboards and their runbook: every alarm has a row, fires when it should and not else, and asks for series that exist."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
import yaml

from apps.stack.ports import MARKET_PORTS, METRICS_OFFSET, SERVICE_PORTS

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "infra/prometheus/alerts.yml"
QUIET: Final = 40
"""Samples before the trouble, a minute apart."""


def alarms() -> list[dict[str, Any]]:
    found = yaml.safe_load(RULES.read_text())
    return [rule for group in found["groups"] for rule in group["rules"]]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dashboards", ROOT / "infra/grafana/dashboards.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_alarm_has_a_row_in_the_runbook_and_every_row_an_alarm() -> None:
    said = (ROOT / "docs/operations.md").read_text()
    names = [alarm["alert"] for alarm in alarms()]
    assert re.findall(r'^\| <a id="([a-z]+)"></a>\w+ \|', said, re.M) == [name.lower() for name in names]
    for alarm in alarms():
        assert alarm["labels"]["severity"] in ("page", "ticket")
        assert alarm["annotations"]["runbook"] == f"docs/operations.md#{alarm['alert'].lower()}"
        assert alarm["annotations"]["summary"]
        row = next(line for line in said.splitlines() if f"</a>{alarm['alert']} |" in line)
        assert all(len(cell.strip()) > 5 for cell in row.strip("|").split(" | ")[1:]), "what it means, first look, what to do"


def test_prometheus_asks_every_service_on_its_metrics_port() -> None:
    found = yaml.safe_load((ROOT / "infra/prometheus/prometheus.yml").read_text())
    asked = {job["job_name"]: job["static_configs"][0]["targets"] for job in found["scrape_configs"] if "static_configs" in job}
    assert asked == {name: [f"{name}:{port + METRICS_OFFSET}"] for name, port in SERVICE_PORTS.items()}
    sought = {job["job_name"]: job["dns_sd_configs"][0] for job in found["scrape_configs"] if "dns_sd_configs" in job}
    assert {name: (each["names"], each["type"], each["port"]) for name, each in sought.items()} == {
        name: ([name], "A", port + METRICS_OFFSET) for name, port in MARKET_PORTS.items()
    }, "a service that was never started is not down"


def test_the_files_of_grafana_are_what_the_program_makes() -> None:
    for name, text in generator().files().items():
        assert (ROOT / "infra/grafana/dashboards" / name).read_text() == text, "run: make docs"


def counted(total: str, per_minute: float, *, labels: str = "") -> dict[str, str]:
    return {f"{total}{{{labels}}}": f"0+0x{QUIET} {per_minute}+{per_minute}x{QUIET}"}


def slow(histogram: str, bound: str, *, labels: str = "") -> dict[str, str]:
    """Nothing slower than the bound, and then everything."""
    more = f",{labels}" if labels else ""
    quick = f'{histogram}_bucket{{le="{bound}"{more}}}'
    return {
        quick: f"0+60x{QUIET} {60 * QUIET}+0x{QUIET}",
        f'{histogram}_bucket{{le="+Inf"{more}}}': f"0+60x{2 * QUIET}",
        f'{histogram}_bucket{{le="9"{more}}}': f"0+60x{2 * QUIET}",
    }


def jumps(series: str, before: float, after: float) -> dict[str, str]:
    return {series: f"{before}+0x{QUIET} {after}+0x{QUIET}"}


READ_TO_THE_END: Final = {
    f'{series},shard="{shard}"}}': f"{seq}+0x{2 * QUIET}"
    for shard, seq in enumerate((9000, 1))
    for series in ('oms_journal_sequence{job="oms"', 'journal_read_sequence{job="exeq"')
}
"""Two shards without trouble: a sequence of the one is far ahead of the other."""
TROUBLE: Final[dict[str, dict[str, str]]] = {
    "ServiceDown": jumps('up{job="oms"}', 1, 0),
    "ServiceUnhealthy": jumps('service_healthy{job="oms"}', 1, 0),
    "ServiceNotReady": jumps('service_ready{job="risk"}', 1, 0),
    "ServiceRestarting": {'process_start_time_seconds{job="oms"}': f"1+0x{QUIET} 2+1x{QUIET}"},
    "OrdersRefusedByOutage": counted("oms_orders_total", 30, labels='outcome="rejected",reason="risk_timeout"'),
    "SubmitSlow": slow("oms_submit_seconds", "0.05"),
    "RiskCheckSlow": slow("risk_check_seconds", "0.002", labels='way="check"'),
    "AppendSlow": slow("oms_append_seconds", "0.1"),
    "JournalRecovering": counted("oms_recoveries_total", 1),
    "JournalFilling": jumps('journal_stream_bytes{stream="OMS_JOURNAL"}', 70, 81)
    | jumps('journal_stream_bytes_max{stream="OMS_JOURNAL"}', 100, 100),
    "JournalForeign": {'journal_foreign_messages{journal="oms.journal.0"}': f"_x{QUIET} 1+0x{QUIET}"},
    "ReaderBehind": {"oms_journal_sequence": f"1+0x{QUIET} 600+100x{QUIET}", 'journal_read_sequence{job="exeq"}': f"1+0x{2 * QUIET}"}
    | READ_TO_THE_END,
    "ProjectionBehind": jumps('projection_lag_commits{projection="fills"}', 10, 6000),
    "QueueStuck": jumps("exeq_queue_oldest_seconds", 0, 31),
    "OrdersInDoubt": jumps("exeq_orders_in_doubt", 0, 2),
    "VenueClosed": jumps('exeq_venue_open{venue="PAPER_A"}', 1, 0),
    "VenueRejecting": counted("exeq_venue_rejects_total", 40, labels='venue="PAPER_A"')
    | counted("exeq_venue_answers_total", 60, labels='venue="PAPER_A"'),
    "ReportsQuarantined": {'oms_reports_quarantined_total{reason="unknown_order"}': f"_x{QUIET} 1+0x{QUIET}"},
    "ListFlagged": {'oms_lists_flagged_total{flag="double_exit"}': f"_x{QUIET} 1+0x{QUIET}"},
    "ListRulesFailing": counted("oms_list_rules_failed_total", 1),
    "AlgoStuck": jumps("oms_algos_alert", 0, 1),
    "AlgoRulesFailing": counted("oms_algo_rules_failed_total", 1),
    "TransitionsRefused": {'oms_transitions_refused_total{trigger="cancel"}': f"_x{QUIET} 1+0x{QUIET}"},
    "ReduceOnlyOpened": counted("oms_reduce_only_opened_total", 1),
    "SentTwice": jumps("gateway_sends_per_route_max", 1, 2),
    "ReservationsLeaking": counted("risk_leaked_reservations_total", 6),
    "KillSwitchThrown": jumps("exeq_kills", 0, 1),
    "KillSwitchUnreadable": jumps("exeq_kills_unreadable", 0, 1),
    "QuotesRefused": counted("quotes_refused_total", 60, labels='job="exeq",reason="price"'),
    "KeysUnknown": jumps('service_check_ok{job="oms",check="keys"}', 1, 0),
    "AccessRefused": counted("access_refused_total", 120, labels='job="oms",code="unauthorized"'),
    "HousekeepingFails": counted("snapshots_failed_total", 1, labels='job="exeq"'),
    "LoopLate": slow("event_loop_lag_seconds", "0.1", labels='job="risk"'),
    "LogLinesDropped": counted("log_lines_dropped_total", 3, labels='to="file"'),
    "MemoryGrowing": jumps('process_resident_memory_bytes{job="oms"}', 5e8, 1.7e9),
    "MarketServiceGone": {'up{job="gateway"}': f"1+0x{QUIET} _x{QUIET}"},
    "MarketVenueDown": jumps('market_venue_live{venue="KRAKEN"}', 1, 0),
    "MarketFramesDropped": counted("market_raw_frames_dropped_total", 5, labels='venue="KRAKEN"'),
    "MarketBooksInvalid": jumps('normalizer_books_valid{venue="KRAKEN"}', 2, 0) | jumps('market_venue_live{venue="KRAKEN"}', 1, 1),
    "MarketBehind": jumps('normalizer_lag_seconds{venue="KRAKEN"}', 0, 6),
    "MarketFramesRejected": counted("normalizer_frames_rejected_total", 20) | {"normalizer_frames_total": f"0+600x{2 * QUIET}"},
    "SinkBehind": jumps('sink_lag_seconds{job="sink-ticks",sink="questdb MARKET"}', 1, 130),
    "SinkStreamFilling": jumps('sink_stream_alarm{job="sink-ticks",sink="questdb MARKET"}', 0, 1),
    "SinkDaysUnequal": jumps('sink_days_unequal{job="sink-ticks"}', 0, 2),
    "RowsPutAside": {'sink_dead_letters_total{job="sink-ticks",sink="questdb MARKET"}': f"_x{QUIET} 1+0x{QUIET}"},
}


def test_every_alarm_has_a_scene_of_trouble() -> None:
    assert list(TROUBLE) == [alarm["alert"] for alarm in alarms()]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: install the Debian package prometheus")
def test_every_alarm_is_quiet_before_its_trouble_and_rings_in_it(tmp_path: Path) -> None:
    def scene(name: str, series: dict[str, str]) -> dict[str, Any]:
        rings = {"alertname": name, "eval_time": f"{QUIET + 12}m"}
        return {
            "interval": "1m",
            "input_series": [{"series": key, "values": values} for key, values in series.items()],
            "promql_expr_test": [
                {"expr": f'count(ALERTS{{alertname="{name}"}})', "eval_time": f"{QUIET - 1}m", "exp_samples": []},
                {
                    "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})',
                    "eval_time": rings["eval_time"],
                    "exp_samples": [{"labels": "{}", "value": 1}],
                },
            ],
        }

    scenes = tmp_path / "scenes.yml"
    tests = [scene(name, series) for name, series in TROUBLE.items()]
    scenes.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    for command in (["check", "rules", str(RULES)], ["test", "rules", str(scenes)]):
        said = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stdout[-3000:] + said.stderr[-3000:]
