"""Tests of Runwright; a package so that `python -m tests.cluster` works from a checkout."""
