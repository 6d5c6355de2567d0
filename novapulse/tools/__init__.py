"""What comes with NovaPulse to try it with: a local receiver, and a demo."""
