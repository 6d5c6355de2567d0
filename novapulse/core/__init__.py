"""What every feature stands on: database, Valkey, ids, clock, crypto, errors. Imports no feature."""
