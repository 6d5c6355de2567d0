"""What all pages are made of. Knows no database and no service."""
