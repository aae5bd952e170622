"""One machine, one command: server, deployments, workers, metrics; started, watched, drained."""
