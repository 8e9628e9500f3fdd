"""Chaos: operators and control plane are struck again and again; every tick is accounted for.

`faults` draws what happens when from a seed, `workload` says which schedules tick meanwhile and,
by plain arithmetic, when. `storm` lets it happen in a `lab`: operators (`operators`) that reach the
real API server through proxies (`meddler`), Pods that live as a plan says (`kubelet`), a record of
all that was there (`record`); `settling` waits until nothing is left to do. What is known then
(`aftermath`) is judged by `exact` and `policies`. `planted` shows that they would see a bug.
"""
