"""`python -m apps.normalizer`: frames of venues to records, in one form."""

from apps.normalizer.wiring import build
from apps.runtime.service import run_service
from config.loading import load_normalizer

if __name__ == "__main__":
    run_service("normalizer", load_normalizer, build)
