"""``python -m styleforge``."""

from styleforge.cli import main

if __name__ == "__main__":
    main()
