// Headers to send along: a row each. Their values go from here to the server when the form is saved, and not before.
import { useRef, useState } from "react";
import { Trash2 } from "lucide-react";
import { Button, IconButton, TextField } from "@radix-ui/themes";

export function HeaderRows({ initial, mask, most, error, onForget }) {
  const next = useRef(initial.length);
  const fresh = useRef(null); // the row that was just added gets the focus
  const [rows, setRows] = useState(() => initial.map((row, key) => ({ ...row, key })));
  const adder = useRef(null);
  const change = (changed) => {
    setRows(changed);
    onForget();
  };
  const set = (key, part) => change(rows.map((row) => (row.key === key ? { ...row, ...part } : row)));
  const add = () => {
    fresh.current = next.current;
    setRows([...rows, { name: "", value: "", key: next.current++ }]);
  };
  const remove = (key) => {
    change(rows.filter((row) => row.key !== key));
    adder.current?.focus();
  };
  const focus = (key) => (field) => {
    if (!field || fresh.current !== key) return;
    fresh.current = null;
    field.focus();
  };
  return (
    <fieldset className="np-headers" aria-describedby="headers-hint">
      <legend>
        Headers <small>optional</small>
      </legend>
      {rows.length ? (
        <ul>
          {rows.map((row, place) => (
            <li key={row.key}>
              <TextField.Root
                ref={focus(row.key)}
                value={row.name}
                onChange={(event) => set(row.key, { name: event.target.value })}
                placeholder="Authorization"
                aria-label={`Name of header ${place + 1}`}
                autoComplete="off"
                autoCapitalize="off"
                spellCheck="false"
                data-testid="header-name"
              />
              <TextField.Root
                value={row.value}
                onChange={(event) => set(row.key, { value: event.target.value })}
                onFocus={(event) => row.value === mask && event.target.select()}
                placeholder="Bearer …"
                aria-label={`Value of header ${place + 1}`}
                autoComplete="off"
                spellCheck="false"
                data-testid="header-value"
              />
              <IconButton
                type="button"
                variant="ghost"
                color="gray"
                onClick={() => remove(row.key)}
                aria-label={`Remove header ${row.name || place + 1}`}
                title="Remove"
                data-testid="header-remove"
              >
                <Trash2 size={16} aria-hidden="true" />
              </IconButton>
            </li>
          ))}
        </ul>
      ) : null}
      <Button type="button" variant="soft" ref={adder} onClick={add} disabled={rows.length >= most} data-testid="header-add">
        Add a header
      </Button>
      <p id="headers-hint" className="np-note">
        Sent with every delivery, kept encrypted.
        {rows.some((row) => row.value === mask) ? ` A value shown as ${mask} stays as it is unless you type another.` : ""}
      </p>
      {error ? (
        <p role="alert" className="np-wrong" data-testid="error-headers">
          {error}
        </p>
      ) : null}
      <input type="hidden" name="headers" value={JSON.stringify(rows.map(({ name, value }) => ({ name, value })))} />
    </fieldset>
  );
}
