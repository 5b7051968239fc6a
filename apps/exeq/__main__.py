"""`python -m apps.exeq`: execution."""

from apps.exeq.wiring import build
from apps.runtime.service import run_service
from config.loading import load_exeq

if __name__ == "__main__":
    run_service("exeq", load_exeq, build)
