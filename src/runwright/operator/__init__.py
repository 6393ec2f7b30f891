"""The operator process: kopf's watches, work queues, Lease, probes, metrics, settings."""
