// Setting up an authenticator app in three steps. The secret and the codes are in the memory of these components alone.
import { useEffect, useState } from "react";
import { Button, Callout, Flex, Text } from "@radix-ui/themes";
import { ArrowLeft, CircleCheck, Clock } from "lucide-react";
import { call } from "$/public/external/novapulse/ui/parts/api.js";
import { CodeField, Refusal, useWait } from "$/public/external/novapulse/ui/parts/code.jsx";
import { CopyButton } from "$/public/external/novapulse/ui/parts/parts.jsx";
import { SaveCodes } from "./security_codes.jsx";

export const begin = (name) => call("POST", "/security/mfa/enroll", { name }, { why: "set up an authenticator app" });

// `begun` is the answer to `begin`; `withCodes`: there will be recovery codes to save. `onOn` is called when all is done,
// `children` is what is said then.
export function Enrol({ begun, withCodes, email, onAgain, onConfirmed, onOn, later, children }) {
  const [step, setStep] = useState("scan");
  const [codes, setCodes] = useState([]);
  useEffect(() => setStep("scan"), [begun.id]);
  const confirmed = (fresh) => {
    onConfirmed();
    setCodes(fresh);
    if (fresh.length) setStep("codes");
    else on();
  };
  const on = () => {
    setCodes([]);
    setStep("on");
    onOn();
  };
  const at = { scan: 0, code: 1, codes: 2, on: 3 }[step];
  return (
    <div className="np-enrol" data-testid="enrol">
      {step === "on" ? null : <Steps at={at} count={withCodes ? 3 : 2} />}
      {step === "scan" ? <Scan begun={begun} onNext={() => setStep("code")} later={later} /> : null}
      {step === "code" ? <Digits begun={begun} onBack={() => setStep("scan")} onAgain={onAgain} onDone={confirmed} /> : null}
      {step === "codes" ? <SaveCodes codes={codes} email={email} onSaved={on} later={later} /> : null}
      {step === "on" ? children : null}
    </div>
  );
}

const STEPS = ["Scan", "Enter a code", "Save recovery codes"];

export function Steps({ at, count = 3 }) {
  return (
    <ol className="np-stepper" aria-label="Steps">
      {STEPS.slice(0, count).map((label, number) => (
        <li key={label} data-done={number < at} aria-current={number === at ? "step" : undefined}>
          {number + 1}. {label}
          {number < at ? <span className="np-hidden"> (done)</span> : null}
        </li>
      ))}
    </ol>
  );
}

function Scan({ begun, onNext, later }) {
  const groups = begun.secret.match(/.{1,4}/g).join(" ");
  return (
    <>
      <Text as="p" size="2">
        Scan this with an authenticator app, such as the one of your password manager, Aegis or Google Authenticator.
      </Text>
      <div className="np-scan">
        <div className="np-qr" data-testid="enrol-qr" dangerouslySetInnerHTML={{ __html: begun.qr_svg }} />
        <div>
          <Text as="p" size="2" weight="medium" id="enrol-key-label">
            Or type this key
          </Text>
          <div className="np-secret-line">
            <code data-testid="enrol-key" aria-labelledby="enrol-key-label" role="group">
              {groups}
            </code>
            <CopyButton text={begun.secret} label="Copy" />
          </div>
          <Text as="p" size="1" color="gray" mt="2">
            Time based, six digits, every 30 seconds.
          </Text>
          <Text as="p" size="2" mt="2" className="np-phone-only">
            <a className="np-link" href={begun.otpauth_uri}>
              Open in an app on this phone
            </a>
          </Text>
        </div>
      </div>
      <Flex gap="3" mt="4" justify="end">
        {later}
        <Button onClick={onNext} data-testid="enrol-next" autoFocus>
          Continue
        </Button>
      </Flex>
    </>
  );
}

function Digits({ begun, onBack, onAgain, onDone }) {
  const [code, setCode] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const [wait, startWait] = useWait();
  const over = useOver(begun.expires_at);
  const full = async (digits) => {
    setBusy(true);
    setProblem("");
    try {
      const { recovery_codes: codes } = await call("POST", "/security/mfa/confirm", { code: digits, id: begun.id });
      onDone(codes);
    } catch (refused) {
      if (refused.status === 429) startWait(refused.retryAfter);
      setProblem(refused.message);
      setCode("");
      setBusy(false);
    }
  };
  if (over)
    return (
      <>
        <Callout.Root color="amber">
          <Callout.Icon>
            <Clock size={16} />
          </Callout.Icon>
          <Callout.Text>This QR code was good for ten minutes, which are over. Take a fresh one.</Callout.Text>
        </Callout.Root>
        <Flex mt="4" justify="end">
          <Button onClick={onAgain} data-testid="enrol-again">
            Begin again
          </Button>
        </Flex>
      </>
    );
  return (
    <>
      <Text as="label" size="2" htmlFor="enrol-code">
        Enter the six digits that your app shows now.
      </Text>
      <div className="np-digits-line">
        <CodeField
          id="enrol-code"
          value={code}
          onChange={setCode}
          onFull={full}
          wrong={Boolean(problem)}
          describedBy="enrol-problem"
          autoFocus
          disabled={busy || wait > 0}
        />
      </div>
      <Refusal id="enrol-problem" problem={problem} wait={wait} />
      <Flex gap="3" mt="4">
        <Button variant="soft" color="gray" onClick={onBack} data-testid="enrol-back">
          <ArrowLeft size={15} aria-hidden="true" /> Show the QR code again
        </Button>
      </Flex>
    </>
  );
}

function useOver(at) {
  const [over, setOver] = useState(false);
  useEffect(() => {
    setOver(false);
    const timer = setTimeout(() => setOver(true), Math.max(0, Date.parse(at) - Date.now()));
    return () => clearTimeout(timer);
  }, [at]);
  return over;
}

export function On({ title = "Two-factor authentication is on", text, children }) {
  return (
    <div className="np-on" data-testid="enrol-on">
      <CircleCheck size={40} aria-hidden="true" />
      <h3>{title}</h3>
      <Text as="p" size="2" color="gray">
        {text}
      </Text>
      <Flex gap="3" mt="2" justify="center" wrap="wrap">
        {children}
      </Flex>
    </div>
  );
}
