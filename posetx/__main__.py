"""`python -m posetx` is `posetx`."""

from posetx.cli import main

if __name__ == "__main__":
    main()
