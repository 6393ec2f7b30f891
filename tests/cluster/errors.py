"""The testbed's one error: what is wrong and what would help."""

from __future__ import annotations


class ClusterError(Exception):
    """The testbed can't do what was asked; `remedy` says what would help."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message}\n  What would help: {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy
