"""`python -m vitreous` is the `vitreous` command."""

from vitreous.cli import main

if __name__ == "__main__":
    main()
