"""The three ways to a cluster, and which one is taken."""
