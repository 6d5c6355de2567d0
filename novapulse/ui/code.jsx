// The field for the six digits of an authenticator, and the wait after too many wrong ones.
import { useEffect, useRef, useState } from "react";

const DIGITS = 6;

// One field, drawn as six: what is pasted, dictated or filled in by the browser fits as a whole. `onFull` is called with
// the sixth digit; a code that was refused is `wrong`, and the next key begins another.
export function CodeField({ id, value, onChange, onFull, wrong = false, describedBy, autoFocus = false, disabled = false, label }) {
  const field = useRef(null);
  const [focused, setFocused] = useState(false);
  useEffect(() => {
    if (autoFocus && !disabled) field.current?.focus();
  }, [autoFocus, disabled]);
  const change = (event) => {
    const digits = event.target.value.replace(/\D/g, "").slice(0, DIGITS);
    onChange(digits);
    if (digits.length === DIGITS && digits !== value) onFull?.(digits);
  };
  return (
    <div className="np-digits" data-focused={focused} data-wrong={wrong} data-disabled={disabled}>
      <input
        ref={field}
        id={id}
        type="text"
        inputMode="numeric"
        autoComplete="one-time-code"
        autoCorrect="off"
        spellCheck={false}
        value={value}
        onChange={change}
        onFocus={() => setFocused(true)}
        onBlur={() => setFocused(false)}
        // What is typed goes to the end, where the mark is.
        onSelect={(event) => event.target.setSelectionRange(event.target.value.length, event.target.value.length)}
        disabled={disabled}
        aria-label={label}
        aria-invalid={wrong}
        aria-describedby={describedBy}
        data-testid={id}
      />
      {Array.from({ length: DIGITS }, (_, at) => (
        <span key={at} aria-hidden="true" data-next={at === Math.min(value.length, DIGITS - 1)}>
          {value[at] ?? ""}
        </span>
      ))}
    </div>
  );
}

// Seconds until the next try is judged, counting down; 0: now.
export function useWait() {
  const [until, setUntil] = useState(0);
  const [, tick] = useState(0);
  const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
  useEffect(() => {
    if (!left) return undefined;
    const timer = setTimeout(() => tick((n) => n + 1), 1000);
    return () => clearTimeout(timer);
  });
  return [left, (seconds) => setUntil(Date.now() + seconds * 1000)];
}

// What was refused, said so that it is heard; while there is a wait, how long.
export function Refusal({ id, problem, wait = 0 }) {
  const text = wait ? `Too many tries. The next one is possible in ${clock(wait)}.` : problem;
  return (
    <p id={id} className="np-refusal" role="alert" data-testid={id}>
      {text}
    </p>
  );
}

function clock(seconds) {
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} min`;
}
