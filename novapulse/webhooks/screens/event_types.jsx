// Which events a webhook takes: patterns ticked in the tree of known types, or written.
import { useEffect, useId, useMemo, useRef, useState } from "react";
import { X } from "lucide-react";
import { Button, TextField } from "@radix-ui/themes";
import { Box, Tree, covers, matches } from "./event_tree.jsx";

const CALM_MS = 700; // of no typing, before anything is said to be wrong

function words(text) {
  return text.split(/[\s,]+/).filter(Boolean);
}

function count(number) {
  return number === 1 ? "1 known type" : `${number} known types`;
}

// `rule` is a regular expression for a type and `rules` says what a pattern is: both are the server's own.
export function EventTypes({ types, more, initial, rule, rules, longest, error, onForget }) {
  const [chosen, setChosen] = useState(initial);
  const [draft, setDraft] = useState("");
  const [problem, setProblem] = useState("");
  const swallowed = useRef({}); // pattern -> those it covers, which were chosen before it
  const id = useId();
  const valid = useMemo(() => {
    const fits = new RegExp(`^(?:${rule})$`);
    const isType = (name) => fits.test(name) && name.length <= longest;
    return (pattern) => pattern === "*" || isType(pattern.replace(/\.\*$/, ""));
  }, [rule, longest]);
  const known = types.map((type) => type.name);
  const offered = types.filter((type) => !type.archived || chosen.includes(type.name)).map((type) => type.name);
  const complete = words(draft).filter(valid);
  const wrong = words(draft).find((word) => !valid(word));
  const patterns = [...new Set([...chosen, ...words(draft)])]; // what is still written counts as well
  const taken = known.filter((name) => patterns.some((pattern) => matches(pattern, name)));
  const says = problem || error;

  const saysWrong = () => setProblem(wrong ? `“${wrong}” is no pattern: ${rules}.` : "");
  useEffect(() => {
    if (!wrong) return setProblem("");
    const timer = setTimeout(saysWrong, CALM_MS);
    return () => clearTimeout(timer);
  }, [draft]);

  const change = (next) => {
    setChosen([...new Set(next)]);
    onForget();
  };
  const pick = (pattern, on) => {
    if (!on) {
      change(chosen.flatMap((each) => (each === pattern ? (swallowed.current[pattern] ?? []) : [each])));
      return;
    }
    swallowed.current[pattern] = chosen.filter((each) => covers(pattern, each));
    change([...chosen.filter((each) => !covers(pattern, each)), pattern]);
  };
  // Takes over what is written; what is no pattern stays, to be mended.
  const add = () => {
    if (complete.length) change([...chosen, ...complete]);
    setDraft(words(draft).filter((word) => !valid(word)).join(" "));
    saysWrong();
  };

  return (
    <fieldset className="np-events" aria-describedby={says ? `${id}-says` : undefined}>
      <legend>Event types</legend>
      <Box pattern="*" chosen={chosen} onPick={pick}>
        Every event type <small>also those to come</small>
      </Box>
      {offered.length ? (
        <Tree names={offered} chosen={chosen} onPick={pick} />
      ) : (
        <p className="np-note">No event has come yet. Types appear here as they are sent; write those you expect below.</p>
      )}
      {more ? <p className="np-note">Only the first {known.length.toLocaleString()} types are listed.</p> : null}
      <label htmlFor={`${id}-draft`} className="np-label-2">
        Other pattern <small>optional</small>
      </label>
      <div className="np-add">
        <TextField.Root
          id={`${id}-draft`}
          value={draft}
          onChange={(event) => {
            setDraft(event.target.value);
            onForget();
          }}
          onBlur={saysWrong}
          onKeyDown={(event) => {
            if (event.key !== "Enter") return;
            event.preventDefault();
            add();
          }}
          placeholder="invoice.paid"
          autoComplete="off"
          autoCapitalize="off"
          spellCheck="false"
          aria-describedby={`${id}-hint`}
          aria-invalid={Boolean(says)}
          data-testid="webhook-event-types"
        />
        <Button type="button" variant="soft" onClick={add} disabled={!draft.trim()} data-testid="type-add">
          Add
        </Button>
      </div>
      <p id={`${id}-hint`} className="np-note">
        A type that was not seen yet, or <code>invoice.*</code> for all below <code>invoice.</code>
      </p>
      {says ? (
        <p id={`${id}-says`} role="alert" className="np-wrong" data-testid="error-event_types">
          {says}
        </p>
      ) : null}
      <Chosen {...{ chosen, known, taken, remove: (pattern) => change(chosen.filter((each) => each !== pattern)) }} />
      <input type="hidden" name="event_types" value={JSON.stringify(patterns)} />
    </fieldset>
  );
}

function Chosen({ chosen, known, taken, remove }) {
  return (
    <div className="np-chosen">
      <ul aria-label="Chosen patterns" data-testid="type-chosen">
        {chosen.map((pattern) => {
          const number = known.filter((name) => matches(pattern, name)).length;
          return (
            <li key={pattern}>
              <code>{pattern}</code>
              <small className="np-num">{number ? count(number) : "matches none that was seen yet"}</small>
              <button type="button" aria-label={`Remove ${pattern}`} title="Remove" onClick={() => remove(pattern)}>
                <X size={14} aria-hidden="true" />
              </button>
            </li>
          );
        })}
      </ul>
      <p className="np-note np-num" role="status" data-testid="type-taken">
        {taken.length ? `Takes ${taken.length.toLocaleString()} of ${count(known.length)} now:` : "Takes no known type now."}
      </p>
      {taken.length ? (
        <ul className="np-taken" aria-label="Types that are taken now" tabIndex={0}>
          {taken.map((name) => (
            <li key={name}>
              <code>{name}</code>
            </li>
          ))}
        </ul>
      ) : null}
    </div>
  );
}
