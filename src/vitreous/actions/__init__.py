"""What a user can do to a project; the one door for shell, browser and scripts."""
