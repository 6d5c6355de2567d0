// Small parts that live in the browser alone: what they hold never becomes state on the server.
import { createElement as h, useEffect, useRef, useState } from "react";

// Calls `onChange` when `value` changes, at most once a second.
export function Watch({ value, onChange }) {
  const seen = useRef(value);
  const called = useRef(0);
  useEffect(() => {
    if (value === seen.current) return undefined;
    const wait = Math.max(0, 1000 - (Date.now() - called.current));
    const timer = setTimeout(() => {
      seen.current = value;
      called.current = Date.now();
      onChange();
    }, wait);
    return () => clearTimeout(timer);
  }, [value]);
  return null;
}

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function relative(at) {
  const seconds = Math.round((Date.now() - at) / 1000);
  const away = Math.abs(seconds);
  if (away < 2) return "now";
  const [unit, size] = UNITS.find(([, each]) => away >= each);
  const text = `${Math.floor(away / size)} ${unit}`;
  return seconds < 0 ? `in ${text}` : `${text} ago`;
}

// A time relative to now, kept up to date; the exact one on hover, in the browser's zone.
export function TimeAgo({ at }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  if (!at) return "–";
  const moment = Date.parse(at);
  return h("time", { dateTime: at, title: new Date(moment).toLocaleString(), className: "np-num" }, relative(moment));
}

export function CopyButton({ text, label = "Copy" }) {
  const [done, setDone] = useState(false);
  const copy = async (event) => {
    event.stopPropagation();
    event.preventDefault();
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return h("button", { type: "button", className: "np-copy", onClick: copy, "aria-label": `${label} to the clipboard` }, done ? "Copied" : label);
}

// Shows and rotates a signing secret straight from the API, with the session's cookie.
export function SecretBox({ webhookId, open = false, canRotate = true }) {
  const [secret, setSecret] = useState(null);
  const [problem, setProblem] = useState("");
  const call = async (path, method) => {
    setProblem("");
    const answer = await fetch(`/api/v1/webhooks/${webhookId}/${path}`, {
      method,
      headers: method === "POST" ? { "Content-Type": "application/json" } : {},
      body: method === "POST" ? "{}" : undefined,
    }).catch(() => null);
    const body = answer ? await answer.json().catch(() => ({})) : {};
    if (answer?.ok) setSecret(body);
    else setProblem(body.detail ?? "NovaPulse does not answer. Try again.");
  };
  useEffect(() => {
    if (open && webhookId) call("secret", "GET");
  }, [open, webhookId]);
  const rotate = () => {
    if (window.confirm("Make a new secret? The old one goes on signing for 24 hours beside it.")) call("rotate-secret", "POST");
  };
  return h(
    "div",
    { className: "np-secret" },
    secret
      ? h("div", { className: "np-secret-line" }, h("code", { "data-testid": "secret-value" }, secret.secret), h(CopyButton, { text: secret.secret }))
      : h("div", { className: "np-secret-line" }, h("code", null, "whsec_" + "•".repeat(32))),
    secret?.previous?.length
      ? h("p", { className: "np-secret-note" }, `${secret.previous.length} earlier secret still signs, until `, h(TimeAgo, { at: secret.previous[0].expires_at }), ".")
      : null,
    problem ? h("p", { role: "alert", className: "np-secret-problem" }, problem) : null,
    h(
      "div",
      { className: "np-secret-acts" },
      secret ? null : h("button", { type: "button", className: "np-copy", onClick: () => call("secret", "GET"), "data-testid": "secret-reveal" }, "Reveal"),
      canRotate ? h("button", { type: "button", className: "np-copy", onClick: rotate, "data-testid": "secret-rotate" }, "Rotate") : null,
    ),
  );
}

// Signs out on the server, then leaves by a full navigation so that the socket goes too.
export function SignOut() {
  const leave = async () => {
    await fetch("/api/v1/auth/logout", { method: "POST" }).catch(() => null);
    window.location.assign("/login");
  };
  return h("button", { type: "button", className: "np-nav np-signout", onClick: leave, "data-testid": "sign-out" }, "Sign out");
}

// Ctrl/Cmd-K: go to a page, or to a webhook by id or to a delivery by id.
export function Palette({ pages }) {
  const [open, setOpen] = useState(false);
  const [text, setText] = useState("");
  const dialog = useRef(null);
  useEffect(() => {
    const onKey = (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        setText("");
        setOpen(true);
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  const go = async (target) => {
    setOpen(false);
    window.location.assign(target);
  };
  const needle = text.trim();
  const found = pages.filter((page) => page.label.toLowerCase().includes(needle.toLowerCase()));
  const items = [...found];
  if (/^wh_[0-9a-f]{32}$/.test(needle)) items.unshift({ label: `Open webhook ${needle}`, href: `/webhooks/${needle}` });
  const submit = async (event) => {
    event.preventDefault();
    if (/^dlv_[0-9a-f]{32}$/.test(needle)) {
      const answer = await fetch(`/api/v1/deliveries/${needle}`).catch(() => null);
      if (answer?.ok) go(`/webhooks/${(await answer.json()).webhook_id}?delivery=${needle}`);
    } else if (items.length) go(items[0].href);
    else if (needle) go(`/webhooks?q=${encodeURIComponent(needle)}`);
  };
  return h(
    "dialog",
    { ref: dialog, className: "np-palette", "aria-label": "Command palette", onClose: () => setOpen(false), "data-testid": "palette" },
    h(
      "form",
      { onSubmit: submit },
      h("input", { autoFocus: true, value: text, placeholder: "Go to a page, a webhook or delivery id, or search…", "aria-label": "Search", onChange: (event) => setText(event.target.value) }),
      h(
        "ul",
        null,
        items.map((item) => h("li", { key: item.href }, h("a", { href: item.href }, item.label))),
      ),
    ),
  );
}
