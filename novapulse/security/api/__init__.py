"""The REST API of accounts: one module per subject, each with a router."""

from novapulse.security.api import api_keys, rules, sessions, sign_in, users

routers = (sign_in.router, sessions.router, api_keys.router, users.router, rules.router)
