"""Fast versions of gather and insert, each beside its plain-torch reference."""
