"""The testbed: a real Kubernetes for tests and the demo, started and stopped by `python -m tests.cluster up|down`.

Three providers (`RUNWRIGHT_CLUSTER`): a cluster of one's own through a kubeconfig, kind on Docker, or one node made of
processes on a bare Linux machine. Only the standard library is used, so that it runs before any virtual environment.
`tests.cluster.controlplane` is an API server without a node, for contract tests.
"""
