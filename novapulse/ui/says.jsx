// What the server says to one page: a note that fades, or a question who it is. It arrives as the value of a reference
// (Reflex's `set_value`), because Reflex's own toasts are evaluated as code, which the Content-Security-Policy forbids.
import { useEffect } from "react";
import { toast } from "sonner";
import { refs } from "$/utils/state";

function port(name, take) {
  refs[`ref_${name}`] = {
    current: {
      set value(given) {
        take(given);
      },
    },
  };
}

export function Says() {
  useEffect(() => {
    port("np_say", ({ kind, text }) => toast[kind](text));
    port("np_confirm", (detail) => window.dispatchEvent(new CustomEvent("np:reauthenticate", { detail })));
  }, []);
  return null;
}
