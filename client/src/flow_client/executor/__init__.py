"""Runs the Pod of a Job as local processes: what a kubelet does, without a cluster or root.

It knows nothing of flows. A Job comes in; out come the Job and its Pod as the API server would show
them, once for each step.
"""

from flow_client.executor.control import Control
from flow_client.executor.host import Host
from flow_client.executor.pod import LocalPod

__all__ = ["Control", "Host", "LocalPod"]
