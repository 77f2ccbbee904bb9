"""`python -m siyu.cli` is `siyu`."""

from siyu.cli.group import main

if __name__ == "__main__":
    main(prog_name="siyu")
