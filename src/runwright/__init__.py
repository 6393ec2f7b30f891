"""Runwright: tracked training jobs on Kubernetes."""
