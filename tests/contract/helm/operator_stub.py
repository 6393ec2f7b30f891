"""A process that installs one release: what a test kills in place of the operator."""

import asyncio
import json
import sys
from pathlib import Path

import uvloop

from runwright.helm.process import Helm
from runwright.helm.releases import HelmReleases
from runwright.kube.client import Client
from runwright.kube.connection import Connection
from runwright.ports import Key, WantedRelease


async def main() -> None:
    """Install what the arguments say: helm, charts, namespace, name, chart, values, owner."""
    program, charts, namespace, name, chart, values, owner = sys.argv[1:]
    client = Client(await Connection.open())
    releases = HelmReleases(client, Helm(program, client.connection.kubeconfig), Path(charts))
    wanted = WantedRelease(Key(namespace, name), chart, json.loads(values), json.loads(owner))
    await releases.install(wanted)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the operator does
        runner.run(main())
