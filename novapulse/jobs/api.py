"""`/jobs`, `/queue/{name}/pause` and its like, and `/workers`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import parse_rfc3339, rfc3339
from novapulse.core.errors import InvalidError
from novapulse.core.http import ApiRoute
from novapulse.core.pagination import LIMIT_DEFAULT, LIMIT_MAX
from novapulse.core.runtime import Runtime, current
from novapulse.jobs import bulk, failures, modes, service
from novapulse.jobs.schemas import (
    BulkAccepted,
    BulkIn,
    Failures,
    JobDetail,
    JobIn,
    JobPage,
    JobView,
    NoteIn,
    PinIn,
    Preview,
    PreviewIn,
    QueueModeView,
    QueueNameIn,
    State,
    TaskView,
)
from novapulse.jobs.workers import WorkersView, list_workers
from novapulse.security.policy import needs

router = APIRouter(route_class=ApiRoute, tags=["Jobs"])
Rt = Annotated[Runtime, Depends(current)]
ReadsJobs = Annotated[Actor, needs(Permission.JOBS_READ)]
ChangesJobs = Annotated[Actor, needs(Permission.JOBS_WRITE)]
Id = Annotated[str, Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
Cursor = Annotated[str | None, Query(max_length=256)]
Words = Annotated[str | None, Query(min_length=1, max_length=200)]
_Time = Annotated[str | None, Query(max_length=40, description="An RFC 3339 time.")]


def _since(since: _Time = None) -> int | None:
    return _ms("/since", since)


def _until(until: _Time = None) -> int | None:
    return _ms("/until", until)


def _ms(pointer: str, value: str | None) -> int | None:
    try:
        return None if value is None else parse_rfc3339(value)
    except (ValueError, OverflowError):
        raise InvalidError.at(pointer, "must be an RFC 3339 time such as 2026-11-23T12:00:00Z") from None


def _mode(said: modes.QueueMode) -> QueueModeView:
    return QueueModeView(
        name=said.name,
        mode=said.mode,
        note=said.note,
        changed_by=said.changed_by,
        changed_at=rfc3339(said.changed_at),
    )


Since = Annotated[int | None, Depends(_since)]
Until = Annotated[int | None, Depends(_until)]


@router.get("/jobs")
async def list_jobs(
    rt: Rt,
    actor: ReadsJobs,
    queue: QueueNameIn | None = None,
    state: State | None = None,
    task: Words = None,
    q: Words = None,
    fingerprint: Words = None,
    schedule_id: Words = None,
    parent_id: Words = None,
    pinned: bool | None = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> JobPage:
    """Jobs, newest first; with `deliveries:read` also deliveries, which are the jobs of queue `webhook`.

    `q` is an id, or text in task, payload or unique key. A search looks at a bounded number of jobs per page.
    """
    return await service.list_jobs(
        rt,
        actor,
        queue=queue,
        state=state,
        task=task,
        q=q,
        fingerprint=fingerprint,
        schedule_id=schedule_id,
        parent_id=parent_id,
        pinned=pinned,
        since=since,
        until=until,
        limit=limit,
        cursor=cursor,
    )


@router.post("/jobs", status_code=202)
async def create_job(rt: Rt, actor: ChangesJobs, body: JobIn) -> JobView:
    """Make a job; it is on disk when the answer comes."""
    return await service.create_job(rt, actor, body)


@router.get("/jobs/tasks")
async def list_tasks(actor: ReadsJobs) -> dict[str, list[TaskView]]:
    """The kinds of jobs there are, with the JSON Schemas of their payloads."""
    return {"data": service.list_tasks(actor)}


@router.get("/jobs/failures")
async def list_failures(
    rt: Rt,
    actor: ReadsJobs,
    queue: QueueNameIn | None = None,
    task: Words = None,
    since: Since = None,
    limit: Limit = LIMIT_DEFAULT,
) -> Failures:
    """Jobs and deliveries that failed, by what they have in common, the most frequent first."""
    return await failures.list_failures(rt, actor, queue=queue, task=task, since=since, limit=limit)


@router.post("/jobs/bulk", status_code=202)
async def start_bulk(rt: Rt, actor: ChangesJobs, body: BulkIn) -> BulkAccepted:
    """Retry, cancel or discard all jobs that a filter finds, by a job: `GET /jobs/{job_id}` shows how far it is.

    A discard begins after ten seconds, until which cancelling its job takes it back. A cancel begins at once:
    `POST /jobs/{job_id}/undo` takes it back, while it goes on and for ten seconds after.
    """
    return await bulk.start_bulk(rt, actor, body)


@router.post("/jobs/bulk/preview")
async def preview_bulk(rt: Rt, actor: ReadsJobs, body: PreviewIn) -> Preview:
    """What a bulk action would touch, and what it would repeat. Changes nothing."""
    return await bulk.preview_bulk(rt, actor, body)


@router.get("/jobs/{id}")
async def get_job(rt: Rt, actor: ReadsJobs, id: Id) -> JobDetail:
    """One job, or delivery: payload, result, error, attempts, timeline and logs."""
    return await service.get_job(rt, actor, id)


@router.post("/jobs/{id}/retry", status_code=202)
async def retry_job(rt: Rt, actor: ChangesJobs, id: Id) -> JobView:
    """Run now: a delayed job without waiting on, an ended one once more."""
    return await service.retry_job(rt, actor, id)


@router.post("/jobs/{id}/cancel")
async def cancel_job(rt: Rt, actor: ChangesJobs, id: Id) -> JobView:
    """Call off a job that waits (`/undo` takes that back within ten seconds), or have a running one stopped."""
    return await service.cancel_job(rt, actor, id)


@router.post("/jobs/{id}/discard")
async def discard_job(rt: Rt, actor: ChangesJobs, id: Id) -> JobView:
    """Have a job leave in ten seconds, unless `/undo` takes that back."""
    return await service.discard_job(rt, actor, id)


@router.post("/jobs/{id}/undo")
async def undo_job(rt: Rt, actor: ChangesJobs, id: Id) -> JobView:
    """Take back a cancel or a discard of the last ten seconds; of a bulk cancel, the job that takes all of it back."""
    return await service.undo_job(rt, actor, id)


@router.post("/jobs/{id}/pin")
async def pin_job(rt: Rt, actor: ChangesJobs, id: Id, body: PinIn | None = None) -> JobView:
    """Keep a job beyond its time, or no longer."""
    return await service.pin_job(rt, actor, id, (body or PinIn()).pinned)


@router.post("/queue/{name}/pause")
async def pause_queue(rt: Rt, actor: ChangesJobs, name: Id, body: NoteIn | None = None) -> QueueModeView:
    """Begin nothing new on any worker, within a second; what runs finishes."""
    return _mode(await modes.pause(rt, actor, name, (body or NoteIn()).note))


@router.post("/queue/{name}/resume")
async def resume_queue(rt: Rt, actor: ChangesJobs, name: Id, body: NoteIn | None = None) -> QueueModeView:
    """Go on."""
    return _mode(await modes.resume(rt, actor, name, (body or NoteIn()).note))


@router.post("/queue/{name}/drain")
async def drain_queue(rt: Rt, actor: ChangesJobs, name: Id, body: NoteIn | None = None) -> QueueModeView:
    """Work off what was made so far, then pause."""
    return _mode(await modes.drain(rt, actor, name, (body or NoteIn()).note))


@router.get("/workers")
async def get_workers(rt: Rt, actor: ReadsJobs) -> WorkersView:
    """The workers that are alive, and what each is doing."""
    return await list_workers(rt, actor)
