"""A stand-in for Kubernetes on this machine: the API that dagster-k8s talks to, with Jobs as local processes.

See ``standin.StandIn``. What it leaves out: images (a pod's command finds this environment's ``python`` and
``dagster``), volumes, all containers of a pod but the first, restarts in place (``restartPolicy`` is Never),
networks, CPU and memory as things to schedule by, watches, and who may do what.
"""
