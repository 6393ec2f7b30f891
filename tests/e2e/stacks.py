"""Applying TrackingStacks and waiting for what their status says."""

import json
from collections.abc import Callable
from typing import Any

from tests.e2e.runs import condition
from tests.support.kubectl import Kubectl, wait_for


class Stacks:
    """The TrackingStacks of one namespace."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self.kubectl, self.namespace = kubectl, namespace

    def apply(self, obj: dict[str, Any]) -> None:
        self.kubectl.run("-n", self.namespace, "apply", "-f", "-", stdin=json.dumps(obj))

    def until(
        self, name: str, holds: Callable[[dict[str, Any]], Any], what: str, timeout: float = 420
    ) -> dict[str, Any]:
        def probe() -> dict[str, Any] | None:
            found = self.kubectl.get("tstack", name, self.namespace) or {}
            status: dict[str, Any] = found.get("status", {})
            current = status.get("observedGeneration") == found.get("metadata", {}).get("generation")
            return status if current and holds(status) else None

        try:
            return wait_for(f"TrackingStack {name}: {what}", probe, timeout)
        except TimeoutError as error:
            told = self.kubectl.run("-n", self.namespace, "get", "tstack,pods", "-o", "wide", check=False).stdout
            found = self.kubectl.get("tstack", name, self.namespace) or {}
            raise TimeoutError(f"{error}\n{json.dumps(found.get('status', {}))[:3000]}\n{told}") from None

    def ready(self, name: str, timeout: float = 420) -> dict[str, Any]:
        return self.until(name, lambda s: condition(s, "Ready").get("status") == "True", "Ready", timeout)

    def reason(self, name: str, reason: str) -> dict[str, Any]:
        return self.until(name, lambda s: condition(s, "Ready").get("reason") == reason, reason)

    def create(self, *objects: dict[str, Any]) -> None:
        """Apply objects of any kind into the namespace."""
        for obj in objects:
            self.apply(obj)
