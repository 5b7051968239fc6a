"""`python -m apps.sink`: sink-ticks or sink-alt, as service.name of the configuration says."""

from apps.runtime.service import run_service
from apps.sink.wiring import build
from config.loading import load_sink

if __name__ == "__main__":
    run_service("sink", load_sink, build)
