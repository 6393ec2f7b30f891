"""Helm: runs the binary to install and upgrade, reads its records straight from the API server."""
