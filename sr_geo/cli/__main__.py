"""`python -m sr_geo.cli`."""

from sr_geo.cli import main

if __name__ == "__main__":
    main()
