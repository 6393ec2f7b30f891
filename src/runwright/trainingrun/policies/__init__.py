"""One rule of a TrainingRun's life per file, each pure, each with a twin test."""
