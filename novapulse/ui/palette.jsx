// Ctrl/Cmd-K: go to a page, find a webhook by name, URL or id, a delivery by its id or its event's, a job by id. `?`: the shortcuts.
import { useEffect, useRef, useState } from "react";
import { useNavigate } from "react-router";
import { Search } from "lucide-react";

const WAIT_MS = 160;
const TYPING = "input, textarea, select, [contenteditable=true]";
const DIALOGS = "dialog[open], [role=dialog], [role=alertdialog], [role=menu], [role=listbox]:not(#np-found)";

export function SearchButton() {
  return (
    <button
      type="button"
      className="np-search"
      onClick={() => window.dispatchEvent(new Event("np:palette"))}
      aria-label="Search, or go to a page"
      data-testid="palette-open"
    >
      <Search size={15} aria-hidden="true" />
      <span className="np-wide-only">Search</span>
      <kbd className="np-wide-only">Ctrl K</kbd>
    </button>
  );
}

async function read(path, signal) {
  const answer = await fetch(`/api/v1${path}`, { signal }).catch(() => null);
  return answer?.ok ? answer.json() : null;
}

function delivery({ id, event_type, status, webhook_id }) {
  return { label: event_type, note: `delivery, ${status}`, href: `/webhooks/${webhook_id}?delivery=${id}` };
}

async function lookUp(needle, signal) {
  if (/^dlv_[0-9a-f]{32}$/.test(needle)) {
    const found = await read(`/deliveries/${needle}`, signal);
    return found ? [delivery(found)] : [];
  }
  if (/^job_[0-9a-f]{32}$/.test(needle)) {
    const job = await read(`/jobs/${needle}`, signal);
    return job ? [{ label: job.task, note: `job, ${job.state}`, href: `/jobs/${job.id}` }] : [];
  }
  if (/^evt_[0-9a-f]{32}$/.test(needle)) {
    const page = await read(`/deliveries?limit=8&event_id=${needle}`, signal);
    return (page?.data ?? []).map(delivery);
  }
  if (needle.length < 2) return [];
  const page = await read(`/webhooks?limit=8&q=${encodeURIComponent(needle)}`, signal);
  return (page?.data ?? []).map((w) => ({ label: w.name || w.url, note: w.name ? w.url : w.status, href: `/webhooks/${w.id}` }));
}

export function Palette({ pages }) {
  const navigate = useNavigate();
  const dialog = useRef(null);
  const [open, setOpen] = useState(false);
  const [text, setText] = useState("");
  const [found, setFound] = useState({ needle: "", items: [] });
  const [chosen, setChosen] = useState(0);
  const needle = text.trim();

  useEffect(() => {
    const show = () => {
      setText("");
      setChosen(0);
      setOpen(true);
    };
    const onKey = (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        show();
      }
    };
    window.addEventListener("keydown", onKey);
    window.addEventListener("np:palette", show);
    return () => {
      window.removeEventListener("keydown", onKey);
      window.removeEventListener("np:palette", show);
    };
  }, []);
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  useEffect(() => {
    if (!open) return undefined;
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      const items = await lookUp(needle, stop.signal);
      if (!stop.signal.aborted) setFound({ needle, items });
    }, WAIT_MS);
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [needle, open]);

  const fitting = pages.filter((page) => page.label.toLowerCase().includes(needle.toLowerCase()));
  const items = [...fitting.map((page) => ({ ...page, note: "page" })), ...(needle ? found.items : [])];
  const at = Math.min(chosen, items.length - 1);
  const go = (item) => {
    setOpen(false);
    navigate(item.href);
  };
  const onKeyDown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !items.length) return;
    event.preventDefault();
    setChosen((at + step + items.length) % items.length);
  };
  const submit = (event) => {
    event.preventDefault();
    if (items.length) go(items[at]);
  };
  return (
    <dialog
      ref={dialog}
      className="np-palette"
      aria-label="Search"
      data-testid="palette"
      onClose={() => setOpen(false)}
      onClick={(event) => event.target === dialog.current && setOpen(false)}
    >
      <form onSubmit={submit}>
        <input
          autoFocus
          value={text}
          role="combobox"
          aria-expanded="true"
          aria-controls="np-found"
          aria-activedescendant={items.length ? `np-found-${at}` : undefined}
          aria-label="Search"
          placeholder="A page, a webhook’s name or URL, or an id"
          onKeyDown={onKeyDown}
          onChange={(event) => {
            setText(event.target.value);
            setChosen(0);
          }}
          data-testid="palette-input"
        />
        <ul id="np-found" role="listbox" aria-label="Found">
          {items.map((item, place) => (
            <li
              key={item.href}
              id={`np-found-${place}`}
              role="option"
              aria-selected={place === at}
              onMouseMove={() => setChosen(place)}
              onClick={() => go(item)}
              data-testid="palette-item"
            >
              <span className="np-cut">{item.label}</span>
              <span className="np-palette-note np-cut">{item.note}</span>
            </li>
          ))}
        </ul>
        {items.length ? null : (
          <p className="np-palette-none" role="status">
            {found.needle === needle ? "Nothing found." : "Looking…"}
          </p>
        )}
      </form>
    </dialog>
  );
}

// The keys that work everywhere, and the list of them.
export function Shortcuts({ pages }) {
  const navigate = useNavigate();
  const dialog = useRef(null);
  useEffect(() => {
    let wentAt = 0;
    const show = () => dialog.current?.showModal();
    const onKey = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest(TYPING)) return;
      if (document.querySelector(DIALOGS)) return;
      const page = Date.now() - wentAt < 1500 && pages.find((each) => each.key === event.key);
      wentAt = event.key === "g" ? Date.now() : 0;
      if (page) navigate(page.href);
      else if (event.key === "?") show();
      else if (event.key === "/") window.dispatchEvent(new Event("np:palette"));
      else if (event.key === "p") window.dispatchEvent(new Event("np:pause"));
      else if (event.key === "[") window.dispatchEvent(new Event("np:sidebar"));
      else if (event.key === "n") navigate("/webhooks/new");
      else return;
      event.preventDefault();
    };
    window.addEventListener("keydown", onKey);
    window.addEventListener("np:shortcuts", show);
    return () => {
      window.removeEventListener("keydown", onKey);
      window.removeEventListener("np:shortcuts", show);
    };
  }, []);
  const rows = [
    [["Ctrl", "K"], "Search, go to a page (also ⌘ K and /)"],
    ...pages.map((page) => [["g", page.key], `Go to ${page.label}`]),
    [["n"], "New webhook"],
    [["p"], "Pause or resume live changes"],
    [["["], "Narrow or widen the sidebar"],
    [["?"], "This list"],
    [["Esc"], "Close what is open"],
  ];
  return (
    <dialog ref={dialog} className="np-palette np-shortcuts" aria-labelledby="np-shortcuts" data-testid="shortcuts">
      <form method="dialog">
        <header>
          <h2 id="np-shortcuts">Keyboard shortcuts</h2>
          <button type="submit" className="np-copy">
            Close
          </button>
        </header>
      </form>
      <dl>
        {rows.map(([keys, text]) => (
          <div key={text}>
            <dt>{text}</dt>
            <dd>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </dialog>
  );
}
