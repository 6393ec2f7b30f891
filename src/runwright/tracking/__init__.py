"""The MLflow side: async REST client, run life-cycle, poller and orphan sweeper behind `ports.Tracker`."""
