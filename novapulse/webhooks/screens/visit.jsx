// A visit of a page that is filled in: it begins when the page opens, not when a lost connection is found again.
import { useEffect, useMemo, useRef } from "react";
import { useLocation } from "react-router";

// Shows its first child until the server has prepared this visit, and from then on the second, whatever happens.
export function Visit({ visit, onEnter, children }) {
  const { pathname } = useLocation();
  const own = useMemo(() => Math.random().toString(36).slice(2), [pathname]);
  const entered = useRef(null);
  const prepared = visit === own;
  if (prepared) entered.current = own;
  useEffect(() => {
    if (!prepared) onEnter(own);
  }, [own, prepared]);
  return children[entered.current === own ? 1 : 0];
}

// In a form: when a server that was restarted has prepared the same visit anew, tells it again what a field holds.
export function TellAgain({ visit, field, onTell }) {
  const here = useRef(null);
  const told = useRef(false);
  useEffect(() => {
    if (!visit) return;
    if (told.current) onTell(here.current.closest("form").elements[field].value);
    told.current = true;
  }, [visit]);
  return <span ref={here} hidden />;
}

// What follows a form begins at its top, for the eye and for the keyboard.
export function FromTop() {
  useEffect(() => {
    window.scrollTo(0, 0);
    document.getElementById("content")?.focus({ preventScroll: true });
  }, []);
  return null;
}

// After a form was refused, the keyboard goes on at the first field that is wrong.
export function FocusWrong({ saves }) {
  const here = useRef(null);
  useEffect(() => {
    if (saves > 0) here.current.closest("form").querySelector("[aria-invalid=true]")?.focus();
  }, [saves]);
  return <span ref={here} hidden />;
}
