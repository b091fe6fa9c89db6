"""The version, apart from everything, so that nothing imports the package's front door."""

__version__ = "0.1.0"
