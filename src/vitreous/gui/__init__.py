"""Web server and viewers of the browser interface."""
