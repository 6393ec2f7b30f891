"""The kind TrackingStack: observe, decide, status."""
