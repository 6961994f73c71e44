"""``python -m pyollama``."""

from pyollama.cli import main

if __name__ == "__main__":
    main()
