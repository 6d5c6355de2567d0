"""The parts of a job's page."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.jobs.screens.job_state import JobPageState
from novapulse.jobs.screens.parts import fact, job_badge, quiet, traceback
from novapulse.ui.components import section, trace
from novapulse.ui.parts import page_link, time_ago


def why_not_running() -> rx.Component:
    """What keeps the job from running, and when it may begin."""
    why = JobPageState.why
    return section(
        "Why is it not running?",
        rx.el.ol(
            rx.foreach(why["reasons"].to(list[dict[str, Any]]), _reason),
            class_name="np-says",
            custom_attrs={"data-testid": "why-reasons"},
        ),
        rx.text(
            rx.cond(
                why["estimate"] != "",
                rx.fragment(rx.el.b("It may begin in about ", why["estimate"].to(str), ". "), why["basis"].to(str)),
                rx.fragment(rx.el.b("When it begins is not known. "), why["basis"].to(str)),
            ),
            size="2",
            custom_attrs={"data-testid": "why-estimate"},
        ),
    )


def _reason(reason: Any) -> rx.Component:
    ids = reason["ids"].to(list[str])
    return rx.el.li(
        reason["text"].to(str),
        rx.cond(
            ids.length() > 0,
            rx.el.span(
                " Among them ",
                rx.foreach(
                    ids,
                    lambda id_: page_link("…" + id_[-8:], to="/jobs/" + id_, class_name="np-link np-mono np-apart"),
                ),
            ),
        ),
        custom_attrs={"data-testid": "why-" + reason["code"].to(str)},
    )


def facts(job: Any) -> rx.Component:
    """What it is, whose, and where."""
    link = {"class_name": "np-link"}
    return rx.el.dl(
        fact("Queue", page_link(job["queue"].to(str), to="/jobs/list?queue=" + job["queue"].to(str), **link)),
        fact("Made", time_ago(at=job["created"].to(str))),
        fact("Made by", job["by"].to(str)),
        fact("Attempts", job["attempts"].to(str)),
        fact("Priority", job["priority"].to(str)),
        fact("Waited", job["wait"].to(str)),
        fact("Ran", job["run"].to(str)),
        fact("Time limit", job["timeout"].to(str)),
        _if(job["next"], "Not before", time_ago(at=job["next"].to(str), due=True)),
        _if(job["finished"], "Ended", time_ago(at=job["finished"].to(str))),
        _if(job["worker"], "Worker", page_link(job["worker"].to(str), to="/jobs/workers", **link)),
        _if(job["crashes"], "Crashed workers", job["crashes"].to(str)),
        _if(job["tenant"], "Tenant", job["tenant"].to(str)),
        _if(job["webhook"], "Webhook", page_link("Its page", to="/webhooks/" + job["webhook"].to(str), **link)),
        _if(
            job["webhook"],
            "Delivery",
            page_link(
                "Request and response",
                to="/webhooks/" + job["webhook"].to(str) + "?delivery=" + job["id"].to(str),
                **link,
                custom_attrs={"data-testid": "job-delivery"},
            ),
        ),
        _if(job["key"], "Unique key", rx.el.code(job["key"].to(str), class_name="np-mono")),
        _if(
            job["schedule"],
            "Schedule",
            page_link("Jobs of it", to="/jobs/list?schedule=" + job["schedule"].to(str), **link),
        ),
        _if(
            job["parent"],
            "Belongs to",
            rx.cond(
                job["parent_is_job"].to(bool),
                page_link(job["parent"].to(str), to="/jobs/" + job["parent"].to(str), **link),
                rx.el.code(job["parent"].to(str), class_name="np-mono"),
            ),
        ),
        _if(
            job["children"],
            "Its jobs",
            page_link(job["children"].to(str), to="/jobs/list?parent=" + job["id"].to(str), **link),
        ),
        rx.cond(
            job["trace"] != "",
            fact("Trace", trace(job["trace"].to(str), job["trace_href"].to(str)), across=True),
        ),
        class_name="np-facts np-num",
    )


def _if(known: Any, label: str, *value: Any) -> rx.Component:
    return rx.cond(known != "", fact(label, *value))


def timeline() -> rx.Component:
    """What happened to it, oldest first."""
    return rx.el.ol(
        rx.foreach(
            JobPageState.timeline,
            lambda moment: rx.el.li(
                rx.flex(
                    rx.text(moment["what"].to(str).capitalize(), size="2", weight="medium"),
                    rx.spacer(),
                    quiet(time_ago(at=moment["at"])),
                    gap="10px",
                    align="baseline",
                ),
                rx.cond(moment["detail"] != "", quiet(moment["detail"], overflow_wrap="anywhere")),
                custom_attrs={"data-status": moment["what"], "data-testid": "job-moment"},
            ),
        ),
        class_name="np-timeline np-timeline-tight",
    )


def attempts() -> rx.Component:
    """Each attempt, the newest first."""
    return rx.cond(
        JobPageState.attempts.length() == 0,
        quiet("None yet.", size="2"),
        rx.el.ol(rx.foreach(JobPageState.attempts, _attempt), class_name="np-timeline np-timeline-tight"),
    )


def _attempt(a: Any) -> rx.Component:
    return rx.el.li(
        rx.flex(
            rx.text("#" + a["number"], weight="bold", size="2"),
            job_badge(a["state"]),
            quiet(a["took"]),
            rx.spacer(),
            quiet(time_ago(at=a["at"])),
            gap="10px",
            align="center",
            wrap="wrap",
        ),
        rx.cond(a["worker"] != "", quiet("on ", a["worker"], class_name="np-cut", margin_top="2px")),
        rx.cond(
            a["error"] != "",
            rx.text(a["error"], size="2", color="var(--red-11)", margin_top="4px", overflow_wrap="anywhere"),
        ),
        rx.cond(
            a["traceback"] != "",
            rx.el.details(rx.el.summary("Traceback"), traceback(text=a["traceback"]), class_name="np-fold-out"),
        ),
        class_name="np-num",
        custom_attrs={"data-testid": "job-attempt", "data-status": a["state"]},
    )


def logs() -> rx.Component:
    """What it wrote about itself, oldest first."""
    return rx.cond(
        JobPageState.logs.length() == 0,
        quiet("It has written nothing.", size="2"),
        rx.el.ol(
            rx.foreach(
                JobPageState.logs,
                lambda each: rx.el.li(
                    quiet(time_ago(at=each["at"]), white_space="nowrap"),
                    quiet("#" + each["attempt"], title="The attempt that wrote it"),
                    rx.el.span(each["line"]),
                    custom_attrs={"data-level": each["level"], "data-testid": "job-log"},
                ),
            ),
            class_name="np-log np-num",
            tab_index=0,
            aria_label="Log",
        ),
    )
