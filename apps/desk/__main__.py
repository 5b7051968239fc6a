"""`python -m apps.desk`: the page and the stream."""

from apps.desk.wiring import build
from apps.runtime.service import run_service
from config.loading import load_desk

if __name__ == "__main__":
    run_service("desk", load_desk, build)
