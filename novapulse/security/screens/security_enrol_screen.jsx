// `/settings/security/enrol`: for whose role requires a second factor, until there is one nothing else can be reached.
import { useEffect, useState } from "react";
import { Button, Flex, Heading, Text } from "@radix-ui/themes";
import { ShieldAlert } from "lucide-react";
import { call } from "$/public/external/novapulse/ui/parts/api.js";
import { SaveCodes } from "./security_codes.jsx";
import { Enrol, On, Steps, begin } from "./security_enrol.jsx";
import { Loaded, act, useLoaded } from "./security_parts.jsx";

const NAME = "Authenticator app";

async function signOut() {
  await fetch("/api/v1/auth/logout", { method: "POST" }).catch(() => null);
  window.location.assign("/login");
}

// Where one wanted to go: a path of ours, never another site.
function next() {
  const target = new URLSearchParams(window.location.search).get("next") ?? "/";
  return /^\/(?![/\\])[^\\]*$/.test(target) ? target : "/";
}

export function EnrolScreen() {
  const me = useLoaded("/auth/me");
  return (
    <main className="np-bare" id="content">
      <p className="np-bare-brand">
        <img src="/logo.svg" alt="" width="28" height="28" /> NovaPulse
      </p>
      <div className="np-bare-card">
        <Loaded of={me} rows={4}>
          {({ user }) => <Required user={user} />}
        </Loaded>
      </div>
      <p className="np-bare-foot">
        {me.data ? <>Signed in as {me.data.user.email}. </> : null}
        <button type="button" className="np-linkbutton" onClick={signOut} data-testid="enrol-sign-out">
          Sign out
        </button>
      </p>
    </main>
  );
}

function Required({ user }) {
  const mfa = useLoaded("/security/mfa");
  const [begun, setBegun] = useState(null);
  const [done, setDone] = useState(false);
  const start = async () => setBegun((await act(() => begin(NAME))).answer ?? begun);
  // One whose codes were never saved goes on there: with fresh ones.
  const unfinished = mfa.data && !mfa.data.on && mfa.data.authenticators.length + mfa.data.passkeys.length > 0;
  const [codes, setCodes] = useState(null);
  const finish = async () => {
    const made = await act(() => call("POST", "/security/recovery-codes", {}, { why: "make recovery codes" }));
    if (made.answer) setCodes(made.answer.recovery_codes);
  };
  useEffect(() => {
    if (mfa.data?.on && !begun && !codes) window.location.replace(next());
  }, [mfa.data]);
  return (
    <>
      {done ? null : (
        <header>
          <Flex align="center" gap="2">
            <ShieldAlert size={22} aria-hidden="true" />
            <Heading as="h1" size="5">
              Set up a second factor
            </Heading>
          </Flex>
          {begun || codes ? null : (
            <Text as="p" size="2" mt="2" data-testid="enrol-why">
              The admins of this NovaPulse require it of everybody with the role {user.role}: a stolen password alone must not open it. It
              takes two minutes and an authenticator app on your phone; after that everything is open to you.
            </Text>
          )}
        </header>
      )}
      {begun ? (
        <Enrol begun={begun} withCodes={!mfa.data.recovery_codes.saved} email={user.email} onAgain={start} onConfirmed={() => null} onOn={() => setDone(true)}>
          <Finished />
        </Enrol>
      ) : codes ? (
        done ? (
          <Finished />
        ) : (
          <SaveCodes codes={codes} email={user.email} onSaved={() => setDone(true)} />
        )
      ) : (
        <>
          <Steps at={unfinished ? 2 : null} />
          <Flex justify="end" mt="4">
            <Button onClick={unfinished ? finish : start} disabled={!mfa.data} data-testid="enrol-begin">
              {unfinished ? "Save recovery codes" : "Begin"}
            </Button>
          </Flex>
        </>
      )}
    </>
  );
}

function Finished() {
  return (
    <On text="From now on a stolen password is not enough.">
      {/* A full navigation: the page that follows begins with a session that may do everything. */}
      <Button onClick={() => window.location.assign(next())} data-testid="enrol-open">
        Open NovaPulse
      </Button>
    </On>
  );
}
