"""`python -m apps.gateway`: the venues of the market, written to a stream as received."""

from apps.gateway.wiring import build
from apps.runtime.service import run_service
from config.loading import load_market_gateway

if __name__ == "__main__":
    run_service("gateway", load_market_gateway, build)
