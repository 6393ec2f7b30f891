"""Decisions while an attempt's Job exists: how it ends, what ends it, and what is followed meanwhile."""

from dataclasses import replace
from datetime import timedelta

from runwright.trainingrun import records
from runwright.trainingrun.case import Case
from runwright.trainingrun.ending import attempt_over, finished, logs
from runwright.trainingrun.failures import ended
from runwright.trainingrun.observed import Problem
from runwright.trainingrun.plan import (
    Action,
    Ended,
    Finished,
    Follow,
    Live,
    LogParams,
    Plan,
    Preempted,
    Queued,
    RaiseStop,
    SetTags,
    Stopping,
)
from runwright.trainingrun.policies import early_stopping, gang, node_loss, queue, retry, stop
from runwright.trainingrun.policies.timing import LOOK_AGAIN, soonest


def end_attempt(case: Case) -> Plan | None:
    """Make sure that the end of an attempt is counted once and followed by the right thing."""
    if case.job is None:
        return None
    over = ended(case.job, case.pods)
    if over is None:
        return None
    record = records.running_attempt(case.status)
    if over.outcome != "Succeeded" and record is not None and record.suspend_time is not None:
        # The queue took the nodes away, which was counted then; that the Job failed of it shows when it is re-admitted.
        over = replace(over, outcome="Suspended", reason="Preempted")
    return attempt_over(case, over)


def follow_queue(case: Case) -> Plan | None:
    """Make sure that what a queue does to the Job is told, and counted where it takes running nodes away."""
    job = case.job
    if job is None or not job.suspended:
        return None
    over = queue.preempted(job, case.pods, case.seen.queue_message, case.now)
    record = records.running_attempt(case.status)
    if job.doomed:  # once re-admitted it would only fail; another Job queues up at once
        counted = record is not None and record.suspend_time is not None
        return attempt_over(case, replace(over, outcome="Suspended") if counted else over)
    if records.running_from(case.status) is None:
        return Plan(Queued(queue.problem(case.seen.queue_message)), requeue_after=LOOK_AGAIN)
    verdict = retry.after(over, case.spec.retry, case.status, case.now)
    if isinstance(verdict, Finished) or case.status.stop is not None:
        return attempt_over(case, over)
    return Plan(Preempted(over), tuple(logs(case, case.pods)), again=True)


def enforce_deadline(case: Case) -> Plan | None:
    """Make sure that a run doesn't run longer than ``activeDeadlineSeconds``, all attempts together."""
    left = case.deadline_left
    if case.job is None or left is None or left > 0:
        return None
    limit = case.spec.active_deadline_seconds
    message = f"the run was active for longer than activeDeadlineSeconds: {limit}"
    over = Ended("Failure", "DeadlineExceeded", message, case.now)
    return finished(case, Finished("Failed", "DeadlineExceeded", message, over))


def give_up_lost_nodes(case: Case) -> Plan | None:
    """Make sure that the nodes of a gang do not wait for one that is lost."""
    lost, _ = node_loss.overdue(case.pods, case.spec.retry.node_lost_timeout_seconds, case.now)
    if not lost:
        return None
    told = node_loss.told(lost[0])
    return attempt_over(case, Ended("Disruption", told.reason, told.message, case.now, lost[0]))


def let_go_of_half_a_gang(case: Case) -> Plan | None:
    """Make sure that no gang holds a part of its nodes for ever while others hold the rest."""
    since = gang.split_since(case.pods, case.spec.num_nodes)
    if since is None or since + timedelta(seconds=case.spec.gang_timeout_seconds) > case.now:
        return None
    message = gang.told(case.pods, case.spec.num_nodes)
    over = Ended("Disruption", "PartiallyScheduled", message, case.now)
    return attempt_over(case, over, spread=gang.spread(case.run.metadata.uid, case.attempt))


def finish(case: Case) -> Plan | None:
    """Make sure that a run which was asked to finish does so in time."""
    under_way = case.status.stop
    if under_way is None or stop.ends_at(case.spec, under_way) > case.now:
        return None
    reason, message = stop.told(under_way), under_way.message or "stopped"
    return finished(case, Finished("Succeeded", reason, message, Ended("Stopped", reason, message, case.now)))


def end_silence(case: Case) -> Plan | None:
    """Make sure that a run which logs nothing any more does not hold its nodes, where ``inactivity`` says so."""
    wanted = case.spec.inactivity
    if wanted is None or wanted.action == "Event" or (message := _silent(case)) is None:
        return None
    over = Ended("Failure", "NoProgress", message, case.now, next(iter(case.pods), None))
    if wanted.action == "Restart":
        return attempt_over(case, over)
    return finished(case, Finished("Failed", "NoProgress", f"attempt {case.attempt}: {message}", over))


def _silent(case: Case) -> str | None:
    """Say that nothing was heard for too long; None while that is not known for sure."""
    silence = case.silence
    if silence is None or silence.left > 0 or case.seen.last_line is None:
        return None
    wanted = case.spec.inactivity
    assert wanted is not None  # noqa: S101  # without it there is no silence; narrows the type
    return f"no new metric or step and no log line for {wanted.timeout_seconds} s (inactivity.timeoutSeconds)"


def stop_early(case: Case) -> Plan | None:
    """Make sure that a run which has learned what it can is finished."""
    wanted, watched = case.spec.early_stopping, case.spec.early_stopping_metric
    if wanted is None or watched is None or not case.seen.curve or case.status.stop is not None:
        return None
    metric, direction = watched
    why = early_stopping.verdict(wanted, metric, direction, case.seen.curve)
    return Plan(Stopping("Finish", stop.EARLY, why[:1024]), again=True) if why else None


def follow(case: Case) -> Plan | None:
    """Make sure that a live run is followed, that MLflow has its parameters and tags, and its pods know of a stop."""
    actions: list[Action] = []
    if case.run_id and case.seen.server:
        actions.append(Follow(case.run_id))
        if (tracked := case.seen.tracked) is not None and not tracked.deleted:
            missing = {k: v for k, v in records.parameters(case.spec).items() if k not in tracked.params}
            if missing:
                actions.append(LogParams(case.run_id, missing))
            wanted = records.changing_tags(case.run)
            changed = {k: v for k, v in wanted.items() if tracked.tags.get(k) != v}
            if changed:
                actions.append(SetTags(case.run_id, changed))
    remark = None
    if (under_way := case.status.stop) is not None:
        asleep = tuple(p.name for p in case.pods if not p.over and not p.deleting and not p.stop_raised)
        if asleep:
            actions.append(RaiseStop(asleep, under_way.message or under_way.reason))
        remark = Problem("Stopping", under_way.message or under_way.reason)
    elif (silent := _silent(case)) is not None:
        remark = Problem("NoProgress", silent)
    return Plan(Live(remark), tuple(actions), requeue_after=_next_clock(case))


def _next_clock(case: Case) -> float | None:
    """Seconds until a clock of the attempt strikes."""
    retry_spec, silence = case.spec.retry, case.silence
    quiet = None
    if silence is not None:
        quiet = silence.left if silence.left > 0 else LOOK_AGAIN
    _, lost = node_loss.overdue(case.pods, retry_spec.node_lost_timeout_seconds, case.now)
    split = gang.split_since(case.pods, case.spec.num_nodes)
    together = (split - case.now).total_seconds() + case.spec.gang_timeout_seconds if split is not None else None
    under_way = case.status.stop
    through = (stop.ends_at(case.spec, under_way) - case.now).total_seconds() if under_way is not None else None
    publish = case.seen.publish_in if case.seen.publish_in > 0 else None
    return soonest(case.deadline_left, publish, quiet, lost, together, through)
