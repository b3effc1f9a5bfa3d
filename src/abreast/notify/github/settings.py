"""The settings of GitHub's notifier."""

from pydantic import BaseModel, ConfigDict, Field


class GitHubSettings(BaseModel):
    """What GitHub is told. In a workflow of GitHub Actions that happens without this key."""

    model_config = ConfigDict(extra="forbid", strict=True)

    deployments: bool = Field(True, description="Whether each service has a deployment at GitHub, with its address.")
    check: bool = Field(True, description="Whether the commit has a check run for the environment.")
    records: bool = Field(True, description="Whether an organization has a record of where each artifact runs.")
    comment: bool = Field(True, description="Whether the commit's pull request has a comment for the environment.")
