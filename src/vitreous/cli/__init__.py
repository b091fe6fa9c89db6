"""The `vitreous` command. Thin: it reads words, calls `actions`, prints."""
