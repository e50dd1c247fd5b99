"""Run renecinfra as ``python -m renecinfra``."""

from renecinfra.cli import main

if __name__ == "__main__":
    main()
