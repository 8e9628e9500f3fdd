"""Chaos: operators and control plane are struck again and again; every tick is accounted for.

`faults` draws what happens when from a seed, `workload` says which schedules tick meanwhile and,
by plain arithmetic, when. `storm` lets it happen: operators (`operators`) that reach the real API
server through proxies (`meddler`), Pods that live as a plan says (`kubelet`), and a record of all
that was there (`record`). What must have come of it is judged by `exact` and `policies`.
"""
