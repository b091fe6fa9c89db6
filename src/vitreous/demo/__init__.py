"""The demonstration: simulated movies become a map, in ordinary jobs of an ordinary project."""
