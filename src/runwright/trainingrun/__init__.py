"""The kind TrainingRun: observe, decide, act, status."""
