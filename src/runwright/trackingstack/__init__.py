"""The kind TrackingStack: observe, decide, status, act."""
