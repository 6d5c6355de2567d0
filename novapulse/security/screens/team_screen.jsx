// The team: people, what is required of them, and requests to reset somebody's second factors.
import { Flex } from "@radix-ui/themes";
import { Lock } from "lucide-react";
import { useLoaded } from "$/public/external/novapulse/security/screens/security_page/security_parts.jsx";
import { People } from "./team_people.jsx";
import { Resets } from "./team_resets.jsx";
import { Rules } from "./team_rules.jsx";

export function TeamScreen() {
  const me = useLoaded("/auth/me");
  const people = useLoaded("/users?limit=200");
  const resets = useLoaded("/users/mfa-resets");
  const rules = useLoaded("/security/rules");
  if (me.data && me.data.user.role !== "admin") return <OnlyAdmins />;
  return (
    <Flex direction="column" gap="4">
      <People of={people} me={me.data?.user} onReset={resets.load} />
      <Resets of={resets} me={me.data?.user} />
      <Rules of={rules} />
    </Flex>
  );
}

function OnlyAdmins() {
  return (
    <Flex direction="column" align="center" gap="3" py="9" data-testid="team-admins-only">
      <Lock size={26} aria-hidden="true" />
      <h2 className="np-quiet-title">Only admins see the team</h2>
      <p className="np-none">Ask an admin to let somebody in, or to change what you may do.</p>
    </Flex>
  );
}
