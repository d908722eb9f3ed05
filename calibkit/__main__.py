"""``python -m calibkit``: the same door as the command ``calibkit``."""

from calibkit.cli import main

if __name__ == "__main__":
    main()
