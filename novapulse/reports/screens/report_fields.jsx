// Labelled fields of the form in which a report is asked for.
import { Flex, Select, Text, TextField } from "@radix-ui/themes";

export function Choice({ id, label, value, onChange, options, error }) {
  return (
    <Field id={id} label={label} error={error}>
      <Select.Root value={value} onValueChange={onChange}>
        <Select.Trigger id={id} style={{ width: "100%" }} data-testid={id} />
        <Select.Content>
          {options.map(([each, words]) => (
            <Select.Item key={each} value={each}>
              {words}
            </Select.Item>
          ))}
        </Select.Content>
      </Select.Root>
    </Field>
  );
}

export function Typed({ id, label, optional, value, onChange, error, ...props }) {
  return (
    <Field id={id} label={label} optional={optional} error={error}>
      <TextField.Root
        id={id}
        value={value}
        onChange={(event) => onChange(event.target.value)}
        autoComplete="off"
        maxLength={2000}
        aria-invalid={Boolean(error)}
        data-testid={id}
        {...props}
      />
    </Field>
  );
}

export function Field({ id, label, optional, error, children }) {
  return (
    <Flex direction="column" gap="1" flexGrow="1" flexBasis="0" minWidth="0">
      <label htmlFor={id}>
        <Text size="2" weight="medium">
          {label}
        </Text>
        {optional ? (
          <Text size="1" color="gray">
            {" "}
            optional
          </Text>
        ) : null}
      </label>
      {children}
      {error ? <Wrong>{error}</Wrong> : null}
    </Flex>
  );
}

export function Wrong({ children }) {
  return (
    <Text as="div" size="1" color="red" role="alert" data-testid="report-error">
      {children}
    </Text>
  );
}
