"""The REST API of accounts: one module per subject, each with a router."""

from novapulse.security.api import api_keys, audit, mfa, passkeys, passwords, policies, rules, sessions, sign_in, users

routers = (
    sign_in.router,
    mfa.router,
    sessions.router,
    api_keys.router,
    audit.router,
    users.router,
    rules.router,
    passkeys.router,
    passwords.router,
    policies.router,
)
