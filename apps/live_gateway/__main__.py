"""`python -m apps.live_gateway`: paper venues and their market."""

from apps.live_gateway.wiring import build
from apps.runtime.service import run_service
from config.loading import load_gateway

if __name__ == "__main__":
    run_service("live-gateway", load_gateway, build)
