"""The kind TrackingStack: asks its server, decides the next status."""
