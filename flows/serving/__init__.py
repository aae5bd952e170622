"""One machine, one command: server, deployments, workers, metrics; started, watched, drained."""

from flows.serving.serve import ServeOptions, serve

__all__ = ["ServeOptions", "serve"]
