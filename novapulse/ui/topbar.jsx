// The top bar: whether what is shown is live, the theme, and who is signed in.
import { useContext, useEffect, useRef, useState } from "react";
import { DropdownMenu } from "@radix-ui/themes";
import { Circle, LogOut, Monitor, Moon, PanelLeft, Pause, Radio, Sun, WifiOff } from "lucide-react";
import { ColorModeContext } from "$/utils/context";
import { spoken } from "./parts.jsx";

const STALE_AFTER_S = 6; // a reading comes each second
const ASK_EVERY_MS = 5000; // whether there is a session still, while the connection is lost

let pausedByUser = false; // outlives a change of page; a reload begins live

// Live, reconnecting, waiting for data, or paused by the user; a click pauses and resumes.
export function LiveIndicator({ at, lost, onPause }) {
  const [paused, setPaused] = useState(pausedByUser);
  const [age, setAge] = useState(0);
  const fresh = useRef(Date.now());
  const wasLost = useRef(lost);
  useEffect(() => {
    fresh.current = Date.now();
    setAge(0);
  }, [at]);
  useEffect(() => {
    const timer = setInterval(() => setAge(Math.floor((Date.now() - fresh.current) / 1000)), 1000);
    return () => clearInterval(timer);
  }, []);
  useEffect(() => {
    // To the server a new connection is another one, and live.
    if (wasLost.current && !lost && pausedByUser) onPause(true);
    wasLost.current = lost;
  }, [lost]);
  useEffect(() => {
    if (!lost) return undefined;
    // A session that has ended gets no connection again: sign in, then come back to this page.
    const ask = async () => {
      if (signingOut) return;
      const answer = await fetch("/api/v1/auth/me").catch(() => null);
      if (answer?.status !== 401) return;
      const { pathname, search } = window.location;
      window.location.assign(`/login?next=${encodeURIComponent(pathname + search)}`);
    };
    ask();
    const timer = setInterval(ask, ASK_EVERY_MS);
    return () => clearInterval(timer);
  }, [lost]);
  const toggle = () => {
    pausedByUser = !pausedByUser;
    setPaused(pausedByUser);
    onPause(pausedByUser);
  };
  useEffect(() => {
    window.addEventListener("np:pause", toggle);
    return () => window.removeEventListener("np:pause", toggle);
  }, [onPause]);
  const old = age >= 2 ? ` · as of ${spoken(age)} ago` : "";
  const [state, Icon, text] = lost
    ? ["reconnecting", WifiOff, `Reconnecting${old}`]
    : paused
      ? ["paused", Pause, `Paused${old}`]
      : !at
        ? ["connecting", Circle, "Connecting"]
        : age >= STALE_AFTER_S
          ? ["stale", WifiOff, `Waiting for data${old}`]
          : ["live", Radio, "Live"];
  return (
    <button
      type="button"
      className="np-live"
      data-state={state}
      data-testid="live-indicator"
      aria-label={`${text}. ${paused ? "Resume" : "Pause"} live changes`}
      title={paused ? "Show changes as they happen again (p)" : "Hold the screens still (p)"}
      onClick={toggle}
    >
      <Icon size={14} aria-hidden="true" />
      <span>{text}</span>
    </button>
  );
}

// A menu of the top bar. It lies in the bar, a landmark, and leaves the page in reach: as a modal one it would hide from
// screen readers what one can still tab to.
function Menu({ trigger, children }) {
  const [bar, setBar] = useState(null);
  useEffect(() => setBar(document.querySelector(".np-top")), []);
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger>{trigger}</DropdownMenu.Trigger>
      <DropdownMenu.Content align="end" container={bar}>
        {children}
      </DropdownMenu.Content>
    </DropdownMenu.Root>
  );
}

const THEMES = [
  ["system", "Like the system", Monitor],
  ["light", "Light", Sun],
  ["dark", "Dark", Moon],
];

export function ThemeMenu() {
  const { rawColorMode, setColorMode } = useContext(ColorModeContext);
  const Icon = (THEMES.find(([name]) => name === rawColorMode) ?? THEMES[0])[2];
  return (
    <Menu
      trigger={
        <button type="button" className="np-icon" aria-label="Theme" title="Theme" data-testid="theme-switch">
          <Icon size={17} aria-hidden="true" />
        </button>
      }
    >
      <DropdownMenu.RadioGroup value={rawColorMode} onValueChange={setColorMode}>
        {THEMES.map(([name, label]) => (
          <DropdownMenu.RadioItem key={name} value={name} data-testid={`theme-${name}`}>
            {label}
          </DropdownMenu.RadioItem>
        ))}
      </DropdownMenu.RadioGroup>
    </Menu>
  );
}

let known = null; // who is signed in: asked once, not on each page

let signingOut = false; // the socket ends before the answer comes: that leads to the sign-in by itself

async function signOut() {
  signingOut = true;
  await fetch("/api/v1/auth/logout", { method: "POST" }).catch(() => null);
  window.location.assign("/login"); // a full navigation, so that the socket goes too
}

export function UserMenu() {
  const [user, setUser] = useState(known);
  useEffect(() => {
    if (known) return;
    fetch("/api/v1/auth/me")
      .then((answer) => (answer.ok ? answer.json() : null))
      .then((body) => {
        known = body?.user ?? null;
        setUser(known);
      })
      .catch(() => null);
  }, []);
  return (
    <Menu
      trigger={
        <button type="button" className="np-avatar" aria-label="Your account" data-testid="user-menu">
          {(user?.email ?? " ").slice(0, 1).toUpperCase()}
        </button>
      }
    >
      <div className="np-who">
        <strong data-testid="user-email">{user?.email ?? "…"}</strong>
        <span data-testid="user-role">{user ? user.role[0].toUpperCase() + user.role.slice(1) : "…"}</span>
      </div>
      <DropdownMenu.Separator />
      <DropdownMenu.Item onSelect={() => window.dispatchEvent(new Event("np:shortcuts"))} shortcut="?">
        Keyboard shortcuts
      </DropdownMenu.Item>
      <DropdownMenu.Item onSelect={signOut} data-testid="sign-out">
        <LogOut size={15} aria-hidden="true" /> Sign out
      </DropdownMenu.Item>
    </Menu>
  );
}

// Narrow or wide; kept by the browser, and set on the page before it is drawn.
export function SidebarToggle() {
  const root = () => document.documentElement;
  const [open, setOpen] = useState(true);
  useEffect(() => setOpen(root().dataset.sidebar !== "closed"), []);
  const toggle = () => {
    const next = root().dataset.sidebar === "closed";
    root().dataset.sidebar = next ? "open" : "closed";
    window.localStorage.setItem("np:sidebar", root().dataset.sidebar);
    setOpen(next);
  };
  useEffect(() => {
    window.addEventListener("np:sidebar", toggle);
    return () => window.removeEventListener("np:sidebar", toggle);
  }, []);
  return (
    <button
      type="button"
      className="np-icon np-wide-only"
      aria-label="Sidebar"
      aria-expanded={open}
      title={open ? "Narrow the sidebar ( [ )" : "Widen the sidebar ( [ )"}
      onClick={toggle}
      data-testid="sidebar-toggle"
    >
      <PanelLeft size={17} aria-hidden="true" />
    </button>
  );
}
