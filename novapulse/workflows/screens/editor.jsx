// The editor of a definition. What is typed stays in the browser until it is checked or saved.
import { useEffect, useRef, useState } from "react";
import { Button, Callout, Flex, Text, TextField } from "@radix-ui/themes";
import { call } from "$/public/external/novapulse/ui/parts/api.js";

const CHECK_AFTER_MS = 400;

export function DefinitionEditor({ source, revision, errors = [], mayWrite, isNew, onCheck, onSave }) {
  const [text, setText] = useState(source);
  const [saved, setSaved] = useState(source);
  const numbers = useRef(null);
  const field = useRef(null);
  const [newer, setNewer] = useState(false);
  const take = () => {
    setText(source);
    setSaved(source);
    setNewer(false);
  };
  useEffect(() => {
    // What somebody else saved does not overwrite what is being written here.
    if (isNew || text === saved || text === source) take();
    else setNewer(true);
  }, [revision, source]);
  useEffect(() => {
    if (text === source) return undefined;
    const timer = setTimeout(() => onCheck(text), CHECK_AFTER_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const changed = isNew || text !== saved;
  useEffect(() => {
    if (isNew || text === saved) return undefined;
    const stay = (event) => event.preventDefault();
    window.addEventListener("beforeunload", stay);
    return () => window.removeEventListener("beforeunload", stay);
  }, [text, saved, isNew]);
  const wrong = new Set(errors.map((error) => error.line));
  const lines = text.split("\n");
  const type = (event) => {
    if (event.key === "s" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (mayWrite && changed) onSave(text);
    }
  };
  const show = (line) => {
    const at = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    field.current.focus();
    field.current.setSelectionRange(at, at + (lines[line - 1]?.length ?? 0));
    field.current.scrollTop = Math.max(0, (line - 5) * 20);
  };
  return (
    <div className="np-editor">
      <div className="np-editor-body">
        <div className="np-editor-numbers" ref={numbers} aria-hidden="true">
          {lines.map((_, at) => (
            <span key={at} data-wrong={wrong.has(at + 1)}>
              {at + 1}
            </span>
          ))}
        </div>
        <textarea
          ref={field}
          value={text}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={type}
          onScroll={(event) => {
            numbers.current.scrollTop = event.target.scrollTop;
          }}
          readOnly={!mayWrite}
          spellCheck={false}
          autoCapitalize="off"
          autoCorrect="off"
          wrap="off"
          aria-label="Definition"
          aria-invalid={errors.length > 0}
          aria-describedby="workflow-errors"
          data-testid="workflow-source"
        />
      </div>
      {newer ? (
        <Callout.Root color="amber" size="1" role="status" data-testid="workflow-newer">
          <Callout.Text>
            Another version was saved meanwhile. Saving yours replaces it.{" "}
            <button type="button" className="np-text-button" onClick={take}>
              Load that one
            </button>
          </Callout.Text>
        </Callout.Root>
      ) : null}
      <div id="workflow-errors" role="status" data-testid="workflow-errors">
        {errors.length ? (
          <ul className="np-editor-errors">
            {errors.map((error) => (
              <li key={`${error.pointer} ${error.detail}`}>
                {error.line ? (
                  <button type="button" onClick={() => show(error.line)} data-testid={`workflow-error-line-${error.line}`}>
                    Line {error.line}
                  </button>
                ) : null}
                <span>
                  {error.pointer && error.pointer !== "/source" ? <code>{error.pointer}</code> : null} {error.detail}
                </span>
              </li>
            ))}
          </ul>
        ) : (
          <Text size="1" color="gray">
            {text.trim() ? "Nothing is wrong with it." : "Write a definition, or start from one."}
          </Text>
        )}
      </div>
      {mayWrite ? (
        <Flex gap="3" align="center" wrap="wrap">
          <Button onClick={() => onSave(text)} disabled={!changed || errors.length > 0 || !text.trim()} data-testid="workflow-save">
            {isNew ? "Make workflow" : "Save new version"}
          </Button>
          {!isNew && changed ? (
            <Button variant="soft" color="gray" onClick={() => setText(saved)} data-testid="workflow-revert">
              Discard changes
            </Button>
          ) : null}
          <Text size="1" color="gray">
            {isNew ? "It does what you may do, whoever starts it." : "Runs that have begun go on with their version."}
          </Text>
        </Flex>
      ) : null}
    </div>
  );
}

// Setting secrets goes straight to the API: their values are never state of a page.
export function SecretForm({ workflowId, names = [] }) {
  const [name, setName] = useState(names[0] ?? "");
  const [value, setValue] = useState("");
  const [problem, setProblem] = useState("");
  const first = names[0] ?? "";
  useEffect(() => {
    if (!name && first) setName(first);
  }, [first]);
  const save = async (event) => {
    event.preventDefault();
    try {
      await call("PUT", `/workflows/${workflowId}/secrets/${encodeURIComponent(name)}`, { value }, { why: "to set this secret" });
      setName("");
      setValue("");
      setProblem("");
    } catch (error) {
      if (!error.cancelled) setProblem(error.at?.name ?? error.at?.value ?? error.message);
    }
  };
  return (
    <form onSubmit={save} className="np-secret-form">
      <label htmlFor="secret-name">
        <Text size="2" weight="medium">Name</Text>
      </label>
      <TextField.Root id="secret-name" value={name} onChange={(event) => setName(event.target.value)} placeholder="api_token" required autoComplete="off" data-testid="secret-name" />
      <label htmlFor="secret-value">
        <Text size="2" weight="medium">Value</Text>
      </label>
      <TextField.Root id="secret-value" type="password" value={value} onChange={(event) => setValue(event.target.value)} required autoComplete="off" data-testid="secret-value" />
      <Button type="submit" disabled={!name || !value} data-testid="secret-save">
        Set secret
      </Button>
      {problem ? (
        <Callout.Root color="red" role="alert" size="1">
          <Callout.Text>{problem}</Callout.Text>
        </Callout.Root>
      ) : null}
    </form>
  );
}
