"""``python -m runwright``."""

from runwright.cli.main import main

if __name__ == "__main__":
    main()
