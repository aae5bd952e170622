"""Putting the flows onto a Prefect server: work pools, deployments, automations."""

from flows.deploying.deploy import DeployResult, deploy
