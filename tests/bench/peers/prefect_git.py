"""Prefect's pull step `git_clone`, which clones into the working directory: URL BRANCH."""

import sys

from prefect.deployments.steps.pull import git_clone

url, branch = sys.argv[1:]
git_clone(repository=url, branch=branch)
