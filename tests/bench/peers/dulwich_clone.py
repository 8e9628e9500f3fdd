"""dulwich's clone at depth 1: URL BRANCH DIRECTORY."""

import sys

from dulwich import porcelain

url, branch, directory = sys.argv[1:]
porcelain.clone(url, directory, depth=1, branch=branch.encode(), errstream=porcelain.NoneStream())
