// A filter that is typed: it holds when one presses Enter, picks a suggestion, or empties it.
import { useEffect, useId, useState } from "react";
import { Search, Tag, Users } from "lucide-react";
import { TextField } from "@radix-ui/themes";

const ICONS = { search: Search, tag: Tag, users: Users };

export function FilterField({ value, label, placeholder, icon, options = [], onChoose, testid }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  const id = useId();
  const Icon = ICONS[icon];
  const choose = (chosen) => {
    if (chosen.trim() !== value) onChoose(chosen.trim());
  };
  const type = (event) => {
    const next = event.target.value;
    setText(next);
    // A suggestion that is picked comes as a whole; browsers tell it from typing by the kind of the event.
    const kind = event.nativeEvent.inputType;
    if (!next || ((kind === undefined || kind === "insertReplacementText") && options.includes(next))) choose(next);
  };
  return (
    <TextField.Root
      type="search"
      value={text}
      onChange={type}
      onKeyDown={(event) => event.key === "Enter" && choose(text)}
      placeholder={placeholder}
      aria-label={label}
      list={options.length ? id : undefined}
      autoComplete="off"
      spellCheck="false"
      data-testid={testid}
    >
      <TextField.Slot>
        <Icon size={15} aria-hidden="true" />
      </TextField.Slot>
      {options.length ? (
        <datalist id={id}>
          {options.map((option) => (
            <option key={option} value={option} />
          ))}
        </datalist>
      ) : null}
    </TextField.Root>
  );
}
