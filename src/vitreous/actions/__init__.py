"""What a user can do to a project; the one door for shell, browser and scripts."""

from vitreous.actions.job import Job
from vitreous.actions.planning import Plan
from vitreous.actions.project import Project

__all__ = ["Job", "Plan", "Project"]
