// Small parts that live in the browser alone: what they hold never becomes state on the server.
import { useEffect, useRef, useState } from "react";

const EVERY_MS = 500; // with the way to and from the server, what happens is still on the screen within a second

// Calls `onChange` when `value` changes, at most twice a second.
export function Watch({ value, onChange }) {
  const seen = useRef(value);
  const called = useRef(0);
  useEffect(() => {
    if (value === seen.current) return undefined;
    const wait = Math.max(0, EVERY_MS - (Date.now() - called.current));
    const timer = setTimeout(() => {
      seen.current = value;
      called.current = Date.now();
      onChange();
    }, wait);
    return () => clearTimeout(timer);
  }, [value]);
  return null;
}

// Past what each page begins with. Not a router's link: to that the fragment would be another page.
export function SkipLink() {
  const skip = (event) => {
    event.preventDefault();
    document.getElementById("content")?.focus();
  };
  return (
    <a href="#content" className="np-skip" onClick={skip} data-testid="skip-link">
      Skip to content
    </a>
  );
}

// Inside a panel that nothing on the page is the trigger of: when it closes, the focus is where it was before.
export function ReturnFocus() {
  useEffect(() => {
    const before = document.activeElement;
    return () => setTimeout(() => before?.isConnected && before.focus({ preventScroll: true }));
  }, []);
  return null;
}

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

// A span of time as people say it: its largest unit.
export function spoken(seconds) {
  const [unit, size] = UNITS.find(([, each]) => seconds >= each) ?? UNITS[3];
  return `${Math.floor(seconds / size)} ${unit}`;
}

function relative(at, due) {
  const seconds = Math.round((Date.now() - at) / 1000);
  const away = Math.abs(seconds);
  if (away < 2 || (due && seconds > 0)) return "now";
  return seconds < 0 ? `in ${spoken(away)}` : `${spoken(away)} ago`;
}

// A time relative to now, kept up to date; the exact one on hover, in the browser's zone. What was due is due now.
export function TimeAgo({ at, due = false }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  if (!at) return "–";
  const moment = Date.parse(at);
  return (
    <time dateTime={at} title={new Date(moment).toLocaleString()} className="np-num">
      {relative(moment, due)}
    </time>
  );
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers give the clipboard to secure origins only.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

export function CopyButton({ text, label = "Copy" }) {
  const [done, setDone] = useState(false);
  const copy = async (event) => {
    event.stopPropagation();
    event.preventDefault();
    await copyText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return (
    <button type="button" className="np-copy" onClick={copy} aria-label={`${label} to the clipboard`}>
      <span aria-hidden={done}>{label}</span>
      {done ? <span role="status">Copied</span> : null}
    </button>
  );
}
