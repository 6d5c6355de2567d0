// Small parts of the pages about jobs that live in the browser alone.
import { useEffect, useRef, useState } from "react";
import { Button } from "@radix-ui/themes";

// What can be taken back, for as long as it can: the seconds count down, then it goes.
export function Undo({ text, until, onUndo }) {
  const end = Date.parse(until);
  const [now, tick] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => tick(Date.now()), 250);
    return () => clearInterval(timer);
  }, []);
  const left = Math.ceil((end - now) / 1000);
  if (!until || !(left > 0)) return null;
  return (
    <div className="np-undo np-num" role="status" data-testid="undo">
      <span>{text}</span>
      <Button size="1" variant="soft" onClick={() => onUndo()} data-testid="undo-now">
        Undo
      </Button>
      <small aria-hidden="true">{left} s</small>
    </div>
  );
}

const FRAME = /^\s+File "(.+)", line (\d+), in (.+)$/;
const FOREIGN = /site-packages|[\\/]lib[\\/]python\d|^<frozen/;

// A traceback of Python: where it was is easy to find, code of others steps back, the last line says what went wrong.
export function Traceback({ text }) {
  const lines = text.replace(/\n+$/, "").split("\n").filter((line) => !/^\s*[\^~]+\s*$/.test(line));
  let foreign = false;
  const last = lines.length - 1;
  return (
    <pre className="np-pre np-trace" tabIndex={0} data-testid="job-traceback">
      {lines.map((line, at) => {
        const frame = FRAME.exec(line);
        if (frame) {
          foreign = FOREIGN.test(frame[1]);
          return (
            <span key={at} data-kind={foreign ? "foreign" : "frame"}>
              {"  "}
              <b>{frame[1]}</b>:{frame[2]} in <em>{frame[3]}</em>
              {"\n"}
            </span>
          );
        }
        const kind = at === last || /^\S*(Error|Exception|Interrupt)\b/.test(line) ? "error" : /^\s/.test(line) ? (foreign ? "foreign" : "code") : "plain";
        return (
          <span key={at} data-kind={kind}>
            {line}
            {"\n"}
          </span>
        );
      })}
    </pre>
  );
}

// A table whose rows are picked by a box: with Shift, all between this one and the one before.
export function Picks({ onPick, children }) {
  const here = useRef(null);
  const before = useRef(-1);
  const shift = useRef(false);
  const boxes = () => [...here.current.querySelectorAll("[data-pick]")];
  const down = (event) => {
    shift.current = event.shiftKey;
  };
  const click = (event) => {
    const box = event.target.closest("[data-pick]");
    if (!box) return;
    const all = boxes();
    const at = all.indexOf(box);
    const on = box.getAttribute("data-state") !== "checked";
    const from = shift.current && before.current >= 0 ? Math.min(before.current, at) : at;
    const to = shift.current && before.current >= 0 ? Math.max(before.current, at) : at;
    before.current = at;
    onPick(all.slice(from, to + 1).map((each) => each.getAttribute("data-pick")), on);
  };
  return (
    <div ref={here} onMouseDownCapture={down} onKeyDownCapture={down} onClick={click}>
      {children}
    </div>
  );
}
