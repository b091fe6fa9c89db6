"""What a map is worth beyond one FSC curve: directions, views, spread, mask, independence."""
