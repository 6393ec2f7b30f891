"""One rule of a TrackingStack's life per file, each pure, each with a twin test."""
