"""`python -m apps.projector`: the projections that other programs read."""

from apps.projector.wiring import build
from apps.runtime.service import run_service
from config.loading import load_projector

if __name__ == "__main__":
    run_service("projector", load_projector, build)
