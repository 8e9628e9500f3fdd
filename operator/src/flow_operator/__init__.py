"""Turns FlowDeployments into FlowRuns and FlowRuns into Jobs."""
