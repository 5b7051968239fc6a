"""`python -m apps.risk`: the pre-trade checks of every order."""

from apps.risk.wiring import build
from apps.runtime.service import run_service
from config.loading import load_risk

if __name__ == "__main__":
    run_service("risk", load_risk, build)
