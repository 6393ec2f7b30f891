"""What TrainingRuns cost beside bare Jobs, on simulated nodes: ``python -m tests.bench``."""
