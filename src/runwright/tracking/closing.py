"""Closing a run and everything nested below it."""

from datetime import datetime

from runwright.ports import RunStatus
from runwright.tracking import answers
from runwright.tracking.client import MLflowClient
from runwright.tracking.lineage import Lineage


def nested_status(status: RunStatus) -> RunStatus:
    """What a child left open becomes: it did not finish, even when its parent did."""
    return "KILLED" if status == "FINISHED" else status


def is_gone(error: answers.MLflowRefusedError) -> bool:
    """Whether a write was refused because its run was deleted, alone or with its experiment, or purged."""
    return error.code == answers.DOES_NOT_EXIST or "must be in the 'active' state" in str(error)


async def set_status(client: MLflowClient, run_id: str, status: RunStatus, end_time: datetime) -> bool:
    """Write a state; False when the run is gone."""
    try:
        await client.update_run(run_id, status, end_time)
    except answers.MLflowRefusedError as error:
        if is_gone(error):
            return False
        raise
    return True


async def close_tree(
    client: MLflowClient, lineage: Lineage, experiment_id: str, run_id: str, status: RunStatus, end_time: datetime
) -> bool:
    """Close the RUNNING runs below a run, deepest first, then the run.

    So an interruption leaves something above still to be closed, and closing again finds the rest.

    Returns:
        False when the run itself is gone.
    """
    for nested in await lineage.below(experiment_id, run_id):
        await set_status(client, nested.run_id, nested_status(status), end_time)
    return await set_status(client, run_id, status, end_time)
