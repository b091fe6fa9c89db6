"""The project folder: pipeline graph, nodes, aliases, trash. No numerics."""
