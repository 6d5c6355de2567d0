// What the server says to one page: a note that fades, or a question who it is. It arrives as the value of a reference
// (Reflex's `set_value`), because Reflex's own toasts are evaluated as code, which the Content-Security-Policy forbids.
import { useEffect } from "react";
import { toast } from "sonner";
import { refs } from "$/utils/state";

let early = []; // what was said before there was a page to show it; null once there is one

function port(name, take) {
  refs[`ref_${name}`] = {
    current: {
      set value(given) {
        if (early) early.push(() => take(given));
        else take(given);
      },
    },
  };
}

// What went wrong takes longer to read.
const SHOWN_MS = { success: 4000, error: 10000 };

port("np_say", ({ kind, text }) => toast[kind](text, { duration: SHOWN_MS[kind] }));
port("np_confirm", (detail) => window.dispatchEvent(new CustomEvent("np:reauthenticate", { detail })));

export function Says() {
  useEffect(() => {
    // Not in this very turn: where notes appear is mounted in it, too.
    const timer = setTimeout(() => {
      const waiting = early ?? [];
      early = null;
      waiting.forEach((say) => say());
    });
    return () => clearTimeout(timer);
  }, []);
  return null;
}
