"""`python -m apps.cli`, the same as `trade`."""

from apps.cli.main import main

if __name__ == "__main__":
    main()
