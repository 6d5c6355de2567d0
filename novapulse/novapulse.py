"""The Reflex app: pages, the API and the gate around them, and what runs as long as the web process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import reflex as rx
from reflex_base import otel

from novapulse.api import make_api
from novapulse.core import logging, tracing
from novapulse.core.http import RequestId
from novapulse.core.lifecycle import Lifecycle
from novapulse.core.runtime import open_runtime
from novapulse.jobs.screens.board_page import board_page
from novapulse.jobs.screens.chart_state import QueueChartState
from novapulse.jobs.screens.failures_page import failures_page
from novapulse.jobs.screens.failures_state import FailuresState
from novapulse.jobs.screens.history_page import history_page
from novapulse.jobs.screens.history_state import HistoryState
from novapulse.jobs.screens.job_page import job_page
from novapulse.jobs.screens.job_state import JobPageState
from novapulse.jobs.screens.list_page import list_page
from novapulse.jobs.screens.list_state import JobsState
from novapulse.jobs.screens.schedules_page import schedules_page
from novapulse.jobs.screens.schedules_state import SchedulesState
from novapulse.jobs.screens.workers_page import workers_page
from novapulse.jobs.screens.workers_state import WorkersState
from novapulse.launch.configuration import load_settings
from novapulse.launch.frontend import frontend_dir
from novapulse.live.broadcast import Broadcaster
from novapulse.mail.screens.page import mail_page
from novapulse.mail.screens.state import MailState
from novapulse.mail.screens.templates_page import template_page, templates_page
from novapulse.mail.screens.templates_state import TemplatesState
from novapulse.metrics.http import CountRequests
from novapulse.metrics.keeper import Keeper
from novapulse.overview.page import overview_page
from novapulse.overview.state import OverviewState
from novapulse.reports.screens.page import reports_page
from novapulse.reports.screens.state import ReportsState
from novapulse.security import sessions
from novapulse.security.access_log import AccessLog
from novapulse.security.csp import page_policy
from novapulse.security.gate import Gate
from novapulse.security.handlers import DefaultDeny
from novapulse.security.screens.audit_page import audit_page
from novapulse.security.screens.audit_state import AuditState
from novapulse.security.screens.keys_page import keys_page
from novapulse.security.screens.keys_state import KeysState
from novapulse.security.screens.policy_map_page import policy_map_page
from novapulse.security.screens.policy_map_state import PolicyMapState
from novapulse.security.screens.security_page import enrol_page, security_page
from novapulse.security.screens.team_page import team_page
from novapulse.security.uses import Uses
from novapulse.tasks import load_all_tasks
from novapulse.ui.connection import connection_notice
from novapulse.ui.says import notes
from novapulse.ui.shell import EARLY_SCRIPT
from novapulse.ui.tokens import STYLESHEETS, theme
from novapulse.webhooks.screens.detail_page import webhook_page
from novapulse.webhooks.screens.detail_state import DetailState
from novapulse.webhooks.screens.form_page import edit_page, new_page
from novapulse.webhooks.screens.list_page import webhooks_page
from novapulse.webhooks.screens.list_state import ListState
from novapulse.workflows.screens.detail_page import new_workflow_page, workflow_page
from novapulse.workflows.screens.detail_state import WorkflowState
from novapulse.workflows.screens.list_page import workflows_page
from novapulse.workflows.screens.list_state import WorkflowsState
from novapulse.workflows.screens.run_page import run_page
from novapulse.workflows.screens.run_state import RunState
from worker.enqueue import make_enqueue

_settings = load_settings()
load_all_tasks(_settings)


@asynccontextmanager
async def _lifespan() -> AsyncGenerator[None]:
    logging.configure(_settings, "web")
    tracing.setup(_settings, "web")
    if tracing.active is not None:
        otel.enable(tracing.active.provider())  # Reflex makes a span of each event of a page
    enqueue = make_enqueue(_settings)
    rt = open_runtime(_settings, enqueue)
    rt.part(Keeper).start("web", told_by_others=False)
    tasks = [
        asyncio.create_task(work)
        for work in (Broadcaster(rt, app).run(), sessions.follow_changes(rt), rt.part(Uses).run())
    ]
    rt.part(Lifecycle).ready()
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await enqueue.close()
        await rt.close()
        await tracing.shutdown(_settings.shutdown_timeout_s / 5)


_connection_notice = rx.memo(connection_notice)

app = rx.App(
    theme=theme(),
    stylesheets=STYLESHEETS,
    api_transformer=[
        make_api(_settings),
        partial(Gate, page_policy=page_policy(frontend_dir())),
        partial(RequestId, told=AccessLog(_settings)),
        CountRequests,
    ],
    html_lang="en",
    toaster=notes(),
    head_components=[rx.el.link(rel="icon", href="/logo.svg"), rx.el.script(EARLY_SCRIPT)],
)
# In place of Reflex's own notices, which show internal addresses.
app.app_wraps[5, "Overlay"] = lambda stateful: rx.fragment(_connection_notice()) if stateful else None
app.add_middleware(DefaultDeny())
app.register_lifespan_task(_lifespan)

app.add_page(overview_page, route="/", title="Overview · NovaPulse", on_load=OverviewState.load)
app.add_page(webhooks_page, route="/webhooks", title="Webhooks · NovaPulse", on_load=ListState.load)
app.add_page(new_page, route="/webhooks/new", title="New webhook · NovaPulse")
app.add_page(webhook_page, route="/webhooks/[webhook_id]", title="Webhook · NovaPulse", on_load=DetailState.load)
app.add_page(edit_page, route="/webhooks/[webhook_id]/edit", title="Edit webhook · NovaPulse")
app.add_page(reports_page, route="/reports", title="Reports · NovaPulse", on_load=ReportsState.load)
app.add_page(mail_page, route="/mail", title="Mail · NovaPulse", on_load=MailState.load)
app.add_page(templates_page, route="/mail/templates", title="Templates · NovaPulse", on_load=TemplatesState.load)
app.add_page(
    template_page, route="/mail/templates/edit", title="Template · NovaPulse", on_load=TemplatesState.load_form
)
app.add_page(workflows_page, route="/workflows", title="Workflows · NovaPulse", on_load=WorkflowsState.load)
app.add_page(
    new_workflow_page, route="/workflows/new", title="New workflow · NovaPulse", on_load=WorkflowState.load_new
)
app.add_page(run_page, route="/workflows/runs/[run_id]", title="Run · NovaPulse", on_load=RunState.load)
app.add_page(workflow_page, route="/workflows/[workflow_id]", title="Workflow · NovaPulse", on_load=WorkflowState.load)
app.add_page(board_page, route="/jobs", title="Jobs · NovaPulse", on_load=QueueChartState.load)
app.add_page(list_page, route="/jobs/list", title="Jobs · NovaPulse", on_load=JobsState.load)
app.add_page(failures_page, route="/jobs/failures", title="Failures · NovaPulse", on_load=FailuresState.load)
app.add_page(schedules_page, route="/jobs/schedules", title="Schedules · NovaPulse", on_load=SchedulesState.load)
app.add_page(workers_page, route="/jobs/workers", title="Workers · NovaPulse", on_load=WorkersState.load)
app.add_page(history_page, route="/jobs/history", title="History · NovaPulse", on_load=HistoryState.load)
app.add_page(job_page, route="/jobs/[job_id]", title="Job · NovaPulse", on_load=JobPageState.load)
app.add_page(team_page, route="/settings/team", title="Team · NovaPulse")
app.add_page(keys_page, route="/settings/api-keys", title="API keys · NovaPulse", on_load=KeysState.load)
app.add_page(audit_page, route="/settings/audit", title="Audit log · NovaPulse", on_load=AuditState.load)
app.add_page(policy_map_page, route="/settings/policies", title="Policy map · NovaPulse", on_load=PolicyMapState.load)
app.add_page(security_page, route="/settings/security", title="Security · NovaPulse")
app.add_page(enrol_page, route="/settings/security/enrol", title="Set up a second factor · NovaPulse")
