"""The dashboard: a shell of HTML around ES modules that use the public calls only."""

from api.dashboard.pages import install

__all__ = ["install"]
