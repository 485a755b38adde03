"""Labelling servers: what is handed out goes there, and what people say comes back, by HTTP and nothing else."""

from skmmal.campaign.connect._client import ServerError

__all__ = ["ServerError"]
