"""`python -m apps.oms`: the order management service."""

from apps.oms.wiring import build
from apps.runtime.service import run_service
from config.loading import load_oms

if __name__ == "__main__":
    run_service("oms", load_oms, build)
