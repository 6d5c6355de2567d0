// The known event types as a tree: one level per segment, a box to tick for each type and for all of a group.
import { useRef, useState } from "react";
import { ChevronRight } from "lucide-react";

const OPEN_UP_TO = 30; // types; more than that begin folded

// As `novapulse.webhooks.matching` has it.
export function matches(pattern, type) {
  if (pattern === "*") return true;
  return pattern.endsWith(".*") ? type.startsWith(pattern.slice(0, -1)) : pattern === type;
}

// Whether everything that `narrow` takes is taken by `wide`, another pattern.
export function covers(wide, narrow) {
  if (wide === narrow) return false;
  return wide === "*" || (wide.endsWith(".*") && narrow.startsWith(wide.slice(0, -1)));
}

function grow(names, prefix = "") {
  const groups = new Map();
  const nodes = [];
  for (const name of names) {
    const dot = name.indexOf(".", prefix.length);
    if (dot === -1) {
      nodes.push({ pattern: name, label: name.slice(prefix.length) });
      continue;
    }
    const stem = name.slice(0, dot + 1);
    if (!groups.has(stem)) {
      groups.set(stem, []);
      nodes.push({ pattern: `${stem}*`, label: `${stem.slice(prefix.length)}*`, stem });
    }
    groups.get(stem).push(name);
  }
  for (const node of nodes) if (node.stem) node.children = grow(groups.get(node.stem), node.stem);
  return nodes;
}

function Mark({ text, part }) {
  const at = part ? text.toLowerCase().indexOf(part) : -1;
  if (at === -1) return text;
  return (
    <>
      {text.slice(0, at)}
      <mark>{text.slice(at, at + part.length)}</mark>
      {text.slice(at + part.length)}
    </>
  );
}

// A box to tick; one that a wider pattern covers is ticked and cannot be changed here.
export function Box({ pattern, chosen, some, onPick, describe, children }) {
  const wider = chosen.find((each) => covers(each, pattern));
  const own = chosen.includes(pattern);
  return (
    <label className="np-pick" title={wider && !own ? `Taken by ${wider}` : undefined}>
      <input
        type="checkbox"
        checked={own || Boolean(wider)}
        disabled={Boolean(wider) && !own}
        ref={(box) => {
          if (box) box.indeterminate = !own && !wider && Boolean(some);
        }}
        onChange={(event) => onPick(pattern, event.target.checked)}
        aria-label={describe}
        data-testid={`type-${pattern}`}
      />
      <span>{children}</span>
    </label>
  );
}

function Node({ node, all, chosen, part, folded, onFold, onPick }) {
  if (!node.children) {
    return (
      <li>
        <Box pattern={node.pattern} chosen={chosen} onPick={onPick} describe={node.pattern}>
          <code>
            <Mark text={node.label} part={part} />
          </code>
        </Box>
      </li>
    );
  }
  const closed = !part && folded(node.pattern);
  const count = all.filter((name) => matches(node.pattern, name)).length;
  const some = chosen.some((each) => covers(node.pattern, each));
  return (
    <li>
      <div className="np-group-row">
        <button
          type="button"
          className="np-fold"
          aria-expanded={!closed}
          aria-label={`Types of ${node.pattern}`}
          onClick={() => onFold(node.pattern, !closed)}
          disabled={Boolean(part)}
        >
          <ChevronRight size={15} aria-hidden="true" />
        </button>
        <Box
          pattern={node.pattern}
          chosen={chosen}
          some={some}
          onPick={onPick}
          describe={`${node.pattern}: all ${count} below, and those to come`}
        >
          <code>
            <Mark text={node.label} part={part} />
          </code>
          <small className="np-num">{count === 1 ? "1 type" : `${count} types`}</small>
        </Box>
      </div>
      {closed ? null : (
        <ul>
          {node.children.map((child) => (
            <Node key={child.pattern} node={child} {...{ all, chosen, part, folded, onFold, onPick }} />
          ))}
        </ul>
      )}
    </li>
  );
}

// Up and down go from box to box, right and left unfold and fold a group.
function walk(event) {
  const boxes = [...event.currentTarget.querySelectorAll("input:not(:disabled)")];
  const at = boxes.indexOf(event.target);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (at === -1) return;
  if (step) {
    event.preventDefault();
    boxes[at + step]?.focus();
  }
  const fold = event.target.closest(".np-group-row")?.querySelector(".np-fold");
  const wanted = { ArrowRight: "false", ArrowLeft: "true" }[event.key];
  if (fold && wanted && fold.getAttribute("aria-expanded") === wanted) {
    event.preventDefault();
    fold.click();
  }
}

export function Tree({ names, chosen, onPick }) {
  const [search, setSearch] = useState("");
  const [fold, setFold] = useState({});
  const part = search.trim().toLowerCase();
  const shown = part ? names.filter((name) => name.toLowerCase().includes(part)) : names;
  const list = useRef(null);
  const height = useRef(0); // before the search: what is below the tree does not move while one types
  const look = (text) => {
    if (!part) height.current = list.current.offsetHeight;
    setSearch(text);
  };
  // What is chosen one by one is not hidden in a folded group.
  const [begun] = useState(chosen);
  const folded = (pattern) =>
    fold[pattern] ?? (names.length > OPEN_UP_TO && !begun.some((each) => covers(pattern, each)));
  return (
    <div className="np-tree">
      <input
        type="search"
        value={search}
        onChange={(event) => look(event.target.value)}
        onKeyDown={(event) => event.key === "Enter" && event.preventDefault()}
        placeholder={names.length === 1 ? "Search 1 known type" : `Search ${names.length} known types`}
        aria-label="Search known event types"
        data-testid="type-search"
      />
      <ul
        ref={list}
        style={part ? { minHeight: shown.length ? height.current : 0 } : undefined}
        onKeyDown={walk}
        aria-label="Known event types"
        data-testid="type-tree"
      >
        {grow(shown).map((node) => (
          <Node
            key={node.pattern}
            node={node}
            all={names}
            folded={folded}
            onFold={(pattern, on) => setFold({ ...fold, [pattern]: on })}
            {...{ chosen, part, onPick }}
          />
        ))}
      </ul>
      <p role="status">{part && !shown.length ? `No known type has “${search.trim()}” in it; add it below as a pattern.` : ""}</p>
    </div>
  );
}
